//! The engine on the emulated device: both models against ONNX Runtime, and what a hostile value
//! does to its own request and to nobody else's.

use std::rc::Rc;

use crate::golden::{Golden, assert_close};
use crate::imported::{self, Imported};
use crate::machine::{self, Machine, OPTIONS};
use gpumux_engine::{Fill, Padding, PaddingError, Prepared, Verdict, Verdicts};
use gpumux_plan::{Bound, Shape, Slot};

fn output(bound: &Bound, name: &str, came: &[u8]) -> Vec<f32> {
    let slot = bound.outputs().iter().find(|slot| slot.name() == name).unwrap();
    let begin = usize::try_from(slot.offset() - bound.outgoing().start).unwrap();
    let bytes = usize::try_from(slot.bytes_per_request() * bound.shape().batch).unwrap();
    let words = came[begin..begin + bytes].chunks_exact(4);
    words.map(|word| f32::from_ne_bytes(word.try_into().unwrap())).collect()
}

fn width(slot: &Slot) -> usize {
    usize::try_from(*slot.dims().last().unwrap()).unwrap()
}

fn input<'a>(slot: &Slot, block: &'a mut [u8], bytes: usize) -> &'a mut [u8] {
    let begin = usize::try_from(slot.offset()).unwrap();
    &mut block[begin..begin + bytes]
}

fn run(machine: &mut Machine, prepared: &Rc<Prepared>, golden: &Golden) -> Vec<u8> {
    let bring = |block: &mut [u8]| {
        for slot in prepared.bound().inputs() {
            let tensor = golden.bytes(slot.name());
            input(slot, block, tensor.len()).copy_from_slice(&tensor);
        }
    };
    machine.trial().run(prepared, bring).unwrap()
}

/// Runs cases of a model and compares every output that the oracle's result is kept of.
#[track_caller]
fn agree(machine: &mut Machine, imported: &Imported, model: &str, cases: &[&str]) {
    let resident = machine.load(imported);
    for case in cases {
        let golden = Golden::open(model, case);
        let first = &imported.model.plans[0].inputs[0].name;
        let dims = golden.dims(first);
        let prepared = machine.prepare(&resident, Shape { batch: dims[0], length: dims[1] });
        let came = run(machine, &prepared, &golden);
        let bound = prepared.bound();
        let verdicts = Verdicts::of(bound, &came);
        let requests = 0..usize::try_from(dims[0]).unwrap();
        assert!(requests.map(|it| verdicts.get(it)).all(|it| it == Some(Verdict::Good)));
        for slot in bound.outputs().iter().filter(|slot| golden.has(slot.name())) {
            let found = output(bound, slot.name(), &came);
            let what = format!("{case} {}", slot.name());
            assert_close(&what, &found, &golden.reals(slot.name()), width(slot));
        }
    }
}

#[test]
fn minilm_agrees_with_onnx_runtime() {
    machine::run(|mut machine| {
        let cases = ["one_of_1", "one_of_16", "one_of_128", "eight_of_64", "negative_ids"];
        agree(&mut machine, &imported::minilm(), "minilm", &cases);
    });
}

#[test]
fn a_padded_batch_of_mixed_lengths_agrees_with_each_request_alone() {
    machine::run(|mut machine| {
        agree(&mut machine, &imported::minilm(), "minilm", &["eight_mixed"]);
    });
}

#[test]
fn magika_agrees_with_onnx_runtime() {
    machine::run(|mut machine| {
        agree(&mut machine, &imported::magika(), "magika", &["one", "eight"]);
    });
}

#[test]
fn a_wrong_token_id_refuses_its_own_request_only() {
    machine::run(|mut machine| {
        let resident = machine.load(&imported::minilm());
        let golden = Golden::open("minilm", "eight_of_64");
        let prepared = machine.prepare(&resident, Shape { batch: 8, length: 64 });
        let bound = prepared.bound();
        let ids = bound.inputs().iter().find(|slot| slot.name() == "input_ids").unwrap();
        let wanted = golden.reals("sentence_embedding");
        // The vocabulary has 30522 tokens. 2^40 is 0 in 32 bits, and so is -2^40.
        for (request, wrong) in [(0, 1i64 << 40), (3, -(1 << 40)), (5, 30_522), (7, -30_523)] {
            let came = machine.trial().run(&prepared, |block| {
                for slot in bound.inputs() {
                    let tensor = golden.bytes(slot.name());
                    input(slot, block, tensor.len()).copy_from_slice(&tensor);
                }
                let place = (64 * request + 9) * 8;
                input(ids, block, place + 8)[place..].copy_from_slice(&wrong.to_ne_bytes());
            });
            let came = came.unwrap();
            let verdicts = Verdicts::of(bound, &came);
            let found = output(bound, "sentence_embedding", &came);
            for other in 0..8 {
                if other == request {
                    assert_eq!(verdicts.get(other), Some(Verdict::BadValue), "{wrong}");
                    continue;
                }
                assert_eq!(verdicts.get(other), Some(Verdict::Good), "{wrong}: request {other}");
                let row = other * 384..(other + 1) * 384;
                let what = format!("{wrong}: request {other}");
                assert_close(&what, &found[row.clone()], &wanted[row], 384);
            }
        }
    });
}

#[test]
fn padding_with_a_mask_is_harmless_and_without_one_is_found_out() {
    machine::run(|mut machine| {
        let resident = machine.load(&imported::minilm());
        let fills = vec![("input_ids".to_owned(), Fill::Whole(0))];
        let mask = Some("attention_mask".to_owned());
        let lengths = [3, 17, 8];
        let with_mask = Padding { fills: fills.clone(), mask };
        with_mask.check(&resident, &mut machine.trial(), &lengths, OPTIONS).unwrap();

        // The mask's padding is 1, as if the padding were tokens.
        let all = vec![("attention_mask".to_owned(), Fill::Whole(1))];
        let without = Padding { fills: all, mask: Some("attention_mask".to_owned()) };
        let found = without.check(&resident, &mut machine.trial(), &lengths, OPTIONS);
        assert!(matches!(found, Err(PaddingError::Differs { .. })), "{found:?}");

        let unknown = Padding { fills, mask: Some("mask".to_owned()) };
        let found = unknown.check(&resident, &mut machine.trial(), &lengths, OPTIONS);
        assert!(matches!(found, Err(PaddingError::NoInput(name)) if name == "mask"));
    });
}
