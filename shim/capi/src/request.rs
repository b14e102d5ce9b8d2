//! `gpumux_request`: a request while it is filled.

use crate::codes::gpumux_code;
use crate::entry::{borrow_mut, check_out, enter, free, hand_out, write};
use crate::error::Failure;
use crate::options::{self, Versioned};
use crate::pending::gpumux_pending;
use gpumux_shim::{Request, SubmitOptions};
use std::ffi::c_void;
use std::time::Duration;

/// A request that is being filled. One thread at a time may use it, not always the same one.
#[derive(Debug)]
pub struct gpumux_request(pub(crate) Option<Request>);

/// How a request is to be treated.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct gpumux_submit_options {
    /// sizeof(gpumux_submit_options).
    pub struct_size: usize,
    /// How long it may wait for its batch to begin, in microseconds. 0 is no limit.
    pub budget_us: u64,
}

// SAFETY: it is as the trait asks.
unsafe impl Versioned for gpumux_submit_options {
    const FIRST: usize = 16;
    const NAME: &'static str = "gpumux_submit_options";

    fn zero() -> Self {
        Self { struct_size: 0, budget_us: 0 }
    }
}

fn spent() -> Failure {
    Failure::new(gpumux_code::GPUMUX_ERROR_SPENT, "the request was submitted already: make another")
}

/// Frees a request's handle; NULL is ignored. One that was not submitted gives its room back; one
/// that was goes on.
///
/// # Safety
/// `request` is NULL or was not freed before, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpumux_request_free(request: *mut gpumux_request) {
    // SAFETY: the caller's promise.
    unsafe { free(request) }
}

/// Where an input's bytes are to be written, and how many. It counts as written from now on. The
/// place is aligned to 64 bytes and valid until the request is submitted or freed.
///
/// # Safety
/// `request` is NULL or a request that no other thread uses; `data` and `bytes` are places for what
/// they are named after; `bytes` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpumux_request_input(
    request: *mut gpumux_request,
    index: usize,
    data: *mut *mut c_void,
    bytes: *mut usize,
) -> gpumux_code {
    enter(|| {
        check_out(data, "data")?;
        // SAFETY: the caller's promise.
        let request = unsafe { borrow_mut(request, "request") }?;
        let request = request.0.as_mut().ok_or_else(spent)?;
        request.mark_written(index)?;
        let input = request.input_at(index)?;
        if !bytes.is_null() {
            // SAFETY: the caller's promise.
            unsafe { write(bytes, input.len(), "bytes") }?;
        }
        // SAFETY: the caller's promise.
        unsafe { write(data, input.as_mut_ptr().cast::<c_void>(), "data") }
    })
}

/// Submits a request. `options` may be NULL. The request is spent, also when this fails, unless
/// `request`, `options` or `pending` was wrong; its handle is still to be freed. Free `*pending`
/// with gpumux_pending_free.
///
/// # Safety
/// `request` is NULL or a request that no other thread uses; `options` is NULL or has the size that
/// it says; `pending` is a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpumux_submit(
    request: *mut gpumux_request,
    options: *const gpumux_submit_options,
    pending: *mut *mut gpumux_pending,
) -> gpumux_code {
    enter(|| {
        check_out(pending, "pending")?;
        // SAFETY: the caller's promise.
        let request = unsafe { borrow_mut(request, "request") }?;
        // SAFETY: the caller's promise.
        let options = unsafe { options::read(options) }?;
        let budget = (options.budget_us != 0).then(|| Duration::from_micros(options.budget_us));
        let request = request.0.take().ok_or_else(spent)?;
        let submitted = request.submit(SubmitOptions { budget })?;
        // SAFETY: the caller's promise.
        unsafe { hand_out(pending, gpumux_pending(submitted), "pending") }
    })
}
