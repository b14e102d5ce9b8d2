//! `gpumux_session`: the connection.

use crate::codes::gpumux_code;
use crate::entry::{borrow, check_out, enter, free, hand_out, text};
use crate::error::Failure;
use crate::function::gpumux_function;
use crate::options::{self, Versioned};
use gpumux_shim::{ChannelSize, Session, SessionOptions};
use std::ffi::c_char;
use std::time::Duration;

/// The version of the ABI: programs that were compiled for one run with every library of the same.
pub const GPUMUX_ABI_VERSION: u32 = 1;

/// In `reconnect_for_ms`: a daemon that dies is not waited for.
pub const GPUMUX_NO_RECONNECT: u64 = u64::MAX;

/// A connection to the daemon. It outlives the daemon's restarts. Any number of threads may use it at
/// once; it is freed once, when no call uses it. What was opened over it stays open without it.
///
/// After fork, all handles belong to the parent: in the child every function answers
/// GPUMUX_ERROR_FORKED, and freeing them is allowed and does nothing to the parent.
#[derive(Debug)]
pub struct gpumux_session(pub(crate) Session);

/// How a session is kept.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct gpumux_connect_options {
    /// sizeof(gpumux_connect_options).
    pub struct_size: usize,
    /// How long the successor of a daemon that died is waited for, in milliseconds. 0 is 30000;
    /// GPUMUX_NO_RECONNECT waits for none.
    pub reconnect_for_ms: u64,
}

/// How large a function's shared memory is.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct gpumux_open_options {
    /// sizeof(gpumux_open_options).
    pub struct_size: usize,
    /// Bytes for the tensors of requests and replies. 0 is 8 MiB.
    pub arena_bytes: u64,
    /// Requests and replies that may exist at once, a power of two. 0 is 64.
    pub slots: u32,
    /// Must be 0.
    pub reserved: u32,
}

// SAFETY: it is as the trait asks.
unsafe impl Versioned for gpumux_connect_options {
    const FIRST: usize = 16;
    const NAME: &'static str = "gpumux_connect_options";

    fn zero() -> Self {
        Self { struct_size: 0, reconnect_for_ms: 0 }
    }
}

// SAFETY: it is as the trait asks.
unsafe impl Versioned for gpumux_open_options {
    const FIRST: usize = 24;
    const NAME: &'static str = "gpumux_open_options";

    fn zero() -> Self {
        Self { struct_size: 0, arena_bytes: 0, slots: 0, reserved: 0 }
    }
}

/// The library's GPUMUX_ABI_VERSION, to be compared with the header's.
#[unsafe(no_mangle)]
pub extern "C" fn gpumux_abi_version() -> u32 {
    GPUMUX_ABI_VERSION
}

/// Connects to the daemon's socket at `path`. `options` may be NULL. Free `*session` with
/// gpumux_session_free.
///
/// # Safety
/// `path` is a C string; `options` is NULL or has the size that it says; `session` is a place for a
/// pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpumux_connect(
    path: *const c_char,
    options: *const gpumux_connect_options,
    session: *mut *mut gpumux_session,
) -> gpumux_code {
    enter(|| {
        check_out(session, "session")?;
        // SAFETY: the caller's promise.
        let path = unsafe { text(path, "path") }?;
        // SAFETY: the caller's promise.
        let options = unsafe { options::read(options) }?;
        let reconnect_for = match options.reconnect_for_ms {
            0 => SessionOptions::default().reconnect_for,
            GPUMUX_NO_RECONNECT => Duration::ZERO,
            span => Duration::from_millis(span),
        };
        let made = Session::connect_with(path, SessionOptions { reconnect_for })?;
        // SAFETY: the caller's promise.
        unsafe { hand_out(session, gpumux_session(made), "session") }
    })
}

/// Frees a session; NULL is ignored.
///
/// # Safety
/// `session` is NULL or was not freed before, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpumux_session_free(session: *mut gpumux_session) {
    // SAFETY: the caller's promise.
    unsafe { free(session) }
}

/// Opens a function by its name. `options` may be NULL. Free `*function` with gpumux_function_free.
///
/// # Safety
/// `session` is NULL or a session; `name` is a C string; `options` is NULL or has the size that it
/// says; `function` is a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpumux_open(
    session: *const gpumux_session,
    name: *const c_char,
    options: *const gpumux_open_options,
    function: *mut *mut gpumux_function,
) -> gpumux_code {
    enter(|| {
        check_out(function, "function")?;
        // SAFETY: the caller's promise.
        let session = unsafe { borrow(session, "session") }?;
        // SAFETY: the caller's promise.
        let name = unsafe { text(name, "name") }?;
        // SAFETY: the caller's promise.
        let options = unsafe { options::read(options) }?;
        if options.reserved != 0 {
            return Err(Failure::argument("`reserved` of gpumux_open_options is not 0"));
        }
        let or = |given: u64, default: u64| if given == 0 { default } else { given };
        let slots = if options.slots == 0 { 64 } else { options.slots };
        let size = ChannelSize { slots, arena_bytes: or(options.arena_bytes, 8 << 20) };
        let opened = gpumux_function::new(session.0.open(name, size)?);
        // SAFETY: the caller's promise.
        unsafe { hand_out(function, opened, "function") }
    })
}
