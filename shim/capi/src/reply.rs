//! `gpumux_reply`: how a request ended.

use crate::codes::gpumux_code;
use crate::entry::{borrow, check_out, enter, free, write};
use crate::options::{self, Versioned};
use gpumux_shim::{Outcome, Reply};
use std::ffi::c_void;
use std::time::Duration;

/// How a request ended. Any number of threads may read it at once; it is freed once, when no call
/// and nobody who has its outputs' pointers uses it. Until then it takes a slot of its function.
#[derive(Debug)]
pub struct gpumux_reply(pub(crate) Reply);

/// What a reply says beside its outputs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct gpumux_result {
    /// sizeof(gpumux_result), set by the caller.
    pub struct_size: usize,
    /// How it ended, a gpumux_outcome.
    pub outcome: i32,
    /// Why it was refused, a gpumux_reason; 0 when it was not.
    pub reason: i32,
    /// Which input or output the reason speaks of, where it speaks of one.
    pub subject: u32,
    /// Requests in its batch; 0 when it did not run.
    pub batch: u32,
    /// The limit that the reason speaks of, where it speaks of one.
    pub limit: u64,
    /// When trying again may help, in microseconds; 0 says nothing.
    pub retry_after_us: u64,
    /// From being read by the worker until its batch began, in microseconds.
    pub queued_us: u64,
    /// From there until its batch ended, in microseconds.
    pub ran_us: u64,
}

// SAFETY: it is as the trait asks.
unsafe impl Versioned for gpumux_result {
    const FIRST: usize = 56;
    const NAME: &'static str = "gpumux_result";

    fn zero() -> Self {
        Self {
            struct_size: 0,
            outcome: 0,
            reason: 0,
            subject: 0,
            batch: 0,
            limit: 0,
            retry_after_us: 0,
            queued_us: 0,
            ran_us: 0,
        }
    }
}

fn describe(reply: &Reply) -> gpumux_result {
    let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    let (outcome, reason) = reply.outcome().codes();
    let mut result = gpumux_result {
        outcome: i32::try_from(outcome).unwrap_or(i32::MAX),
        reason: i32::try_from(reason).unwrap_or(i32::MAX),
        batch: reply.batch(),
        queued_us: micros(reply.queued()),
        ran_us: micros(reply.ran()),
        ..gpumux_result::zero()
    };
    if let Outcome::Refused(refusal) = reply.outcome() {
        result.subject = refusal.subject;
        result.limit = refusal.limit;
        result.retry_after_us = refusal.retry_after_us;
    }
    result
}

/// Says how a request ended. Set `result->struct_size` before.
///
/// # Safety
/// `reply` is NULL or a reply; `result` is NULL or has the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpumux_reply_result(
    reply: *const gpumux_reply,
    result: *mut gpumux_result,
) -> gpumux_code {
    enter(|| {
        // SAFETY: the caller's promise.
        let reply = unsafe { borrow(reply, "reply") }?;
        // SAFETY: the caller's promise.
        unsafe { options::fill(result, &describe(&reply.0), "result") }
    })
}

/// Where an output's bytes are to be read, and how many. The place is aligned to 64 bytes and valid
/// until the reply is freed.
///
/// # Safety
/// `reply` is NULL or a reply; `data` and `bytes` are places for what they are named after; `bytes`
/// may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpumux_reply_output(
    reply: *const gpumux_reply,
    index: usize,
    data: *mut *const c_void,
    bytes: *mut usize,
) -> gpumux_code {
    enter(|| {
        check_out(data, "data")?;
        // SAFETY: the caller's promise.
        let output = unsafe { borrow(reply, "reply") }?.0.output_at(index)?;
        if !bytes.is_null() {
            // SAFETY: the caller's promise.
            unsafe { write(bytes, output.len(), "bytes") }?;
        }
        // SAFETY: the caller's promise.
        unsafe { write(data, output.as_ptr().cast::<c_void>(), "data") }
    })
}

/// Frees a reply; NULL is ignored.
///
/// # Safety
/// `reply` is NULL or was not freed before, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpumux_reply_free(reply: *mut gpumux_reply) {
    // SAFETY: the caller's promise.
    unsafe { free(reply) }
}
