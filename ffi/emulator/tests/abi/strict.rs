//! In strict mode, calls that may synchronise a real device make all lanes meet, and are reported.

use crate::calls::*;
use crate::kernel::Machine;
use std::ffi::c_void;
use std::path::PathBuf;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};

fn claim() -> String {
    let report = std::env::temp_dir().join(format!("gpumux-strict-{}", std::process::id()));
    format!("strict=on,report={}", report.display())
}

/// Where this process's driver reports to: what the claim says.
fn report() -> PathBuf {
    let claim = std::env::var("GPUMUX_EMULATED").unwrap();
    claim.split_once("report=").unwrap().1.into()
}

/// The calls that were reported since the last look, by their names.
fn reported() -> Vec<String> {
    let text = std::fs::read_to_string(report()).unwrap_or_default();
    std::fs::write(report(), "").unwrap();
    text.lines().map(|line| line.split(' ').nth(2).unwrap().to_owned()).collect()
}

extern "C" fn finish_late(done: *mut c_void) {
    // Long enough for a call that does not wait to be over before.
    for _ in 0..20_000 {
        std::thread::yield_now();
    }
    // SAFETY: the test's flag outlives the stream's work, for which it waits.
    let done = unsafe { &*done.cast::<AtomicBool>() };
    done.store(true, Ordering::Release);
}

fn stream() -> CUstream {
    let mut stream = null_mut();
    call!(cuStreamCreate(&mut stream, CUstream_flags::CU_STREAM_NON_BLOCKING as u32));
    stream
}

/// Makes a call while another lane works, and checks that it waited and was reported.
fn check(other: CUstream, name: &str, call: impl FnOnce()) {
    let done = AtomicBool::new(false);
    reported();
    let flag = (&raw const done).cast_mut().cast();
    call!(cuLaunchHostFunc(other, Some(finish_late), flag));
    call();
    assert!(done.load(Ordering::Acquire), "{name} did not wait for the other lane");
    assert_eq!(reported(), [name]);
}

crate::child::in_child! {
    calls_that_may_synchronise_make_all_lanes_meet(&claim()) {
        let machine = Machine::start();
        let (lane, other) = (stream(), stream());
        let mut address = 0;
        let mut host = null_mut();
        check(other, "Allocate", || call!(cuMemAlloc_v2(&mut address, 4096)));
        check(other, "Allocate", || call!(cuMemHostAlloc(&mut host, 4096, 0)));
        check(other, "LoadFunction", || machine.launch(c"where", 1, 1, lane, &[address]));
        check(other, "Copy", || call!(cuMemcpyHtoD_v2(address, host, 4)));
        check(other, "Copy", || call!(cuMemsetD8_v2(address, 0, 4)));
        check(other, "Context", || call!(cuCtxSynchronize()));
        check(other, "LoadModule", || _ = Machine::here());
        check(other, "Free", || call!(cuMemFree_v2(address)));
        check(other, "Free", || call!(cuMemFreeHost(host)));
        let mut words = vec![0_u8; 8192];
        let start = words.as_mut_ptr().cast();
        check(other, "Register", || call!(cuMemHostRegister_v2(start, 8192, 0)));
        check(other, "Register", || call!(cuMemHostUnregister(start)));
        std::fs::remove_file(report()).unwrap();
    }

    calls_that_synchronise_nothing_are_not_reported(&claim()) {
        let machine = Machine::start();
        let lane = stream();
        let mut host = null_mut();
        call!(cuMemHostAlloc(&mut host, 4096, 0));
        let address = allocate(4096);
        machine.launch(c"where", 1, 1, lane, &[address]);
        reported();
        machine.launch(c"where", 1, 1, lane, &[address]);
        call!(cuMemcpyHtoDAsync_v2(address, host, 4096, lane));
        call!(cuMemcpyDtoHAsync_v2(host, address, 4096, lane));
        call!(cuStreamSynchronize(lane));
        assert_eq!(reported(), [""; 0]);
        std::fs::remove_file(report()).unwrap();
    }
}
