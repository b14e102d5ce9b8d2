//! Green contexts and their streams, and what is said to all streams of a context.

use crate::code::{Code, Outcome};
use crate::context::{View, current_view};
use crate::driver::abi::Out;
use crate::driver::since::edge_since;
use crate::handle::Handle;
use crate::machine::Machine;
use crate::partition::{DESCRIPTORS, Green};
use crate::stream::{Event, NON_BLOCKING, Stream};
use std::ffi::{c_int, c_uint};

/// `CU_GREEN_CTX_DEFAULT_STREAM`, which is required.
const DEFAULT_STREAM: c_uint = 1;

#[unsafe(no_mangle)]
extern "C" fn cuGreenCtxCreate(
    out: Out<Handle>,
    descriptor: Handle,
    device: c_int,
    flags: c_uint,
) -> Code {
    edge_since("cuGreenCtxCreate", || {
        let device = Machine::get()?.device(device)?;
        if out.is_null() || flags != DEFAULT_STREAM {
            return Err(Code::INVALID_VALUE);
        }
        let descriptor = DESCRIPTORS.get(descriptor).map_err(|_| Code::INVALID_VALUE)?;
        out.put(Green::create(device, &descriptor)?.handle())
    })
}

/// What its streams hold still runs; they themselves are the program's to destroy. A thread that has
/// it current keeps it, and finds it destroyed.
#[unsafe(no_mangle)]
extern "C" fn cuGreenCtxDestroy(context: Handle) -> Code {
    edge_since("cuGreenCtxDestroy", || Green::destroy(context))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxFromGreenCtx(out: Out<Handle>, context: Handle) -> Code {
    edge_since("cuCtxFromGreenCtx", || {
        let green = Green::of(context)?;
        if out.is_null() {
            return Err(Code::INVALID_VALUE);
        }
        out.put(green.convert())
    })
}

/// Of no context in particular: of the one that is current, if it is a green one.
#[unsafe(no_mangle)]
extern "C" fn cuGreenCtxGetId(context: Handle, out: Out<u64>) -> Code {
    edge_since("cuGreenCtxGetId", || {
        let green = if context == Handle::NULL {
            current_view()?.green.ok_or(Code::INVALID_CONTEXT)?
        } else {
            Green::of(context)?
        };
        out.put(green.number() as u64)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuGreenCtxStreamCreate(
    out: Out<Handle>,
    context: Handle,
    flags: c_uint,
    priority: c_int,
) -> Code {
    edge_since("cuGreenCtxStreamCreate", || {
        let green = Green::of(context)?;
        if out.is_null() || flags != NON_BLOCKING {
            return Err(Code::INVALID_VALUE);
        }
        out.put(Stream::create_in(View::from(&green), flags, priority)?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamGetGreenCtx(stream: Handle, out: Out<Handle>) -> Code {
    edge_since("cuStreamGetGreenCtx", || out.put(green_of(&Stream::of(stream)?)))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamGetCtx_v2(stream: Handle, context: Out<Handle>, green: Out<Handle>) -> Code {
    edge_since("cuStreamGetCtx_v2", || {
        let stream = Stream::of(stream)?;
        context.put(stream.context.handle())?;
        green.put(green_of(&stream))
    })
}

fn green_of(stream: &Stream) -> Handle {
    stream.green.as_ref().map_or(Handle::NULL, |green| green.handle())
}

fn view_of(context: Handle) -> Outcome<View> {
    let view = View::of(context)?;
    view.check()?;
    Ok(view)
}

fn view_of_green(context: Handle) -> Outcome<View> {
    Ok(View::from(&Green::of(context)?))
}

/// Of a primary context, green contexts within it are part of what is recorded.
#[unsafe(no_mangle)]
extern "C" fn cuCtxRecordEvent(context: Handle, event: Handle) -> Code {
    edge_since("cuCtxRecordEvent", || Event::of(event)?.record_all(&view_of(context)?))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxWaitEvent(context: Handle, event: Handle) -> Code {
    edge_since("cuCtxWaitEvent", || Event::of(event)?.hold_back_all(&view_of(context)?))
}

#[unsafe(no_mangle)]
extern "C" fn cuGreenCtxRecordEvent(context: Handle, event: Handle) -> Code {
    edge_since("cuGreenCtxRecordEvent", || Event::of(event)?.record_all(&view_of_green(context)?))
}

#[unsafe(no_mangle)]
extern "C" fn cuGreenCtxWaitEvent(context: Handle, event: Handle) -> Code {
    edge_since("cuGreenCtxWaitEvent", || Event::of(event)?.hold_back_all(&view_of_green(context)?))
}
