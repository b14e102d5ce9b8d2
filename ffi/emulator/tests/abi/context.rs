//! Contexts, and handles that are none.

use crate::calls::*;
use std::ptr::null_mut;

crate::child::in_child! {
    wrong_handles_are_refused("memory=1MiB") {
        let context = context();
        let (stream, event) = (stream(CUstream_flags::CU_STREAM_DEFAULT), event());
        call!(cuStreamSynchronize(event.cast()) is CUDA_ERROR_INVALID_HANDLE);
        call!(cuEventRecord(stream.cast(), stream) is CUDA_ERROR_INVALID_HANDLE);
        call!(cuEventQuery(null_mut()) is CUDA_ERROR_INVALID_HANDLE);
        call!(cuStreamQuery(0xdead_0000_usize as CUstream) is CUDA_ERROR_INVALID_HANDLE);
        call!(cuCtxSetCurrent(stream.cast()) is CUDA_ERROR_INVALID_CONTEXT);
        call!(cuStreamDestroy_v2(stream));
        call!(cuStreamDestroy_v2(stream) is CUDA_ERROR_INVALID_HANDLE);
        call!(cuEventDestroy_v2(event));
        call!(cuEventDestroy_v2(event) is CUDA_ERROR_INVALID_HANDLE);
        call!(cuStreamDestroy_v2(null_mut()) is CUDA_ERROR_INVALID_HANDLE);
        // Destroying the primary context that way is an error, and does nothing.
        call!(cuCtxDestroy_v2(context) is CUDA_ERROR_INVALID_CONTEXT);
        call!(cuCtxSynchronize());
    }

    contexts_take_what_they_own_with_them("memory=1MiB") {
        call!(cuInit(0));
        let mut context = null_mut();
        call!(cuCtxCreate_v4(&mut context, null_mut(), 0, 0));
        let address = allocate(1 << 20);
        let stream = stream(CUstream_flags::CU_STREAM_DEFAULT);
        let gate = pinned_word();
        hold(stream, gate);
        call!(cuMemsetD8Async(address, 1, 16, stream));
        call!(cuCtxDestroy_v2(context));
        call!(cuCtxDestroy_v2(context) is CUDA_ERROR_INVALID_CONTEXT);
        call!(cuCtxSynchronize() is CUDA_ERROR_INVALID_CONTEXT);
        call!(cuStreamSynchronize(stream) is CUDA_ERROR_INVALID_HANDLE);
        crate::calls::context();
        allocate(1 << 20);
    }

    a_context_that_is_destroyed_elsewhere_is_no_longer_usable("memory=1MiB") {
        call!(cuInit(0));
        let mut context = null_mut();
        call!(cuCtxCreate_v4(&mut context, null_mut(), 0, 0));
        let handle = context as usize;
        std::thread::spawn(move || call!(cuCtxDestroy_v2(handle as CUcontext))).join().unwrap();
        call!(cuCtxSynchronize() is CUDA_ERROR_CONTEXT_IS_DESTROYED);
        let mut top = null_mut();
        call!(cuCtxGetCurrent(&mut top));
        assert_eq!(top, context);
        call!(cuCtxSetCurrent(null_mut()));
        call!(cuCtxSynchronize() is CUDA_ERROR_INVALID_CONTEXT);
    }

    the_primary_context_is_counted("memory=1MiB") {
        call!(cuInit(0));
        call!(cuDevicePrimaryCtxRelease_v2(0) is CUDA_ERROR_INVALID_CONTEXT);
        let (mut one, mut other) = (null_mut(), null_mut());
        call!(cuDevicePrimaryCtxRetain(&mut one, 0));
        call!(cuDevicePrimaryCtxRetain(&mut other, 0));
        assert_eq!(one, other);
        call!(cuDevicePrimaryCtxRelease_v2(0));
        let (mut flags, mut active) = (9, 9);
        call!(cuDevicePrimaryCtxGetState(0, &mut flags, &mut active));
        assert_eq!((flags, active), (0, 1));
        call!(cuDevicePrimaryCtxRelease_v2(0));
        call!(cuDevicePrimaryCtxGetState(0, &mut flags, &mut active));
        assert_eq!((flags, active), (0, 0));
        call!(cuDevicePrimaryCtxRetain(&mut one, 1) is CUDA_ERROR_INVALID_DEVICE);
    }

    the_stack_of_contexts_is_a_threads_own("memory=1MiB") {
        let primary = context();
        let (mut made, mut top) = (null_mut(), null_mut());
        call!(cuCtxCreate_v4(&mut made, null_mut(), 0, 0));
        call!(cuCtxGetCurrent(&mut top));
        assert_eq!(top, made);
        std::thread::spawn(|| {
            let mut top = null_mut();
            call!(cuCtxGetCurrent(&mut top));
            assert!(top.is_null());
            call!(cuCtxPopCurrent_v2(&mut top) is CUDA_ERROR_INVALID_CONTEXT);
        })
        .join()
        .unwrap();
        call!(cuCtxPopCurrent_v2(&mut top));
        assert_eq!(top, made);
        call!(cuCtxGetCurrent(&mut top));
        assert_eq!(top, primary);
    }
}
