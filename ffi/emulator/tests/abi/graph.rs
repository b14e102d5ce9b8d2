//! Capture and graphs: what is noted, what it does when it runs, and what may not be captured.

use crate::calls::*;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};

use CUstreamCaptureMode::*;
use CUstreamCaptureStatus::*;

const NON_BLOCKING: CUstream_flags = CUstream_flags::CU_STREAM_NON_BLOCKING;

fn begin(stream: CUstream) {
    call!(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
}

fn end(stream: CUstream) -> CUgraph {
    let mut graph = null_mut();
    call!(cuStreamEndCapture(stream, &mut graph));
    graph
}

fn instantiate(graph: CUgraph) -> CUgraphExec {
    let mut executable = null_mut();
    call!(cuGraphInstantiateWithFlags(&mut executable, graph, 0));
    executable
}

/// What `body` enqueues in a stream, as a graph that can be launched.
pub(crate) fn captured(stream: CUstream, body: impl FnOnce()) -> CUgraphExec {
    begin(stream);
    body();
    instantiate(end(stream))
}

fn status(stream: CUstream) -> CUstreamCaptureStatus {
    let mut status = CU_STREAM_CAPTURE_STATUS_NONE;
    call!(cuStreamIsCapturing(stream, &mut status));
    status
}

fn node_count(graph: CUgraph) -> usize {
    let mut count = 0;
    call!(cuGraphGetNodes(graph, null_mut(), &mut count));
    count
}

/// The capture that `spoil` spoils: it is void, and ends with no graph.
fn spoiled(stream: CUstream, spoil: impl FnOnce()) {
    begin(stream);
    spoil();
    assert_eq!(status(stream), CU_STREAM_CAPTURE_STATUS_INVALIDATED);
    let mut graph = null_mut();
    call!(cuStreamEndCapture(stream, &mut graph) is CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    assert!(graph.is_null());
    assert_eq!(status(stream), CU_STREAM_CAPTURE_STATUS_NONE);
}

extern "C" fn add_one(counter: *mut c_void) {
    // SAFETY: the tests pass a counter that outlives the stream's work.
    let counter = unsafe { AtomicU32::from_ptr(counter.cast()) };
    counter.fetch_add(1, Ordering::AcqRel);
}

crate::child::in_child! {
    what_is_captured_runs_when_it_is_launched_and_as_often("memory=1MiB") {
        context();
        let stream = stream(NON_BLOCKING);
        let (address, counter, source) = (allocate(8), AtomicU32::new(0), pinned_word());
        begin(stream);
        assert_eq!(status(stream), CU_STREAM_CAPTURE_STATUS_ACTIVE);
        call!(cuMemsetD32Async(address, 7, 1, stream));
        call!(cuMemcpyHtoDAsync_v2(address + 4, source.as_ptr().cast(), 4, stream));
        call!(cuLaunchHostFunc(stream, Some(add_one), counter.as_ptr().cast()));
        let graph = end(stream);
        assert_eq!((status(stream), node_count(graph)), (CU_STREAM_CAPTURE_STATUS_NONE, 3));
        call!(cuStreamSynchronize(stream));
        assert_eq!((read_u32(address, 2), counter.load(Ordering::Acquire)), (vec![0, 0], 0));
        let executable = instantiate(graph);
        // The graph is not needed any more.
        call!(cuGraphDestroy(graph));
        for launch in 1..=3 {
            source.store(launch, Ordering::Release);
            call!(cuMemsetD32Async(address, 0, 2, stream));
            call!(cuGraphLaunch(executable, stream));
            call!(cuStreamSynchronize(stream));
            assert_eq!(read_u32(address, 2), [7, launch]);
            assert_eq!(counter.load(Ordering::Acquire), launch);
        }
        call!(cuGraphExecDestroy(executable));
        call!(cuGraphLaunch(executable, stream) is CUDA_ERROR_INVALID_VALUE);
        call!(cuGraphDestroy(graph) is CUDA_ERROR_INVALID_VALUE);
    }

    a_fork_joins_the_capture_and_its_work_runs_beside_the_rest("memory=1MiB") {
        context();
        let [origin, fork, other] = [(); 3].map(|()| stream(NON_BLOCKING));
        let (forked, joined) = (event(), event());
        let (address, gate) = (allocate(8), pinned_word());
        begin(origin);
        call!(cuEventRecord(forked, origin));
        call!(cuStreamWaitEvent(fork, forked, 0));
        assert_eq!(status(fork), CU_STREAM_CAPTURE_STATUS_ACTIVE);
        // The origin stands still until somebody stores; the fork does not wait for that.
        hold(origin, gate);
        call!(cuMemsetD32Async(address, 1, 1, fork));
        call!(cuEventRecord(joined, fork));
        call!(cuStreamWaitEvent(origin, joined, 0));
        call!(cuMemsetD32Async(address + 4, 2, 1, origin));
        let executable = instantiate(end(origin));
        assert_eq!(status(fork), CU_STREAM_CAPTURE_STATUS_NONE);
        call!(cuGraphLaunch(executable, other));
        let mut seen = 0_u32;
        while seen != 1 {
            let to: *mut u32 = &mut seen;
            call!(cuMemcpyDtoHAsync_v2(to.cast(), address, 4, origin));
            call!(cuStreamSynchronize(origin));
        }
        call!(cuStreamQuery(other) is CUDA_ERROR_NOT_READY);
        gate.store(1, Ordering::Release);
        call!(cuStreamSynchronize(other));
        assert_eq!(read_u32(address, 2), [1, 2]);
    }

    a_launch_is_one_thing_to_its_stream("memory=1MiB") {
        context();
        let [origin, fork] = [(); 2].map(|()| stream(NON_BLOCKING));
        let (forked, joined, gate, address) = (event(), event(), pinned_word(), allocate(4));
        begin(origin);
        call!(cuEventRecord(forked, origin));
        call!(cuStreamWaitEvent(fork, forked, 0));
        hold(fork, gate);
        call!(cuMemsetD32Async(address, 1, 1, fork));
        call!(cuEventRecord(joined, fork));
        call!(cuStreamWaitEvent(origin, joined, 0));
        let executable = instantiate(end(origin));
        call!(cuGraphLaunch(executable, origin));
        // Waits for all of the graph, also for what its forks do.
        call!(cuMemsetD32Async(address, 2, 1, origin));
        // And so does another launch, in whatever stream.
        call!(cuGraphLaunch(executable, fork));
        call!(cuStreamQuery(origin) is CUDA_ERROR_NOT_READY);
        call!(cuStreamQuery(fork) is CUDA_ERROR_NOT_READY);
        gate.store(1, Ordering::Release);
        call!(cuStreamSynchronize(origin));
        call!(cuStreamSynchronize(fork));
        assert!([1, 2].contains(&read_u32(address, 1)[0]));
    }

    a_graph_that_is_launched_into_a_capture_is_part_of_it("memory=1MiB") {
        context();
        let stream = stream(NON_BLOCKING);
        let address = allocate(4);
        begin(stream);
        call!(cuMemsetD32Async(address, 3, 1, stream));
        let inner = instantiate(end(stream));
        begin(stream);
        call!(cuMemsetD32Async(address, 1, 1, stream));
        call!(cuGraphLaunch(inner, stream));
        call!(cuMemsetD32Async(address, 4, 1, stream));
        let outer = end(stream);
        assert_eq!(node_count(outer), 3);
        call!(cuGraphLaunch(instantiate(outer), stream));
        call!(cuStreamSynchronize(stream));
        assert_eq!(read_u32(address, 1), [4]);
    }

    external_events_are_recorded_when_the_graph_runs("memory=1MiB") {
        context();
        let stream = stream(NON_BLOCKING);
        let (event, gate) = (event(), pinned_word());
        begin(stream);
        hold(stream, gate);
        call!(cuEventRecordWithFlags(event, stream, 1));
        let executable = instantiate(end(stream));
        // Never recorded until now.
        call!(cuEventQuery(event));
        call!(cuGraphLaunch(executable, stream));
        call!(cuEventQuery(event) is CUDA_ERROR_NOT_READY);
        gate.store(1, Ordering::Release);
        call!(cuEventSynchronize(event));
    }

    what_a_capture_forbids_makes_it_void("memory=1MiB") {
        context();
        let [captured, other] = [(); 2].map(|()| stream(NON_BLOCKING));
        let blocking = stream(CUstream_flags::CU_STREAM_DEFAULT);
        let (inside, outside, address) = (event(), event(), allocate(4));
        let mut got = 0;
        call!(cuEventRecord(outside, other));
        use CUresult::*;
        spoiled(captured, || {
            call!(cuStreamSynchronize(captured) is CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        });
        spoiled(captured, || {
            call!(cuStreamQuery(captured) is CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        });
        spoiled(captured, || {
            call!(cuCtxSynchronize() is CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        });
        spoiled(captured, || {
            call!(cuMemAlloc_v2(&mut got, 4) is CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        });
        spoiled(captured, || {
            call!(cuMemAllocAsync(&mut got, 4, captured) is CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        });
        spoiled(captured, || {
            call!(cuStreamWaitEvent(captured, outside, 0) is CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
        });
        spoiled(captured, || {
            call!(cuEventRecord(inside, captured));
            call!(cuEventQuery(inside) is CUDA_ERROR_CAPTURED_EVENT);
        });
        spoiled(captured, || {
            call!(cuEventRecord(inside, captured));
            call!(cuEventSynchronize(inside) is CUDA_ERROR_CAPTURED_EVENT);
        });
        spoiled(blocking, || {
            call!(cuMemsetD32Async(address, 1, 1, null_mut()) is CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
        });
        // A stream that does not wait for the legacy stream leaves that free.
        begin(captured);
        call!(cuMemsetD32Async(address, 1, 1, null_mut()));
        call!(cuGraphDestroy(end(captured)));
    }

    captures_do_not_merge_and_end_where_they_began("memory=1MiB") {
        context();
        let [one, other] = [(); 2].map(|()| stream(NON_BLOCKING));
        let (event, address) = (event(), allocate(4));
        let mut graph = null_mut();
        call!(cuStreamEndCapture(one, &mut graph) is CUDA_ERROR_ILLEGAL_STATE);
        call!(cuStreamBeginCapture_v2(null_mut(), CU_STREAM_CAPTURE_MODE_GLOBAL)
            is CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        begin(one);
        call!(cuStreamBeginCapture_v2(one, CU_STREAM_CAPTURE_MODE_GLOBAL)
            is CUDA_ERROR_ILLEGAL_STATE);
        begin(other);
        call!(cuEventRecord(event, one));
        call!(cuStreamWaitEvent(other, event, 0) is CUDA_ERROR_STREAM_CAPTURE_MERGE);
        for stream in [one, other] {
            call!(cuStreamEndCapture(stream, &mut graph)
                is CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        }
        begin(one);
        call!(cuEventRecord(event, one));
        call!(cuStreamWaitEvent(other, event, 0));
        call!(cuStreamEndCapture(other, &mut graph) is CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
        call!(cuMemsetD32Async(address, 1, 1, other));
        call!(cuStreamEndCapture(one, &mut graph) is CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
        // What was captured is gone, and its event stands nowhere.
        call!(cuStreamWaitEvent(other, event, 0) is CUDA_ERROR_CAPTURED_EVENT);
    }

    a_capture_is_its_threads_unless_it_is_relaxed("memory=1MiB") {
        let context = context() as usize;
        let stream = stream(NON_BLOCKING) as usize;
        let elsewhere = move |expected: CUresult| {
            let thread = std::thread::spawn(move || {
                call!(cuCtxSetCurrent(context as CUcontext));
                let mut graph = null_mut();
                call!(cuStreamEndCapture(stream as CUstream, &mut graph) is expected);
            });
            thread.join().unwrap();
        };
        let unsafe_elsewhere = move |expected: CUresult| {
            let thread = std::thread::spawn(move || {
                call!(cuCtxSetCurrent(context as CUcontext));
                let mut address = 0;
                call!(cuMemAlloc_v2(&mut address, 4) is expected);
            });
            thread.join().unwrap();
        };
        begin(stream as CUstream);
        elsewhere(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
        unsafe_elsewhere(CUDA_SUCCESS);
        call!(cuGraphDestroy(end(stream as CUstream)));
        call!(cuStreamBeginCapture_v2(stream as CUstream, CU_STREAM_CAPTURE_MODE_RELAXED));
        unsafe_elsewhere(CUDA_SUCCESS);
        allocate(4);
        elsewhere(CUDA_SUCCESS);
        call!(cuStreamBeginCapture_v2(stream as CUstream, CU_STREAM_CAPTURE_MODE_GLOBAL));
        unsafe_elsewhere(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
        assert_eq!(status(stream as CUstream), CU_STREAM_CAPTURE_STATUS_INVALIDATED);
    }

    flags_that_are_not_offered_are_refused("memory=1MiB") {
        context();
        let (mut graph, mut executable) = (null_mut(), null_mut());
        call!(cuGraphCreate(&mut graph, 0));
        for (flags, expected) in [
            (0, CUDA_SUCCESS),
            (1 | 2 | 8, CUDA_SUCCESS),
            (4, CUDA_ERROR_NOT_SUPPORTED),
            (4 | 1, CUDA_ERROR_INVALID_VALUE),
            (16, CUDA_ERROR_INVALID_VALUE),
        ] {
            call!(cuGraphInstantiateWithFlags(&mut executable, graph, flags) is expected);
        }
    }
}
