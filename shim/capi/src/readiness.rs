//! `gpumux_readiness`: a descriptor for event loops.

use crate::codes::gpumux_code;
use crate::entry::{borrow, check_out, enter, free, hand_out, write};
use crate::function::gpumux_function;
use gpumux_shim::Readiness;
use std::ffi::c_int;
use std::os::fd::AsRawFd;

/// A descriptor for poll, epoll and the loops that are built on them: it is readable when requests
/// of its function may have ended. A loop calls gpumux_readiness_arm, then looks at each request that
/// it waits for by gpumux_pending_wait with a limit of 0, and then sleeps until the descriptor is
/// readable. It stays the same over the daemon's restarts. Any number of threads may use it at once;
/// it is freed once, when no call uses it.
#[derive(Debug)]
pub struct gpumux_readiness(Readiness);

/// Makes a readiness descriptor of a function. Free `*readiness` with gpumux_readiness_free.
///
/// # Safety
/// `function` is NULL or a function; `readiness` is a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpumux_readiness_new(
    function: *const gpumux_function,
    readiness: *mut *mut gpumux_readiness,
) -> gpumux_code {
    enter(|| {
        check_out(readiness, "readiness")?;
        // SAFETY: the caller's promise.
        let function = unsafe { borrow(function, "function") }?;
        let made = gpumux_readiness(function.function.readiness()?);
        // SAFETY: the caller's promise.
        unsafe { hand_out(readiness, made, "readiness") }
    })
}

/// The descriptor. It is the handle's: it is not to be closed, read from or written to.
///
/// # Safety
/// `readiness` is NULL or a readiness descriptor; `fd` is a place for an int.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpumux_readiness_fd(
    readiness: *const gpumux_readiness,
    fd: *mut c_int,
) -> gpumux_code {
    enter(|| {
        // SAFETY: the caller's promise.
        let readiness = unsafe { borrow(readiness, "readiness") }?;
        // SAFETY: the caller's promise.
        unsafe { write(fd, readiness.0.as_raw_fd(), "fd") }
    })
}

/// Makes the descriptor unreadable until requests end after this. Look at what is waited for once
/// more before sleeping.
///
/// # Safety
/// `readiness` is NULL or a readiness descriptor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpumux_readiness_arm(readiness: *const gpumux_readiness) -> gpumux_code {
    enter(|| {
        // SAFETY: the caller's promise.
        Ok(unsafe { borrow(readiness, "readiness") }?.0.arm()?)
    })
}

/// Frees a readiness descriptor; NULL is ignored. A loop forgets the descriptor before.
///
/// # Safety
/// `readiness` is NULL or was not freed before, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpumux_readiness_free(readiness: *mut gpumux_readiness) {
    // SAFETY: the caller's promise.
    unsafe { free(readiness) }
}
