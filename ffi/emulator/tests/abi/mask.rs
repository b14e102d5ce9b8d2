//! The mask in a stream's structure, stored as users of the method known as libsmctrl do: at the
//! claimed driver's offset it confines, elsewhere it does nothing or harm.

use crate::calls::*;
use crate::graph::captured;
use crate::smid::Probe;
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};

/// The signal of a process that touched memory which it does not have.
const SIGSEGV: i32 = 11;

/// Where the structure of a stream begins.
fn structure(stream: CUstream) -> usize {
    // SAFETY: a stream that the driver made points to a pointer, as those who store masks rely on.
    unsafe { stream.cast::<usize>().read() }
}

/// Stores words into a stream's structure, wherever that leads.
fn store(stream: CUstream, offset: isize, words: &[u32]) {
    let start = structure(stream).wrapping_add_signed(offset);
    for (index, word) in words.iter().enumerate() {
        let at = std::ptr::with_exposed_provenance_mut::<u32>(start + index * 4);
        // SAFETY: memory of the driver's that it reads as atomics, or, where the offset is wrong or
        // the stream is gone, the fault that the test is about.
        let at = unsafe { AtomicU32::from_ptr(at) };
        at.store(*word, Ordering::Relaxed);
    }
}

/// A mask in the words of driver 12.0 and later: a set bit disables a TPC.
fn words(disabled: u128) -> [u32; 5] {
    let word = |index: u32| u32::try_from(disabled >> (32 * index) & 0xffff_ffff).unwrap();
    [1, word(0), word(1), word(2), word(3)]
}

fn set(range: std::ops::Range<u32>) -> BTreeSet<u32> {
    range.collect()
}

fn free_stream() -> CUstream {
    stream(CUstream_flags::CU_STREAM_NON_BLOCKING)
}

/// Every bit alone is a TPC, its complement all others, and one stream's mask is nobody else's.
fn check_every_bit(offset: isize, sms: u32, encode: fn(u128) -> Vec<u32>) {
    context();
    let probe = Probe::load();
    let (masked, other) = (free_stream(), free_stream());
    assert_eq!(probe.sms(masked), set(0..sms));
    for tpc in 0..sms / 2 {
        let own = set(2 * tpc..2 * tpc + 2);
        store(masked, offset, &encode(!(1 << tpc)));
        assert_eq!(probe.sms(masked), own, "only TPC {tpc}");
        store(masked, offset, &encode(1 << tpc));
        assert_eq!(probe.sms(masked), &set(0..sms) - &own, "all but TPC {tpc}");
    }
    assert_eq!(probe.sms(other), set(0..sms));
    assert_eq!(probe.sms(null_mut()), set(0..sms));
    store(masked, offset, &encode(0));
    assert_eq!(probe.sms(masked), set(0..sms));
    // What a launch with no TPC at all does on a real device is not known.
    store(masked, offset, &encode(u128::MAX));
    assert_eq!(probe.try_launch(masked), CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
    call!(cuStreamSynchronize(masked));
}

fn new_layout(disabled: u128) -> Vec<u32> {
    words(disabled).to_vec()
}

/// That of drivers before 12.0: the upper word first, and no word that says whether it counts.
fn old_layout(disabled: u128) -> Vec<u32> {
    let [_, lower, upper, ..] = words(disabled);
    vec![upper, lower]
}

/// What became of a store at some offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The masks confine, each exactly as it should.
    Hit,
    /// Nothing happened.
    Nothing,
    /// The process died where it touched memory,
    Died,
    /// or the device faulted.
    Faulted,
}

/// Stores two masks at an offset and says on its output what came of it.
fn try_offset(offset: &str) {
    context();
    let probe = Probe::load();
    let stream = free_stream();
    let offset = offset.parse().unwrap();
    let mut seen = Vec::new();
    for only in [0b1_u128, 0b1010] {
        store(stream, offset, &words(!only));
        if probe.try_launch(stream) == CUDA_ERROR_ILLEGAL_ADDRESS {
            call!(cuStreamSynchronize(stream) is CUDA_ERROR_ILLEGAL_ADDRESS);
            return println!("verdict: faulted");
        }
        seen.push(probe.sms(stream));
    }
    let hit = [set(0..2), BTreeSet::from([2, 3, 6, 7])];
    if seen == hit {
        println!("verdict: hit");
    } else {
        assert_eq!(seen, [set(0..32), set(0..32)], "confined in some other way");
        println!("verdict: nothing");
    }
}

