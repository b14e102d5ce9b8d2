//! Events.

use super::abi::{Out, edge};
use crate::code::{Code, Outcome};
use crate::graph::Task;
use crate::handle::Handle;
use crate::stream::{EVENTS, Event, Stream};
use std::ffi::c_uint;

#[unsafe(no_mangle)]
extern "C" fn cuEventCreate(out: Out<Handle>, flags: c_uint) -> Code {
    edge(|| {
        if out.is_null() {
            return Err(Code::INVALID_VALUE);
        }
        out.put(Event::create(flags)?)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventRecord(event: Handle, stream: Handle) -> Code {
    edge(|| Event::of(event)?.record(&Stream::of(stream)?))
}

#[unsafe(no_mangle)]
extern "C" fn cuEventRecordWithFlags(event: Handle, stream: Handle, flags: c_uint) -> Code {
    edge(|| {
        let (event, stream) = (Event::of(event)?, Stream::of(stream)?);
        match flags {
            0 => event.record(&stream),
            // CU_EVENT_RECORD_EXTERNAL: a node of its own in a captured stream.
            1 => stream.enqueue_task(Task::Record(event)),
            _ => Err(Code::INVALID_VALUE),
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventQuery(event: Handle) -> Code {
    edge(|| {
        let event = Event::of(event)?;
        let past = event.is_past()?;
        event.context().check()?;
        if past { Ok(()) } else { Err(Code::NOT_READY) }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventSynchronize(event: Handle) -> Code {
    edge(|| Event::of(event)?.synchronize())
}

#[unsafe(no_mangle)]
extern "C" fn cuEventDestroy_v2(event: Handle) -> Code {
    edge(|| EVENTS.remove(event)?.context().check())
}

fn elapsed(millis: Out<f32>, start: Handle, end: Handle) -> Outcome {
    let (start, end) = (Event::of(start)?, Event::of(end)?);
    millis.put(start.millis_until(&end)?)
}

#[unsafe(no_mangle)]
extern "C" fn cuEventElapsedTime(millis: Out<f32>, start: Handle, end: Handle) -> Code {
    edge(|| elapsed(millis, start, end))
}

#[unsafe(no_mangle)]
extern "C" fn cuEventElapsedTime_v2(millis: Out<f32>, start: Handle, end: Handle) -> Code {
    edge(|| elapsed(millis, start, end))
}
