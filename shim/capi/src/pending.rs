//! `gpumux_pending`: a request in flight.

use crate::codes::gpumux_code;
use crate::entry::{borrow, borrow_mut, check_out, enter, free, hand_out};
use crate::error::Failure;
use crate::reply::gpumux_reply;
use gpumux_shim::Pending;
use std::time::Duration;

/// In place of a time limit: wait until the request has ended.
pub const GPUMUX_FOREVER: u64 = u64::MAX;

/// A request in flight. One thread at a time may use it, not always the same one.
#[derive(Debug)]
pub struct gpumux_pending(pub(crate) Pending);

/// Frees a pending request's handle; NULL is ignored. A request that has not ended is cancelled.
///
/// # Safety
/// `pending` is NULL or was not freed before, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpumux_pending_free(pending: *mut gpumux_pending) {
    // SAFETY: the caller's promise.
    unsafe { free(pending) }
}

/// Waits until the request has ended, for at most `timeout_us` microseconds: 0 does not wait,
/// GPUMUX_FOREVER waits for as long as it takes. GPUMUX_ERROR_NOT_YET leaves it in flight. After
/// GPUMUX_OK the handle is spent, and still to be freed. Free `*reply` with gpumux_reply_free. That
/// the request was refused, say, is an outcome of the reply, not an error.
///
/// # Safety
/// `pending` is NULL or a pending request that no other thread uses; `reply` is a place for a
/// pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpumux_pending_wait(
    pending: *mut gpumux_pending,
    timeout_us: u64,
    reply: *mut *mut gpumux_reply,
) -> gpumux_code {
    enter(|| {
        check_out(reply, "reply")?;
        // SAFETY: the caller's promise.
        let pending = unsafe { borrow_mut(pending, "pending") }?;
        let ended = match timeout_us {
            0 => pending.0.try_wait()?,
            // No clock counts that far, so it waits until there is one.
            GPUMUX_FOREVER => pending.0.wait_for(Duration::MAX)?,
            span => pending.0.wait_for(Duration::from_micros(span))?,
        };
        let Some(ended) = ended else {
            let message = "the request has not ended yet: wait again";
            return Err(Failure::new(gpumux_code::GPUMUX_ERROR_NOT_YET, message));
        };
        // SAFETY: the caller's promise.
        unsafe { hand_out(reply, gpumux_reply(ended), "reply") }
    })
}

/// Asks that the request be left off. What is queued ends at once, what runs is discarded at its
/// end; the outcome is still to be waited for.
///
/// # Safety
/// `pending` is NULL or a pending request that no other thread uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpumux_pending_cancel(pending: *mut gpumux_pending) -> gpumux_code {
    enter(|| {
        // SAFETY: the caller's promise.
        unsafe { borrow(pending, "pending") }?.0.cancel();
        Ok(())
    })
}
