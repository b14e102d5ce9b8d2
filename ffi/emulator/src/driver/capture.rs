//! Capture: the calls that begin and end it, and what a stream says of it.

use super::abi::{In, Out, edge};
use crate::capture::{CAPTURES, Mode, Status, exchange_thread_mode};
use crate::code::{Code, Outcome};
use crate::graph::GRAPHS;
use crate::handle::Handle;
use crate::stream::Stream;
use std::ffi::{c_uint, c_void};

fn mode(number: c_uint) -> Outcome<Mode> {
    match number {
        0 => Ok(Mode::Global),
        1 => Ok(Mode::ThreadLocal),
        2 => Ok(Mode::Relaxed),
        _ => Err(Code::INVALID_VALUE),
    }
}

/// `CUstreamCaptureStatus`, and the capture's number where there is one.
fn numbers(status: Status) -> (c_uint, u64) {
    match status {
        Status::None => (0, 0),
        Status::Active(id) => (1, id),
        Status::Invalidated(id) => (2, id),
    }
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamBeginCapture_v2(stream: Handle, number: c_uint) -> Code {
    edge(|| CAPTURES.begin(&Stream::of(stream)?, mode(number)?))
}

/// Gives no graph where the capture was invalidated.
#[unsafe(no_mangle)]
extern "C" fn cuStreamEndCapture(stream: Handle, out: Out<Handle>) -> Code {
    edge(|| {
        let stream = Stream::of(stream)?;
        out.put(Handle::NULL)?;
        out.put(GRAPHS.add(CAPTURES.end(&stream)?))
    })
}

/// The status of a stream; asked of the legacy stream, an error while others that wait for it are
/// captured.
fn status(stream: Handle) -> Outcome<Status> {
    let stream = Stream::of(stream)?;
    if stream.is_legacy() && CAPTURES.bars_legacy(&stream) {
        return Err(Code::CAPTURE_IMPLICIT);
    }
    Ok(CAPTURES.status(&stream))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamIsCapturing(stream: Handle, out: Out<c_uint>) -> Code {
    edge(|| out.put(numbers(status(stream)?).0))
}

/// The graph of a capture that goes on is not given out.
fn info(stream: Handle, out: Out<c_uint>, id: Out<u64>, inner: [*mut c_void; 3]) -> Outcome {
    let status = status(stream)?;
    if matches!(status, Status::Active(_)) && inner.iter().any(|wanted| !wanted.is_null()) {
        return Err(Code::NOT_SUPPORTED);
    }
    let (status, number) = numbers(status);
    out.put(status)?;
    id.put_if_wanted(number)
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamGetCaptureInfo_v2(
    stream: Handle,
    out: Out<c_uint>,
    id: Out<u64>,
    graph: *mut c_void,
    dependencies: *mut c_void,
    count: *mut c_void,
) -> Code {
    edge(|| info(stream, out, id, [graph, dependencies, count]))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamGetCaptureInfo_v3(
    stream: Handle,
    out: Out<c_uint>,
    id: Out<u64>,
    graph: *mut c_void,
    dependencies: *mut c_void,
    edges: *mut c_void,
    count: *mut c_void,
) -> Code {
    edge(|| {
        if !edges.is_null() {
            return Err(Code::NOT_SUPPORTED);
        }
        info(stream, out, id, [graph, dependencies, count])
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuThreadExchangeStreamCaptureMode(in_out: *mut c_uint) -> Code {
    edge(|| {
        let wanted = mode(In::from(in_out.cast_const()).get()?)?;
        Out::from(in_out).put(exchange_thread_mode(wanted) as c_uint)
    })
}
