//! What each function of the ABI goes through: its work never unwinds into C, and its failures are
//! remembered.

use crate::codes::gpumux_code;
use crate::error::{Failure, remember};
use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does the work of a function, and says by a code how it went.
pub(crate) fn enter(work: impl FnOnce() -> Result<(), Failure>) -> gpumux_code {
    // Handles stay whole: each of their changes is one assignment, or ends before anything panics.
    let failure = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => return gpumux_code::GPUMUX_OK,
        Ok(Err(failure)) => failure,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            let message = format!("a bug in libgpumux: {}", text.unwrap_or("no message"));
            Failure::new(gpumux_code::GPUMUX_ERROR_INTERNAL, message)
        }
    };
    remember(failure.message);
    failure.code
}

/// Frees a handle; one that is NULL is none.
///
/// # Safety
/// `handle` is NULL or came from `hand_out`, and is used nowhere else, now or later.
pub(crate) unsafe fn free<T>(handle: *mut T) {
    if handle.is_null() {
        return;
    }
    let freed = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the caller's promise: it came from `Box::into_raw`, and nobody else has it.
        drop(unsafe { Box::from_raw(handle) });
    }));
    if freed.is_err() {
        remember("a bug in libgpumux: a handle could not be freed".to_owned());
    }
}

/// A handle that C gave.
///
/// # Safety
/// `handle` is NULL or a handle of this type that was not freed, and is not for the time of the call.
/// Nobody changes it meanwhile.
pub(crate) unsafe fn borrow<'a, T>(handle: *const T, name: &str) -> Result<&'a T, Failure> {
    // SAFETY: the caller's promise.
    unsafe { handle.as_ref() }.ok_or_else(|| Failure::null(name))
}

/// A handle that C gave, to be changed.
///
/// # Safety
/// As for [`borrow`], and no other thread uses it meanwhile.
pub(crate) unsafe fn borrow_mut<'a, T>(handle: *mut T, name: &str) -> Result<&'a mut T, Failure> {
    // SAFETY: the caller's promise.
    unsafe { handle.as_mut() }.ok_or_else(|| Failure::null(name))
}

/// Sees that there is a place to write to, before any work is done for it.
pub(crate) fn check_out<T>(out: *mut T, name: &str) -> Result<(), Failure> {
    if out.is_null() { Err(Failure::null(name)) } else { Ok(()) }
}

/// Writes what a function found.
///
/// # Safety
/// `out` is NULL or a place for a `T`.
pub(crate) unsafe fn write<T>(out: *mut T, value: T, name: &str) -> Result<(), Failure> {
    check_out(out, name)?;
    // SAFETY: the caller's promise, and it is not NULL.
    unsafe { out.write(value) };
    Ok(())
}

/// Makes a handle of C's.
///
/// # Safety
/// As for [`write`].
pub(crate) unsafe fn hand_out<T>(out: *mut *mut T, value: T, name: &str) -> Result<(), Failure> {
    check_out(out, name)?;
    let handle = Box::into_raw(Box::new(value));
    // SAFETY: the caller's promise.
    unsafe { write(out, handle, name) }
}

/// A text that C gave.
///
/// # Safety
/// `text` is NULL or ends in a zero, and stays as it is for the time of the call.
pub(crate) unsafe fn text<'a>(text: *const c_char, name: &str) -> Result<&'a str, Failure> {
    if text.is_null() {
        return Err(Failure::null(name));
    }
    // SAFETY: the caller's promise, and it is not NULL.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| Failure::argument(format!("`{name}` is not UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::gpumux_last_error;

    #[test]
    fn a_panic_is_a_code_and_a_message() {
        assert_eq!(enter(|| panic!("it is {}", "broken")), gpumux_code::GPUMUX_ERROR_INTERNAL);
        // SAFETY: it is valid until the next failure in this thread.
        let message = unsafe { CStr::from_ptr(gpumux_last_error()) };
        assert_eq!(message.to_str().unwrap(), "a bug in libgpumux: it is broken");
        assert_eq!(enter(|| Ok(())), gpumux_code::GPUMUX_OK);
    }

    #[test]
    fn a_handle_whose_end_panics_does_not_unwind() {
        struct Bad;
        impl Drop for Bad {
            fn drop(&mut self) {
                panic!("in drop");
            }
        }
        // SAFETY: it came from a box, and is used nowhere else.
        unsafe { free(Box::into_raw(Box::new(Bad))) };
    }
}
