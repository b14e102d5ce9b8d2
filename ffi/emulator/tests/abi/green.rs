//! Green contexts: their streams, who waits for whom, and what they share with the primary context.

use crate::calls::*;
use crate::graph::captured;
use crate::smid::Probe;
use crate::split::{
    DEFAULT_STREAM, NON_BLOCKING, SM, blank, check_descriptor, count, descriptor, device, green,
    set, split, stream_of,
};
use std::ptr::null_mut;
use std::sync::atomic::Ordering;

crate::child::in_child! {
    a_green_context_is_a_view_of_the_primary_one("driver=13.3,cc=9.0,sms=32,memory=16MiB") {
        let primary = context();
        let probe = Probe::load();
        let (parts, _) = split(&device(), 4, 8, 0);
        let green = green(&parts[1..2]);
        // What was not converted is no context.
        call!(cuCtxSetCurrent(green.cast()) is CUDA_ERROR_INVALID_CONTEXT);
        let (mut view, mut top, mut of) = (null_mut(), null_mut(), null_mut());
        call!(cuCtxFromGreenCtx(&mut view, green));
        call!(cuCtxPushCurrent_v2(view));
        call!(cuCtxGetCurrent(&mut top));
        assert!(top == view && view != primary);
        // Memory and modules are the primary context's; streams are its own, the null one included.
        assert_eq!(probe.sms(null_mut()), set(8..16));
        let made = stream(CUstream_flags::CU_STREAM_DEFAULT);
        assert_eq!(probe.sms(made), set(8..16));
        call!(cuStreamQuery(2_usize as CUstream) is CUDA_ERROR_INVALID_HANDLE);
        let mut own = blank();
        for stream in [null_mut(), made] {
            call!(cuStreamGetGreenCtx(stream, &mut of));
            assert_eq!(of, green);
            call!(cuStreamGetDevResource(stream, &mut own, SM));
            assert_eq!(count(&own), 8);
            call!(cuStreamGetCtx(stream, &mut top));
            assert_eq!(top, view);
            call!(cuStreamGetCtx_v2(stream, &mut top, &mut of));
            assert_eq!((top, of), (primary, green));
        }
        let (mut number, mut context_number) = (0, 0);
        call!(cuGreenCtxGetId(null_mut(), &mut number));
        call!(cuCtxGetId(null_mut(), &mut context_number));
        assert_eq!(number, context_number);
        call!(cuCtxGetDevResource(view, &mut own, SM));
        assert_eq!(count(&own), 8);
        let address = allocate(4);
        call!(cuCtxDestroy_v2(view) is CUDA_ERROR_INVALID_CONTEXT);
        call!(cuCtxPopCurrent_v2(&mut top));
        assert_eq!(top, view);
        call!(cuGreenCtxGetId(null_mut(), &mut number) is CUDA_ERROR_INVALID_CONTEXT);
        assert_eq!(probe.sms(null_mut()), set(0..32));
        call!(cuStreamGetGreenCtx(null_mut(), &mut of));
        assert!(of.is_null());
        call!(cuStreamGetDevResource(null_mut(), &mut own,
            CUdevResourceType::CU_DEV_RESOURCE_TYPE_WORKQUEUE_CONFIG)
            is CUDA_ERROR_INVALID_RESOURCE_TYPE);
        // Where it was current does not matter to what was made there.
        assert_eq!(probe.sms(made), set(8..16));
        call!(cuMemFree_v2(address));
        let mut wrong = null_mut();
        call!(cuGreenCtxStreamCreate(&mut wrong, green, 0, 0) is CUDA_ERROR_INVALID_VALUE);
        call!(cuGreenCtxStreamCreate(&mut wrong, view.cast(), NON_BLOCKING, 0)
            is CUDA_ERROR_INVALID_CONTEXT);
    }

    a_captured_launch_stays_on_the_sms_of_its_stream("driver=13.3,cc=9.0,sms=16,memory=16MiB") {
        context();
        let probe = Probe::load();
        let (groups, _) = split(&device(), 2, 8, 0);
        let [first, second] = [0, 1].map(|at| stream_of(green(&groups[at..=at])));
        let whole = stream(CUstream_flags::CU_STREAM_NON_BLOCKING);
        let [on_first, on_whole] =
            [first, whole].map(|stream| captured(stream, || probe.ask(stream)));
        for launcher in [first, second, whole] {
            call!(cuGraphLaunch(on_first, launcher));
            assert_eq!(probe.answer(launcher), set(0..8));
            call!(cuGraphLaunch(on_whole, launcher));
            assert_eq!(probe.answer(launcher), set(0..16));
        }
    }

    a_green_context_keeps_the_primary_one("driver=13.3,cc=9.0,sms=32,memory=16MiB") {
        call!(cuInit(0));
        let green = green(&[device()]);
        let (mut flags, mut active, mut primary) = (9, 9, null_mut());
        call!(cuDevicePrimaryCtxGetState(0, &mut flags, &mut active));
        assert_eq!(active, 1);
        call!(cuDevicePrimaryCtxRetain(&mut primary, 0));
        call!(cuDevicePrimaryCtxRelease_v2(0));
        call!(cuDevicePrimaryCtxGetState(0, &mut flags, &mut active));
        assert_eq!(active, 1);
        call!(cuGreenCtxDestroy(green));
        call!(cuGreenCtxDestroy(green) is CUDA_ERROR_INVALID_CONTEXT);
        call!(cuDevicePrimaryCtxGetState(0, &mut flags, &mut active));
        assert_eq!(active, 0);
    }

    a_green_context_ends_with_the_primary_one("driver=13.3,cc=9.0,sms=32,memory=16MiB") {
        context();
        let green = green(&[device()]);
        let (stream, mut view) = (stream_of(green), null_mut());
        call!(cuCtxFromGreenCtx(&mut view, green));
        call!(cuDevicePrimaryCtxReset_v2(0));
        let gone = CUDA_ERROR_CONTEXT_IS_DESTROYED;
        let mut own = blank();
        call!(cuGreenCtxGetDevResource(green, &mut own, SM) is gone);
        call!(cuGreenCtxStreamCreate(&mut null_mut(), green, NON_BLOCKING, 0) is gone);
        call!(cuCtxGetDevResource(view, &mut own, SM) is gone);
        call!(cuStreamQuery(stream) is CUDA_ERROR_INVALID_HANDLE);
        call!(cuCtxSetCurrent(view));
        call!(cuCtxSynchronize() is gone);
        // It still has to be given back.
        call!(cuGreenCtxDestroy(green));
        let probe_of_next = { context(); Probe::load() };
        assert_eq!(probe_of_next.sms(null_mut()), set(0..32));
    }

    devices_have_green_contexts_of_their_own("devices=2,sms=16,memory=16MiB") {
        context();
        let (ours, mut theirs) = (device(), blank());
        call!(cuDeviceGetDevResource(1, &mut theirs, SM));
        check_descriptor(&[ours, theirs], CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION);
        let (mut made, mut primary, mut of) = (null_mut(), null_mut(), null_mut());
        call!(cuGreenCtxCreate(&mut made, descriptor(&[theirs]), 0, DEFAULT_STREAM)
            is CUDA_ERROR_INVALID_DEVICE);
        let (parts, _) = split(&theirs, 1, 8, 0);
        call!(cuGreenCtxCreate(&mut made, descriptor(&parts), 1, DEFAULT_STREAM));
        // Its stream is the other device's, whatever is current.
        let stream = stream_of(made);
        let mut ordinal = 9;
        call!(cuStreamGetDevice(stream, &mut ordinal));
        assert_eq!(ordinal, 1);
        call!(cuDevicePrimaryCtxRetain(&mut primary, 1));
        call!(cuStreamGetCtx_v2(stream, &mut of, &mut made));
        assert_eq!(of, primary);
        call!(cuGreenCtxRecordEvent(made, event()) is CUDA_ERROR_INVALID_HANDLE);
    }

    null_streams_of_two_contexts_do_not_wait_for_each_other("driver=13.3,sms=16,memory=16MiB") {
        context();
        let green = green(&[device()]);
        let (blocking, gate) = (stream(CUstream_flags::CU_STREAM_DEFAULT), pinned_word());
        hold(blocking, gate);
        let mut view = null_mut();
        call!(cuCtxFromGreenCtx(&mut view, green));
        call!(cuCtxPushCurrent_v2(view));
        let (own, written) = (stream(CUstream_flags::CU_STREAM_DEFAULT), pinned_word());
        call!(cuStreamWriteValue32_v2(null_mut(), written.as_ptr() as u64, 1, 0));
        call!(cuStreamSynchronize(null_mut()));
        assert_eq!(written.load(Ordering::Acquire), 1);
        // Within a green context it is as anywhere.
        let inner = pinned_word();
        hold(own, inner);
        call!(cuStreamWriteValue32_v2(null_mut(), written.as_ptr() as u64, 2, 0));
        call!(cuStreamQuery(null_mut()) is CUDA_ERROR_NOT_READY);
        inner.store(1, Ordering::Release);
        call!(cuStreamSynchronize(null_mut()));
        assert_eq!(written.load(Ordering::Acquire), 2);
        call!(cuCtxPopCurrent_v2(&mut view));
        call!(cuStreamQuery(null_mut()));
        call!(cuStreamWriteValue32_v2(null_mut(), written.as_ptr() as u64, 3, 0));
        call!(cuStreamQuery(null_mut()) is CUDA_ERROR_NOT_READY);
        gate.store(1, Ordering::Release);
        call!(cuCtxSynchronize());
    }

    streams_outlive_their_green_context("driver=13.3,cc=9.0,sms=32,memory=16MiB") {
        check_detached(CUDA_ERROR_STREAM_DETACHED);
    }

    streams_outlived_their_green_context_before_13_1("driver=12.8,cc=9.0,sms=32,memory=16MiB") {
        check_detached(CUDA_ERROR_CONTEXT_IS_DESTROYED);
    }

    everybody_waits_for_whom_they_should("driver=13.3,cc=9.0,sms=32,memory=16MiB") {
        let primary = context();
        let (parts, _) = split(&device(), 2, 8, 0);
        let [one, other] = [green(&parts[..1]), green(&parts[1..])];
        let (of_one, of_other) = (stream_of(one), stream_of(other));
        let (gate, written) = (pinned_word(), pinned_word());
        hold(of_one, gate);
        let mut view = null_mut();
        call!(cuCtxFromGreenCtx(&mut view, other));
        // The other context has nothing to wait for; this would hang otherwise.
        call!(cuCtxPushCurrent_v2(view));
        call!(cuCtxSynchronize());
        call!(cuCtxPopCurrent_v2(&mut view));
        // Events of whole contexts: of the primary one with all green ones, of each its own.
        let [all, first, second] = [event(), event(), event()];
        call!(cuCtxRecordEvent(primary, all));
        call!(cuGreenCtxRecordEvent(one, first));
        call!(cuGreenCtxRecordEvent(other, second));
        call!(cuEventSynchronize(second));
        call!(cuEventQuery(all) is CUDA_ERROR_NOT_READY);
        call!(cuEventQuery(first) is CUDA_ERROR_NOT_READY);
        // Held back: what a context has, and what it gets later.
        call!(cuGreenCtxWaitEvent(other, first));
        let later = stream_of(other);
        for stream in [of_other, later] {
            call!(cuStreamWriteValue32_v2(stream, written.as_ptr() as u64, 1, 0));
            call!(cuStreamQuery(stream) is CUDA_ERROR_NOT_READY);
        }
        let free = stream(CUstream_flags::CU_STREAM_NON_BLOCKING);
        call!(cuStreamSynchronize(free));
        call!(cuCtxWaitEvent(primary, all));
        call!(cuStreamQuery(free) is CUDA_ERROR_NOT_READY);
        assert_eq!(written.load(Ordering::Acquire), 0);
        // The primary context waits for everybody's.
        let release = std::thread::spawn(move || gate.store(1, Ordering::Release));
        call!(cuCtxSynchronize());
        release.join().unwrap();
        assert_eq!(written.load(Ordering::Acquire), 1);
        for stream in [of_one, of_other, later, free] {
            call!(cuStreamQuery(stream));
        }
        call!(cuEventQuery(all));
        let mut millis = 0.0;
        call!(cuEventElapsedTime_v2(&mut millis, second, all));
        assert!(0.0 < millis);
    }
}

