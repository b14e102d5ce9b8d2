//! Every way in which a kernel can fail, through the driver's ABI: the code that it becomes, that every
//! later call returns it in every context of the process, and that the process lives.
//!
//! NVIDIA's manual says of each of these codes that the process is left in an inconsistent state, and
//! that any further CUDA work returns the same error until the process ends; so a second context of the
//! device sees it too.

use crate::calls::*;
use std::ffi::{CStr, CString, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};

/// A module with one kernel `k`, whose parameters are `%d1` and `%d2`.
fn module(declared: &str, body: &str) -> CUmodule {
    let text = format!(
        ".version 8.0\n.target sm_75\n.address_size 64\n{declared}\n\
         .visible .entry k(.param .u64 a, .param .u64 b)\n{{\n\
         .reg .pred %p<4>; .reg .b16 %h<4>; .reg .b32 %r<8>; .reg .b64 %d<8>; .reg .f32 %f<8>;\n\
         ld.param.u64 %d1, [a]; ld.param.u64 %d2, [b];\n{body}\nret;\n}}\n"
    );
    let text = CString::new(text).unwrap();
    let mut module = null_mut();
    call!(cuModuleLoadData(&mut module, text.as_ptr().cast()));
    module
}

fn launch(module: CUmodule, threads: u32, stream: CUstream, parameters: [u64; 2]) {
    let mut function = null_mut();
    call!(cuModuleGetFunction(&mut function, module, c"k".as_ptr()));
    let mut pointers: [*mut c_void; 2] =
        parameters.each_ref().map(|value| (&raw const *value).cast_mut().cast());
    let pointers = pointers.as_mut_ptr();
    call!(cuLaunchKernel(function, 1, 1, 1, threads, 1, 1, 0, stream, pointers, null_mut()));
}

/// What the program is told from then on, whatever it calls.
fn is_told(module: CUmodule, other: CUcontext, code: CUresult) {
    let stream = null_mut();
    let (mut address, mut function, mut event) = (0, null_mut(), null_mut());
    let mut made: CUstream = null_mut();
    let mut word = 0_u32;
    for _ in 0..2 {
        call!(cuStreamSynchronize(stream) is code);
        call!(cuStreamQuery(stream) is code);
        call!(cuCtxSynchronize() is code);
        call!(cuMemAlloc_v2(&mut address, 4) is code);
        call!(cuMemcpyDtoH_v2((&raw mut word).cast(), 4096, 4) is code);
        call!(cuModuleGetFunction(&mut function, module, c"k".as_ptr()) is code);
        call!(cuEventCreate(&mut event, 0) is code);
        call!(cuStreamCreate(&mut made, 0) is code);
        call!(cuModuleLoadData((&raw mut function).cast(), c".version 8.0".as_ptr().cast()) is code);
        // The same in a context that had no part in it.
        call!(cuCtxPushCurrent_v2(other));
        call!(cuMemAlloc_v2(&mut address, 4) is code);
        call!(cuCtxSynchronize() is code);
        call!(cuCtxPopCurrent_v2(null_mut()));
    }
    // What does not ask the device still answers.
    let (mut version, mut name) = (0, std::ptr::null());
    call!(cuDriverGetVersion(&mut version));
    call!(cuGetErrorName(code, &mut name));
    // SAFETY: the driver returned a text that ends with zero.
    let name = unsafe { CStr::from_ptr(name) };
    assert!(name.to_str().unwrap().starts_with("CUDA_ERROR_"));
}

/// Runs a kernel that must fail with `code`.
fn fails(declared: &str, body: &str, parameters: [u64; 2], code: CUresult) {
    let mut other = null_mut();
    call!(cuInit(0));
    call!(cuCtxCreate_v4(&mut other, null_mut(), 0, 0));
    call!(cuCtxPopCurrent_v2(&mut other));
    context();
    let module = module(declared, body);
    launch(module, 32, null_mut(), parameters);
    call!(cuCtxSynchronize() is code);
    is_told(module, other, code);
}

const ILLEGAL: CUresult = CUDA_ERROR_ILLEGAL_ADDRESS;
const MISALIGNED: CUresult = CUDA_ERROR_MISALIGNED_ADDRESS;

/// What `%d1` and `%d2` are in the tests that take device memory: an allocation of 256 bytes and the
/// address behind it.
fn ends() -> [u64; 2] {
    context();
    let address = allocate(256);
    [address, address + 256]
}

fn function_that_is_code() {}

