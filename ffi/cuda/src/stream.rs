//! Streams and the events that order them. Every stream is made here, and none is the NULL stream.

use crate::context::Context;
use crate::driver_api::{EVENT_DISABLE_TIMING, NOT_READY, STREAM_NON_BLOCKING};
use crate::error::CudaError;
use crate::partition::GreenContext;
use cudarc::driver::sys::{CUevent, CUstream};
use std::ptr;
use std::rc::Rc;

/// A stream of ours, destroyed when nobody has it any more.
pub(crate) struct Stream {
    raw: CUstream,
    context: Rc<Context>,
    /// The green context that confines it, which has to outlive it.
    _green: Option<GreenContext>,
}

impl Stream {
    /// Makes a stream on the whole device.
    pub(crate) fn open(context: &Rc<Context>) -> Result<Self, CudaError> {
        let mut raw = ptr::null_mut();
        // SAFETY: writes one handle; the context is current on this thread.
        let answer = unsafe { (context.api().cuStreamCreate)(&raw mut raw, STREAM_NON_BLOCKING) };
        context.api().check("cuStreamCreate", answer)?;
        Ok(Self { raw, context: Rc::clone(context), _green: None })
    }

    /// Takes over a stream that was made in a green context.
    ///
    /// # Safety
    /// `raw` was made by the driver in `green`, and nobody else destroys it.
    pub(crate) unsafe fn confined(
        raw: CUstream,
        context: &Rc<Context>,
        green: GreenContext,
    ) -> Self {
        Self { raw, context: Rc::clone(context), _green: Some(green) }
    }

    /// The driver's handle; never null.
    pub(crate) fn raw(&self) -> CUstream {
        self.raw
    }

    /// Makes what comes later here wait for what was before `event` when that was recorded.
    pub(crate) fn follow(&self, event: &Event) -> Result<(), CudaError> {
        let api = self.context.api();
        // SAFETY: the stream and the event are alive.
        let answer = unsafe { (api.cuStreamWaitEvent)(self.raw, event.raw, 0) };
        api.check("cuStreamWaitEvent", answer)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: made once, and nobody else has it. What is in it still runs to its end. A failure
        // has nobody to tell.
        let _ = unsafe { (self.context.api().cuStreamDestroy_v2)(self.raw) };
    }
}

/// A place in a stream, used again and again.
pub(crate) struct Event {
    raw: CUevent,
    context: Rc<Context>,
}

impl Event {
    /// Makes an event that was not recorded yet.
    pub(crate) fn create(context: &Rc<Context>) -> Result<Self, CudaError> {
        let mut raw = ptr::null_mut();
        // SAFETY: writes one handle; the context is current on this thread.
        let answer = unsafe { (context.api().cuEventCreate)(&raw mut raw, EVENT_DISABLE_TIMING) };
        context.api().check("cuEventCreate", answer)?;
        Ok(Self { raw, context: Rc::clone(context) })
    }

    /// Takes the place behind all that is in `stream` now.
    pub(crate) fn record(&self, stream: &Stream) -> Result<(), CudaError> {
        let api = self.context.api();
        // SAFETY: both are alive and of one device.
        let answer = unsafe { (api.cuEventRecord)(self.raw, stream.raw) };
        api.check("cuEventRecord", answer)
    }

    /// Whether the device has got there.
    pub(crate) fn is_past(&self) -> Result<bool, CudaError> {
        let api = self.context.api();
        // SAFETY: the event is alive.
        match unsafe { (api.cuEventQuery)(self.raw) } {
            NOT_READY => Ok(false),
            number => api.check("cuEventQuery", number).map(|()| true),
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: made once in `create`; streams that wait for it keep what they need of it. A
        // failure has nobody to tell.
        let _ = unsafe { (self.context.api().cuEventDestroy_v2)(self.raw) };
    }
}