/// A stream whose green context is gone only answers with `code`, and can be destroyed.
fn check_detached(code: CUresult) {
    context();
    let probe = Probe::load();
    let (parts, _) = split(&device(), 1, 8, 0);
    let green = green(&parts);
    let (stream, gate, written) = (stream_of(green), pinned_word(), pinned_word());
    let mut view = null_mut();
    call!(cuCtxFromGreenCtx(&mut view, green));
    call!(cuCtxPushCurrent_v2(view));
    // What it holds still runs.
    hold(stream, gate);
    call!(cuStreamWriteValue32_v2(stream, written.as_ptr() as u64, 1, 0));
    call!(cuGreenCtxDestroy(green));
    call!(cuStreamQuery(stream) is code);
    assert_eq!(probe.try_launch(stream), code);
    call!(cuStreamSynchronize(stream) is code);
    let mut context = null_mut();
    call!(cuStreamGetCtx(stream, &mut context) is code);
    // A thread that has it current finds it destroyed, and nobody else can make it so.
    call!(cuCtxSynchronize() is CUDA_ERROR_CONTEXT_IS_DESTROYED);
    call!(cuCtxPopCurrent_v2(&mut context));
    call!(cuCtxPushCurrent_v2(view) is CUDA_ERROR_INVALID_CONTEXT);
    call!(cuStreamDestroy_v2(stream));
    call!(cuStreamDestroy_v2(stream) is CUDA_ERROR_INVALID_HANDLE);
    gate.store(1, Ordering::Release);
    call!(cuCtxSynchronize());
    assert_eq!(written.load(Ordering::Acquire), 1);
}