/// Tries offsets, each in a process of its own. Empty in those, which only have a body to run.
fn sweep(path: &str, claim: &str, offsets: impl Iterator<Item = isize>) -> Vec<(isize, Verdict)> {
    let offsets: Vec<String> = offsets.map(|offset| offset.to_string()).collect();
    let mut verdicts = Vec::new();
    crate::child::run_each(path, claim, &offsets, try_offset, |offset, child, text| {
        let said = |verdict: &str| text.contains(&format!("verdict: {verdict}\n"));
        let verdict = match child.status.signal() {
            Some(SIGSEGV) => Verdict::Died,
            None if said("hit") => Verdict::Hit,
            None if said("nothing") => Verdict::Nothing,
            None if said("faulted") => Verdict::Faulted,
            _ => panic!("offset {offset}: {}:\n{text}", child.status),
        };
        verdicts.push((offset.parse().unwrap(), verdict));
    });
    verdicts
}

/// Exactly one offset confines; of the others most do nothing and about a quarter does harm.
fn check_sweep(verdicts: &[(isize, Verdict)], right: isize) {
    if verdicts.is_empty() {
        return;
    }
    let of = |wanted| verdicts.iter().filter(move |(_, verdict)| *verdict == wanted);
    let count = |wanted| of(wanted).count();
    let (died, faulted) = (count(Verdict::Died), count(Verdict::Faulted));
    println!(
        "{} offsets: nothing {}, died {died}, faulted {faulted}",
        verdicts.len(),
        count(Verdict::Nothing)
    );
    assert_eq!(of(Verdict::Hit).map(|(offset, _)| *offset).collect::<Vec<_>>(), [right]);
    let harm = died + faulted;
    assert!(verdicts.len() / 8 <= harm && harm <= verdicts.len() / 3, "{harm} did harm");
    assert!(0 < died && 0 < faulted, "{died} died, {faulted} faulted");
}

#[test]
fn one_offset_confines_and_the_others_do_nothing_or_harm() {
    let claim = "driver=13.3,cc=9.0,sms=32,cores=1,memory=1MiB";
    let path = concat!(module_path!(), "::one_offset_confines_and_the_others_do_nothing_or_harm");
    // The sweep that was published for this driver: -256..512 around the right offset.
    check_sweep(&sweep(path, claim, (0x5fc - 256..0x5fc + 512).step_by(4)), 0x5fc);
}

#[test]
fn another_driver_has_its_own_offset_and_its_own_harm() {
    let claim = "driver=12.8,cc=9.0,sms=32,cores=1,memory=1MiB";
    let path = concat!(module_path!(), "::another_driver_has_its_own_offset_and_its_own_harm");
    check_sweep(&sweep(path, claim, (0x4fc - 128..0x4fc + 384).step_by(4)), 0x4fc);
}

#[test]
fn a_driver_of_unpublished_offset_has_no_mask() {
    let claim = "driver=13.2,cc=9.0,sms=32,cores=1,memory=1MiB";
    let path = concat!(module_path!(), "::a_driver_of_unpublished_offset_has_no_mask");
    // The offsets of all versions since 12.0.
    let known = [0x4cc, 0x4e4, 0x49c, 0x4ac, 0x4ec, 0x4fc, 0x51c, 0x5fc];
    let verdicts = sweep(path, claim, known.into_iter());
    assert!(verdicts.iter().all(|(_, verdict)| *verdict != Verdict::Hit), "{verdicts:?}");
}

#[test]
fn a_late_store_ends_the_process() {
    let path = concat!(module_path!(), "::a_late_store_ends_the_process");
    let body = |_: &str| {
        context();
        let stream = free_stream();
        let late = structure(stream) + 0x5fc;
        call!(cuStreamDestroy_v2(stream));
        let at = std::ptr::with_exposed_provenance_mut::<u32>(late);
        println!("about to store");
        // SAFETY: this is the fault that the test is about.
        unsafe { at.write_volatile(1) };
    };
    let value = [String::new()];
    crate::child::run_each(path, "driver=13.3,memory=1MiB", &value, body, |_, child, text| {
        assert!(text.contains("about to store"), "it ended before:\n{text}");
        assert_eq!(child.status.signal(), Some(SIGSEGV), "{text}");
    });
}