crate::child::in_child! {
    a_load_past_the_end_is_illegal("sms=2,memory=16MiB") {
        fails("", "ld.global.u32 %r1, [%d2];", ends(), ILLEGAL);
    }

    a_store_before_the_start_is_illegal("sms=2,memory=16MiB") {
        fails("", "st.global.u32 [%d1+-4], 1;", ends(), ILLEGAL);
    }

    an_atomic_past_the_end_is_illegal("sms=2,memory=16MiB") {
        fails("", "atom.global.add.u32 %r1, [%d2], 1;", ends(), ILLEGAL);
    }

    a_reduction_past_the_end_is_illegal("sms=2,memory=16MiB") {
        fails("", "red.add.u32 [%d2], 1;", ends(), ILLEGAL);
    }

    a_generic_load_past_the_end_is_illegal("sms=2,memory=16MiB") {
        fails("", "ld.u32 %r1, [%d2];", ends(), ILLEGAL);
    }

    a_vector_past_the_end_is_illegal("sms=2,memory=16MiB") {
        fails("", "ld.global.v4.f32 {%f1,%f2,%f3,%f4}, [%d2];", ends(), ILLEGAL);
    }

    null_is_illegal("sms=2,memory=16MiB") {
        fails("", "st.global.u32 [%d1], 1;", [0, 0], ILLEGAL);
    }

    a_null_that_is_loaded_is_illegal("sms=2,memory=16MiB") {
        fails("", "ld.u8 %r1, [%d1];", [0, 0], ILLEGAL);
    }

    freed_memory_is_illegal("sms=2,memory=16MiB") {
        context();
        let address = allocate(64);
        call!(cuMemFree_v2(address));
        fails("", "ld.global.u32 %r1, [%d1];", [address, 0], ILLEGAL);
    }

    the_host_s_stack_stays_as_it_is("sms=2,memory=16MiB") {
        let own = AtomicU32::new(1);
        fails("", "st.global.u32 [%d1], 7;", [own.as_ptr() as u64, 0], ILLEGAL);
        assert_eq!(own.load(Ordering::Relaxed), 1);
    }

    the_host_s_heap_stays_as_it_is("sms=2,memory=16MiB") {
        let own = Box::new(AtomicU32::new(1));
        fails("", "st.u32 [%d1], 7;", [own.as_ptr() as u64, 0], ILLEGAL);
        assert_eq!(own.load(Ordering::Relaxed), 1);
    }

    the_host_s_heap_stays_as_it_is_for_atomics("sms=2,memory=16MiB") {
        let own = Box::new(AtomicU32::new(1));
        fails("", "atom.exch.b32 %r1, [%d1], 7;", [own.as_ptr() as u64, 0], ILLEGAL);
        assert_eq!(own.load(Ordering::Relaxed), 1);
    }

    the_host_s_code_stays_as_it_is("sms=2,memory=16MiB") {
        let code = function_that_is_code as fn() as usize as *const u8;
        // SAFETY: the first byte of a function can be read.
        let before = unsafe { code.read_volatile() };
        fails("", "st.global.u8 [%d1], 7;", [code as u64, 0], ILLEGAL);
        // SAFETY: as above.
        assert_eq!(unsafe { code.read_volatile() }, before);
        function_that_is_code();
    }

    the_driver_s_own_memory_stays_as_it_is("sms=2,memory=16MiB") {
        // The driver's code, wherever the loader put it.
        fails("", "st.global.u32 [%d1], 7;", [cuInit as *const () as u64 & !3, 0], ILLEGAL);
    }

    shared_memory_has_an_end("sms=2,memory=16MiB") {
        fails(".shared .align 4 .b8 s[64];", "mov.u64 %d3, s; st.shared.u32 [%d3+64], 1;", [0, 0], ILLEGAL);
    }

    shared_memory_has_an_end_for_generic_addresses("sms=2,memory=16MiB") {
        let body = "mov.u64 %d3, s; cvta.shared.u64 %d3, %d3; ld.u32 %r1, [%d3+1024];";
        fails(".shared .align 4 .b8 s[64];", body, [0, 0], ILLEGAL);
    }

    local_memory_has_an_end("sms=2,memory=16MiB") {
        fails("", ".local .align 4 .b8 l[64]; mov.u64 %d3, l; st.local.u32 [%d3+64], 1;", [0, 0], ILLEGAL);
    }

    constant_memory_has_an_end("sms=2,memory=16MiB") {
        let body = "mov.u64 %d3, c; ld.const.u32 %r1, [%d3+4096];";
        fails(".const .align 4 .b8 c[64];", body, [0, 0], ILLEGAL);
    }

    a_misaligned_load_is_told_apart("sms=2,memory=16MiB") {
        fails("", "ld.global.u32 %r1, [%d1+2];", ends(), MISALIGNED);
    }

    a_misaligned_vector_is_told_apart("sms=2,memory=16MiB") {
        fails("", "ld.global.v4.f32 {%f1,%f2,%f3,%f4}, [%d1+8];", ends(), MISALIGNED);
    }

    a_misaligned_atomic_is_told_apart("sms=2,memory=16MiB") {
        fails("", "atom.global.add.u64 %d3, [%d1+4], 1;", ends(), MISALIGNED);
    }

    misaligned_shared_memory_is_told_apart("sms=2,memory=16MiB") {
        fails(".shared .align 8 .b8 s[64];", "mov.u64 %d3, s; add.u64 %d3, %d3, 2; ld.shared.u32 %r1, [%d3];", [0, 0], MISALIGNED);
    }

    a_misaligned_generic_store_is_told_apart("sms=2,memory=16MiB") {
        fails("", "st.u16 [%d1+1], %h1;", ends(), MISALIGNED);
    }

    a_failed_assertion_is_710("sms=2,memory=16MiB") {
        let declared = ".extern .func __assertfail(.param .b64 m, .param .b64 f, .param .b32 l, .param .b64 n, .param .b64 s);\n\
                        .global .align 1 .b8 text[3] = {120, 121, 0};";
        let body = "{ .param .b64 m; .param .b64 f; .param .b32 l; .param .b64 n; .param .b64 s; mov.u64 %d3, text;\n\
                    st.param.b64 [m], %d3; st.param.b64 [f], %d3; st.param.b32 [l], 7; st.param.b64 [n], %d3; st.param.b64 [s], 1;\n\
                    call.uni __assertfail, (m, f, l, n, s); }";
        fails(declared, body, [0, 0], CUDA_ERROR_ASSERT);
    }

    a_trap_is_719("sms=2,memory=16MiB") {
        fails("", "mov.u32 %r1, %tid.x; setp.eq.u32 %p1, %r1, 9; @%p1 trap;", [0, 0], CUDA_ERROR_LAUNCH_FAILED);
    }

    a_call_that_leads_nowhere_is_718("sms=2,memory=16MiB") {
        fails("", "proto: .callprototype _ (); call %d1, proto;", [0x1234, 0], CUDA_ERROR_INVALID_PC);
    }

    /// As on a device, whose stack is local memory too: the access behind its end is what is seen.
    a_recursion_without_end_is_illegal("sms=2,memory=16MiB") {
        let declared = ".func deeper(.param .b64 x);\n\
                        .func deeper(.param .b64 x) { .local .b8 l[16]; .reg .b64 %d<3>; ld.param.u64 %d1, [x]; add.u64 %d1, %d1, 1; st.local.u64 [l], %d1;\n\
                        { .param .b64 y; st.param.b64 [y], %d1; call.uni deeper, (y); } ld.local.u64 %d2, [l]; ret; }";
        let body = "{ .param .b64 y; st.param.b64 [y], %d1; call.uni deeper, (y); }";
        fails(declared, body, [0, 0], ILLEGAL);
    }

    freeing_what_was_not_allocated_is_illegal("sms=2,memory=16MiB") {
        let declared = ".extern .func free(.param .b64 p);";
        let body = "{ .param .b64 p; st.param.b64 [p], %d1; call.uni free, (p); }";
        fails(declared, body, ends(), ILLEGAL);
    }

    a_loop_of_one_thread_ends_with_its_time_limit("sms=2,memory=16MiB,limit=20ms") {
        fails("", "AGAIN: bra AGAIN;", [0, 0], CUDA_ERROR_LAUNCH_TIMEOUT);
    }

    a_loop_around_a_barrier_ends_with_its_time_limit("sms=2,memory=16MiB,limit=20ms") {
        fails("", "AGAIN: bar.sync 0; bra AGAIN;", [0, 0], CUDA_ERROR_LAUNCH_TIMEOUT);
    }

    threads_that_wait_for_nobody_end_with_their_time_limit("sms=2,memory=16MiB,limit=20ms") {
        fails("", "bar.sync 0, 64;", [0, 0], CUDA_ERROR_LAUNCH_TIMEOUT);
    }

    endless_kernels_end_with_their_context("sms=2,cores=1,memory=16MiB") {
        call!(cuInit(0));
        for body in [
            "AGAIN: bra AGAIN;",
            "AGAIN: bar.sync 0; bra AGAIN;",
            "AGAIN: bar.warp.sync 0xffffffff; bra AGAIN;",
            "bar.sync 0, 64;",
            "AGAIN: ld.volatile.global.u32 %r1, [%d1]; setp.eq.u32 %p1, %r1, 0; @%p1 bra AGAIN;",
            "AGAIN: atom.global.cas.b32 %r1, [%d1], 1, 0; setp.ne.u32 %p1, %r1, 1; @%p1 bra AGAIN;",
            "AGAIN: nanosleep.u32 100; bra AGAIN;",
        ] {
            let mut context = null_mut();
            call!(cuCtxCreate_v4(&mut context, null_mut(), 0, 0));
            let word = allocate(4);
            launch(module("", body), 32, null_mut(), [word, 0]);
            call!(cuStreamQuery(null_mut()) is CUDA_ERROR_NOT_READY);
            call!(cuCtxDestroy_v2(context));
            // The SM is free again, and no error is left behind.
            call!(cuCtxCreate_v4(&mut context, null_mut(), 0, 0));
            let word = allocate(4);
            launch(module("", "st.global.u32 [%d1], 5;"), 1, null_mut(), [word, 0]);
            assert_eq!(read_u32(word, 1), [5], "{body}");
            call!(cuCtxDestroy_v2(context));
        }
    }
}
