//! `system.cu`: printing, the heap, clocks.

use super::{Module, each, upload};
use std::io::Read as _;
use std::os::fd::FromRawFd as _;

/// What a kernel prints, caught in a pipe in the place of standard output.
fn printed(run: impl FnOnce()) -> String {
    let mut ends = [0; 2];
    // SAFETY: a place for two numbers.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    let flush = || {
        // SAFETY: null means all streams of the process.
        unsafe { libc::fflush(std::ptr::null_mut()) };
    };
    flush();
    // SAFETY: numbers of open files; the copy is put back below.
    let kept = unsafe { libc::dup(1) };
    // SAFETY: as above.
    unsafe { libc::dup2(ends[1], 1) };
    run();
    flush();
    // SAFETY: as above.
    unsafe { libc::dup2(kept, 1) };
    // SAFETY: the write end is not used again, so that the read below ends.
    unsafe { libc::close(ends[1]) };
    // SAFETY: the read end belongs to nobody else.
    let mut end = unsafe { std::fs::File::from_raw_fd(ends[0]) };
    let mut text = String::new();
    end.read_to_string(&mut text).unwrap();
    text
}

fn prints(module: &Module) {
    let text = printed(|| {
        module.launch("prints", [32, 1, 1], 0, &[(-7i64).cast_unsigned(), 1.25f64.to_bits()])
    });
    let expected = "x=-7 y=1.250 text q    42|ff    |1099511627776 %\n\
                    7 args, 0x10 1.25e+06 -3 200 0.5\nplain\n";
    assert_eq!(text, expected, "{}", module.text.name);
}

fn heap(module: &Module) {
    let input: Vec<i32> = (0..128).map(|at| at * 3).collect();
    // More than the heap would hold if nothing were given back.
    for _ in 0..20 {
        let found = module.rows::<i32>("heap", 128, 2, &[upload(&input)]);
        for (at, found) in found.iter().enumerate() {
            let sum = (0..input[at] & 7).map(|k| k + at as i32).sum::<i32>();
            assert_eq!(found, &[sum, 1], "{}", module.text.name);
        }
    }
}

fn clocks(module: &Module) {
    let out = upload(&[0u64; 4]);
    module.launch("clocks", [1, 1, 1], 0, &[out]);
    assert_eq!(super::download::<u64>(out, 4), [1; 4], "{}", module.text.name);
}

crate::child::in_child! {
    kernels_print_allocate_and_look_at_clocks("sms=2,memory=64MiB,driver=13.5") {
        each("system", |module| {
            prints(module);
            heap(module);
            clocks(module);
        });
    }
}