crate::child::in_child! {
    every_bit_is_a_tpc_on_13_3("driver=13.3,cc=9.0,sms=132,cores=2,memory=16MiB") {
        check_every_bit(0x5fc, 132, new_layout);
    }

    every_bit_is_a_tpc_on_12_8("driver=12.8,cc=8.6,sms=32,cores=2,memory=16MiB") {
        check_every_bit(0x4fc, 32, new_layout);
    }

    every_bit_is_a_tpc_on_12_2("driver=12.2,cc=7.5,sms=16,cores=2,memory=16MiB") {
        check_every_bit(0x4e4, 16, new_layout);
    }

    every_bit_is_a_tpc_on_11_8("driver=11.8,cc=7.5,sms=32,cores=2,memory=16MiB") {
        check_every_bit(0x47c, 32, old_layout);
    }

    a_store_concerns_later_launches_only("driver=13.3,cc=9.0,sms=32,cores=2,memory=16MiB") {
        context();
        let probe = Probe::load();
        let (stream, gate) = (free_stream(), pinned_word());
        hold(stream, gate);
        store(stream, 0x5fc, &words(!0b10));
        probe.ask(stream);
        // The launch waits; what is stored now is not for it.
        store(stream, 0x5fc, &words(!1));
        gate.store(1, Ordering::Release);
        assert_eq!(probe.answer(stream), set(2..4));
        assert_eq!(probe.sms(stream), set(0..2));
    }

    a_mask_narrows_a_green_context("driver=13.3,cc=9.0,sms=32,cores=2,memory=16MiB") {
        context();
        let probe = Probe::load();
        let kind = CUdevResourceType::CU_DEV_RESOURCE_TYPE_SM;
        // SAFETY: zeros are resources of no type.
        let (mut all, mut part): (CUdevResource, CUdevResource) = unsafe { std::mem::zeroed() };
        let (mut groups, mut descriptor) = (1, null_mut());
        let (mut green, mut stream) = (null_mut(), null_mut());
        call!(cuDeviceGetDevResource(0, &mut all, kind));
        call!(cuDevSmResourceSplitByCount(&mut part, &mut groups, &all, null_mut(), 0, 16));
        call!(cuDevResourceGenerateDesc(&mut descriptor, &mut part, 1));
        call!(cuGreenCtxCreate(&mut green, descriptor, 0, 1));
        call!(cuGreenCtxStreamCreate(&mut stream, green, 1, 0));
        assert_eq!(probe.sms(stream), set(0..16));
        // TPCs 7 and 8: SMs 14 to 17, of which the context has two.
        store(stream, 0x5fc, &words(!(0b11 << 7)));
        assert_eq!(probe.sms(stream), set(14..16));
        store(stream, 0x5fc, &words(!(1 << 8)));
        assert_eq!(probe.try_launch(stream), CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
    }

    a_captured_launch_keeps_the_mask_of_its_stream("driver=13.3,cc=9.0,sms=16,memory=16MiB") {
        context();
        let probe = Probe::load();
        let (masked, free) = (free_stream(), free_stream());
        store(masked, 0x5fc, &words(!1));
        let graph = captured(masked, || probe.ask(masked));
        store(masked, 0x5fc, &words(!2));
        for launcher in [masked, free] {
            call!(cuGraphLaunch(graph, launcher));
            assert_eq!(probe.answer(launcher), set(0..2));
        }
    }

    handles_are_looked_up_and_never_reused("driver=13.3,memory=1MiB") {
        context();
        let mut seen = BTreeSet::new();
        for _ in 0..10_000 {
            let stream = free_stream();
            assert!(seen.insert(stream as usize), "an address was given out twice");
            assert_eq!(structure(stream) % 8, 0);
            call!(cuStreamDestroy_v2(stream));
            call!(cuStreamQuery(stream) is CUDA_ERROR_INVALID_HANDLE);
        }
        // An address within a structure, or before it, is no handle.
        let stream = free_stream();
        for wrong in [structure(stream), stream as usize + 8, stream as usize - 8] {
            call!(cuStreamQuery(wrong as CUstream) is CUDA_ERROR_INVALID_HANDLE);
        }
        let many: Vec<_> = (0..3000).map(|_| free_stream()).collect();
        many.iter().for_each(|stream| call!(cuStreamDestroy_v2(*stream)));
    }

    products_are_confined_as_kernels_are("driver=13.3,cc=9.0,sms=16,cores=2,memory=64MiB") {
        context();
        let probe = Probe::load();
        let (held, free, gate) = (free_stream(), free_stream(), pinned_word());
        // Every SM but four is held by a block that ends only after the product.
        store(held, 0x5fc, &words(0b11));
        probe.occupy(held, 12, gate.as_ptr() as u64);
        store(free, 0x5fc, &words(!0b11));
        crate::product::multiply_on(free);
        call!(cuStreamSynchronize(free));
        call!(cuStreamQuery(held) is CUDA_ERROR_NOT_READY);
        gate.store(1, Ordering::Release);
        call!(cuStreamSynchronize(held));
    }
}
