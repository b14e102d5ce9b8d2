//! The driver misbehaves when it is told to, and only as told.

use crate::calls::*;
use crate::kernel::Machine;
use std::ffi::CStr;
use std::ptr::null_mut;

/// Launches a kernel that adds nothing to nothing, and waits.
fn add(machine: &Machine) -> CUresult {
    machine.launch(c"add", 1, 32, null_mut(), &[0, 0, 0, 0]);
    // SAFETY: the call takes nothing.
    unsafe { cuCtxSynchronize() }
}

/// Whether the loader finds a function of the driver.
fn is_there(name: &CStr) -> bool {
    // SAFETY: text that ends with zero; the library stays machine.
    let library = unsafe { libc::dlopen(c"libcuda.so.1".as_ptr(), libc::RTLD_LAZY) };
    assert!(!library.is_null());
    // SAFETY: a library that is machine, and text that ends with zero.
    !unsafe { libc::dlsym(library, name.as_ptr()) }.is_null()
}

crate::child::in_child! {
    one_allocation_fails("fail-allocation=2") {
        context();
        allocate(16);
        let mut address = 0;
        call!(cuMemAlloc_v2(&mut address, 16) is CUDA_ERROR_OUT_OF_MEMORY);
        allocate(16);
    }

    one_launch_of_a_kernel_faults("fault=add:2") {
        let machine = Machine::start();
        let out = allocate(4);
        assert_eq!(add(&machine), CUDA_SUCCESS);
        machine.launch(c"where", 1, 1, null_mut(), &[out]);
        assert_eq!(add(&machine), CUDA_ERROR_ILLEGAL_ADDRESS);
        call!(cuMemFree_v2(out) is CUDA_ERROR_ILLEGAL_ADDRESS);
    }

    a_hanging_launch_runs_into_the_limit("hang=add:1,limit=50ms") {
        assert_eq!(add(&Machine::start()), CUDA_ERROR_LAUNCH_TIMEOUT);
    }

    a_hanging_launch_ends_with_its_context("hang=add:1") {
        call!(cuInit(0));
        let mut context = null_mut();
        call!(cuCtxCreate_v4(&mut context, null_mut(), 0, 0));
        let machine = Machine::here();
        machine.launch(c"add", 1, 32, null_mut(), &[0, 0, 0, 0]);
        call!(cuStreamQuery(null_mut()) is CUDA_ERROR_NOT_READY);
        call!(cuCtxDestroy_v2(context));
        call!(cuCtxCreate_v4(&mut context, null_mut(), 0, 0));
        assert_eq!(add(&Machine::here()), CUDA_SUCCESS);
    }

    a_lost_device_stays_lost("lose=2") {
        let machine = Machine::start();
        assert_eq!(add(&machine), CUDA_SUCCESS);
        assert_eq!(add(&machine), CUDA_ERROR_UNKNOWN);
        call!(cuCtxSynchronize() is CUDA_ERROR_UNKNOWN);
        let mut context = null_mut();
        call!(cuCtxCreate_v4(&mut context, null_mut(), 0, 0) is CUDA_ERROR_UNKNOWN);
    }

    poison_that_was_copied_makes_the_next_launch_fault("poison=on") {
        let machine = Machine::start();
        let to = allocate(64);
        let harmless = *b"gpumux-poison:nothing at all";
        // SAFETY: the bytes are there, and the allocation is longer.
        let copy = |bytes: &[u8]| unsafe { cuMemcpyHtoD_v2(to, bytes.as_ptr().cast(), bytes.len()) };
        assert_eq!(copy(&harmless), CUDA_SUCCESS);
        assert_eq!(add(&machine), CUDA_SUCCESS);
        assert_eq!(copy(b"...gpumux-poison:illegal..."), CUDA_SUCCESS);
        assert_eq!(add(&machine), CUDA_ERROR_ILLEGAL_ADDRESS);
    }

    functions_are_absent("absent=cuMemAllocAsync+cuMemPrefetchAsync_v2") {
        assert!(is_there(c"cuMemAlloc_v2"));
        assert!(!is_there(c"cuMemAllocAsync"));
        call!(cuInit(0));
        let mut address = null_mut();
        for (name, code) in [
            (c"cuMemAlloc", CUDA_SUCCESS),
            (c"cuMemAllocAsync", CUDA_ERROR_NOT_FOUND),
            (c"cuMemPrefetchAsync", CUDA_ERROR_NOT_FOUND),
        ] {
            call!(cuGetProcAddress_v2(
                name.as_ptr(), &mut address, 13000, 0, null_mut()
            ) is code);
        }
    }
}
