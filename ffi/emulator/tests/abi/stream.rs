//! Streams, events, host functions, values in memory: what waits for what.

use crate::calls::*;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};

extern "C" fn add_one(counter: *mut c_void) {
    // SAFETY: the tests pass a counter that outlives the stream's work.
    let counter = unsafe { AtomicU32::from_ptr(counter.cast()) };
    counter.fetch_add(1, Ordering::AcqRel);
}

crate::child::in_child! {
    a_stream_keeps_its_order_and_the_caller_does_not_wait("memory=1MiB") {
        context();
        let stream = stream(CUstream_flags::CU_STREAM_NON_BLOCKING);
        let (gate, flag, address) = (pinned_word(), pinned_word(), allocate(64));
        let counter = AtomicU32::new(0);
        hold(stream, gate);
        for n in 1..=100 {
            call!(cuMemsetD32Async(address, n, 16, stream));
        }
        call!(cuLaunchHostFunc(stream, Some(add_one), counter.as_ptr().cast()));
        call!(cuStreamWriteValue32_v2(stream, flag.as_ptr() as u64, 77, 0));
        call!(cuStreamQuery(stream) is CUDA_ERROR_NOT_READY);
        assert_eq!((counter.load(Ordering::Acquire), flag.load(Ordering::Acquire)), (0, 0));
        gate.store(1, Ordering::Release);
        while flag.load(Ordering::Acquire) != 77 {
            std::hint::spin_loop();
        }
        assert_eq!(counter.load(Ordering::Acquire), 1);
        call!(cuStreamSynchronize(stream));
        call!(cuStreamQuery(stream));
        assert_eq!(read_u32(address, 16), [100; 16]);
    }

    events_order_streams("memory=1MiB") {
        context();
        let [one, other] = [(); 2].map(|()| stream(CUstream_flags::CU_STREAM_NON_BLOCKING));
        let (gate, address, event) = (pinned_word(), allocate(4), event());
        // Never recorded: reached, and nothing to wait for.
        call!(cuEventQuery(event));
        call!(cuEventSynchronize(event));
        call!(cuStreamWaitEvent(other, event, 0));
        hold(one, gate);
        call!(cuMemsetD32Async(address, 1, 1, one));
        call!(cuEventRecord(event, one));
        call!(cuStreamWaitEvent(other, event, 0));
        call!(cuMemsetD32Async(address, 2, 1, other));
        call!(cuEventQuery(event) is CUDA_ERROR_NOT_READY);
        call!(cuStreamQuery(other) is CUDA_ERROR_NOT_READY);
        // The stream may go before its work.
        call!(cuStreamDestroy_v2(one));
        gate.store(1, Ordering::Release);
        call!(cuEventSynchronize(event));
        call!(cuStreamSynchronize(other));
        assert_eq!(read_u32(address, 1), [2]);
    }

    events_tell_time("memory=1MiB") {
        context();
        let stream = stream(CUstream_flags::CU_STREAM_DEFAULT);
        let (start, end, gate, mut millis) = (event(), event(), pinned_word(), 0.0);
        call!(cuEventElapsedTime_v2(&mut millis, start, end) is CUDA_ERROR_INVALID_HANDLE);
        call!(cuEventRecord(start, stream));
        hold(stream, gate);
        call!(cuEventRecord(end, stream));
        call!(cuEventElapsedTime_v2(&mut millis, start, end) is CUDA_ERROR_NOT_READY);
        gate.store(1, Ordering::Release);
        call!(cuEventSynchronize(end));
        call!(cuEventElapsedTime_v2(&mut millis, start, end));
        assert!(0.0 < millis);
        let mut untimed = null_mut();
        call!(cuEventCreate(&mut untimed, 2));
        call!(cuEventRecord(untimed, stream));
        call!(cuEventElapsedTime_v2(&mut millis, start, untimed) is CUDA_ERROR_INVALID_HANDLE);
    }

    the_null_stream_and_blocking_streams_wait_for_each_other("memory=1MiB") {
        context();
        let blocking = stream(CUstream_flags::CU_STREAM_DEFAULT);
        let free = stream(CUstream_flags::CU_STREAM_NON_BLOCKING);
        let (gate, seen) = (pinned_word(), pinned_word());
        hold(blocking, gate);
        call!(cuStreamWriteValue32_v2(null_mut(), seen.as_ptr() as u64, 1, 0));
        let later = stream(CUstream_flags::CU_STREAM_DEFAULT);
        let after = pinned_word();
        call!(cuStreamWriteValue32_v2(later, after.as_ptr() as u64, 1, 0));
        // A stream that is not blocking passes both.
        let passed = pinned_word();
        call!(cuStreamWriteValue32_v2(free, passed.as_ptr() as u64, 1, 0));
        call!(cuStreamSynchronize(free));
        assert_eq!(passed.load(Ordering::Acquire), 1);
        call!(cuStreamQuery(null_mut()) is CUDA_ERROR_NOT_READY);
        call!(cuStreamQuery(later) is CUDA_ERROR_NOT_READY);
        assert_eq!((seen.load(Ordering::Acquire), after.load(Ordering::Acquire)), (0, 0));
        gate.store(1, Ordering::Release);
        call!(cuStreamSynchronize(later));
        assert_eq!((seen.load(Ordering::Acquire), after.load(Ordering::Acquire)), (1, 1));
    }

    each_thread_has_a_default_stream_of_its_own("memory=1MiB") {
        let context = context() as usize;
        let gate = pinned_word();
        let per_thread = 2_usize as CUstream;
        hold(per_thread, gate);
        std::thread::spawn(move || {
            call!(cuCtxSetCurrent(context as CUcontext));
            call!(cuStreamQuery(2_usize as CUstream));
        })
        .join()
        .unwrap();
        call!(cuStreamQuery(per_thread) is CUDA_ERROR_NOT_READY);
        gate.store(1, Ordering::Release);
        call!(cuStreamSynchronize(per_thread));
    }

    waits_for_values_know_their_conditions("memory=1MiB") {
        context();
        let stream = stream(CUstream_flags::CU_STREAM_NON_BLOCKING);
        // (condition, awaited, a word that is not enough, one that is)
        for (flags, awaited, short, enough) in [
            (0, 5, 4, 6), (0, 2, u32::MAX, 3), (1, 5, 6, 5), (2, 0b100, 0b011, 0b110),
            (3, 0b1, u32::MAX - 1, 0x7fff_ffff),
        ] {
            let word = pinned_word();
            word.store(short, Ordering::Release);
            call!(cuStreamWaitValue32_v2(stream, word.as_ptr() as u64, awaited, flags));
            call!(cuStreamQuery(stream) is CUDA_ERROR_NOT_READY);
            word.store(enough, Ordering::Release);
            call!(cuStreamSynchronize(stream));
        }
        let word = pinned_word();
        let address = word.as_ptr() as u64;
        call!(cuStreamWriteValue32_v2(stream, address + 2, 1, 0) is CUDA_ERROR_INVALID_VALUE);
        call!(cuStreamWriteValue64_v2(stream, address, 1, 0) is CUDA_ERROR_INVALID_VALUE);
        call!(cuStreamWaitValue32_v2(stream, address, 1, 9) is CUDA_ERROR_INVALID_VALUE);
        call!(cuStreamWriteValue32_v2(stream, 4096, 1, 0) is CUDA_ERROR_INVALID_VALUE);
    }
}
