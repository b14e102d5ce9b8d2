//! Streams, and what a stream calls on the host.

use super::abi::{Out, edge};
use crate::capture::CAPTURES;
use crate::code::{Code, Outcome};
use crate::graph::Task;
use crate::handle::Handle;
use crate::schedule::{SCHEDULE, Work};
use crate::stream::{Event, Stream};
use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;

#[unsafe(no_mangle)]
extern "C" fn cuStreamCreate(out: Out<Handle>, flags: c_uint) -> Code {
    edge(|| create(out, flags, 0))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamCreateWithPriority(out: Out<Handle>, flags: c_uint, priority: c_int) -> Code {
    edge(|| create(out, flags, priority))
}

fn create(out: Out<Handle>, flags: c_uint, priority: c_int) -> Outcome {
    if out.is_null() {
        return Err(Code::INVALID_VALUE);
    }
    out.put(Stream::create(flags, priority)?)
}

/// Work that is in the stream still runs to its end.
#[unsafe(no_mangle)]
extern "C" fn cuStreamDestroy_v2(stream: Handle) -> Code {
    edge(|| Stream::destroy(stream))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamQuery(stream: Handle) -> Code {
    edge(|| {
        let stream = Stream::of(stream)?;
        CAPTURES.refuse(&stream)?;
        CAPTURES.refuse_unsafe()?;
        let tail = SCHEDULE.tail(stream.id);
        stream.context.check()?;
        if tail.is_none() { Ok(()) } else { Err(Code::NOT_READY) }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamSynchronize(stream: Handle) -> Code {
    edge(|| Stream::of(stream)?.synchronize())
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamWaitEvent(stream: Handle, event: Handle, flags: c_uint) -> Code {
    edge(|| {
        let stream = Stream::of(stream)?;
        let event = Event::of(event)?;
        match flags {
            0 => event.hold_back(&stream),
            // CU_EVENT_WAIT_EXTERNAL: a node of its own in a captured stream.
            1 => stream.enqueue_task(Task::Wait(event)),
            _ => Err(Code::INVALID_VALUE),
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamGetCtx(stream: Handle, out: Out<Handle>) -> Code {
    edge(|| out.put(Stream::of(stream)?.view().handle()))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamGetDevice(stream: Handle, out: Out<c_int>) -> Code {
    edge(|| {
        let ordinal = Stream::of(stream)?.context.device().ordinal();
        out.put(ordinal.cast_signed())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamGetPriority(stream: Handle, out: Out<c_int>) -> Code {
    edge(|| out.put(Stream::of(stream)?.priority))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamGetFlags(stream: Handle, out: Out<c_uint>) -> Code {
    edge(|| out.put(Stream::of(stream)?.flags))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamGetId(stream: Handle, out: Out<u64>) -> Code {
    edge(|| out.put(Stream::of(stream)?.id.number()))
}

/// The program's data, on its way to a host function. The driver only carries it.
#[derive(Clone, Copy)]
struct Data(*mut c_void);

impl Data {
    fn get(&self) -> *mut c_void {
        self.0
    }
}

// SAFETY: never looked at; the program says by passing it that another thread may have it.
unsafe impl Send for Data {}
// SAFETY: as above.
unsafe impl Sync for Data {}

#[unsafe(no_mangle)]
extern "C" fn cuLaunchHostFunc(
    stream: Handle,
    function: Option<extern "C" fn(*mut c_void)>,
    data: *mut c_void,
) -> Code {
    edge(|| {
        let stream = Stream::of(stream)?;
        let function = function.ok_or(Code::INVALID_VALUE)?;
        let data = Data(data);
        let call = move || function(data.get());
        stream.enqueue(Work::Call(Arc::new(call)))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamAddCallback(
    handle: Handle,
    callback: Option<extern "C" fn(usize, Code, *mut c_void)>,
    data: *mut c_void,
    flags: c_uint,
) -> Code {
    edge(|| {
        let stream = Stream::of(handle)?;
        let callback = callback.ok_or(Code::INVALID_VALUE)?;
        if flags != 0 {
            return Err(Code::INVALID_VALUE);
        }
        // The manual: not allowed in a captured stream.
        CAPTURES.refuse(&stream)?;
        let data = Data(data);
        let number = handle.number();
        let context = stream.context.clone();
        let call = move || {
            callback(number, context.check().err().unwrap_or(Code::SUCCESS), data.get());
        };
        stream.enqueue(Work::Call(Arc::new(call)))
    })
}
