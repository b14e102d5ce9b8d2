//! The plans that the importer makes mean what the models mean: interpreted on the CPU, they give
//! what ONNX Runtime gives.

use crate::golden::{Golden, assert_close};
use crate::imported::{self, Imported};
use crate::interpreter::Interpreter;
use gpumux_plan::{Bound, Shape};

fn bind(of: &Imported, golden: &Golden, input: &str) -> Bound {
    let dims = golden.dims(input);
    let shape = Shape { batch: dims[0], length: dims[1] };
    of.model.plan(shape.batch).unwrap().bind(&of.model, shape).unwrap()
}

fn check(of: &Imported, model: &str, case: &str) {
    let golden = Golden::open(model, case);
    let plan = &of.model.plans[0];
    let bound = bind(of, &golden, &plan.inputs[0].name);
    let mut interpreter = Interpreter::new(&bound, &of.weights);
    for slot in bound.inputs() {
        let bytes = golden.bytes(slot.name());
        let begin = usize::try_from(slot.offset()).unwrap();
        interpreter.block[begin..begin + bytes.len()].copy_from_slice(&bytes);
    }
    interpreter.run();
    assert!(interpreter.flags().iter().all(|flag| *flag == 0), "{case}: a request is flagged");
    for slot in bound.outputs().iter().filter(|slot| golden.has(slot.name())) {
        let wanted = golden.reals(slot.name());
        let begin = usize::try_from(slot.offset()).unwrap();
        let bytes = &interpreter.block[begin..begin + 4 * wanted.len()];
        let found = bytes.chunks_exact(4).map(|it| f32::from_le_bytes(it.try_into().unwrap()));
        let width = usize::try_from(*slot.dims().last().unwrap()).unwrap();
        let found: Vec<f32> = found.collect();
        assert_close(&format!("{case} {}", slot.name()), &found, &wanted, width);
    }
}

#[test]
fn minilm_means_what_its_onnx_graph_means() {
    let minilm = imported::minilm();
    for case in ["one_of_1", "one_of_16", "one_of_128", "eight_of_64", "eight_mixed"] {
        check(&minilm, "minilm", case);
    }
}

#[test]
fn negative_ids_count_from_the_end() {
    check(&imported::minilm(), "minilm", "negative_ids");
}

#[test]
fn magika_means_what_its_onnx_graph_means() {
    let magika = imported::magika();
    for case in ["one", "eight"] {
        check(&magika, "magika", case);
    }
}
