//! Sockets that were open when this process began: a service manager listens for us.

use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Takes the sockets that a service manager made for this process, each with the name that it gave.
/// There are none the second time: they have an owner then.
///
/// To be called before this process opens anything, so that the numbers it was told are those sockets.
///
/// # Errors
/// What the environment says is not so, or not understood.
pub(crate) fn sockets() -> std::io::Result<Vec<(String, OwnedFd)>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    // It checks that each number is an open descriptor, and has it closed in our children.
    let named = sd_notify::listen_fds_with_names()?;
    let owned = |(number, name)| {
        // SAFETY: the descriptor is open, as was just checked; the environment says that it is this
        // process's to use, and nothing else here has it: `TAKEN` was false, and nothing was opened.
        let socket = unsafe { OwnedFd::from_raw_fd(number) };
        (name, socket)
    };
    Ok(named.map(owned).collect())
}
