//! A descriptor that a lane makes readable, so that the dispatch thread can sleep on it with
//! everything else it waits for.

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::ffi::c_void;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::rc::Rc;

/// An eventfd, shared by the lanes that may write to it. Clones are the same descriptor.
#[derive(Clone)]
pub struct Wake {
    event: Rc<EventFd>,
}

impl Wake {
    /// Makes one that nobody has written to.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> Result<Self, Errno> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self { event: Rc::new(EventFd::from_value_and_flags(0, flags)?) })
    }

    /// Takes back all wake-ups so far. Whether there were any.
    pub fn drain(&self) -> bool {
        // The descriptor is ours and does not block: an error says that there was nothing to read.
        self.event.read().is_ok()
    }

    /// What a lane hands to [`wake_from_driver`]: the descriptor's number in place of an address,
    /// so that nothing has to be allocated. Valid as long as this value or a clone lives.
    pub(crate) fn as_argument(&self) -> *mut c_void {
        let number = self.event.as_raw_fd();
        std::ptr::without_provenance_mut(usize::try_from(number).expect("descriptors are positive"))
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// Runs on a thread of the driver when a lane gets to it: adds one to the eventfd. It may call no
/// CUDA function, and must not unwind.
pub(crate) extern "C" fn wake_from_driver(argument: *mut c_void) {
    let one = 1_u64;
    let Ok(descriptor) = i32::try_from(argument.addr()) else { return };
    // SAFETY: reads eight bytes of `one`. The lane keeps the descriptor open until its stream has
    // drained. The write fails only when 2^64 wake-ups wait, and then one more is not missed.
    let _ = unsafe { libc::write(descriptor, (&raw const one).cast(), size_of::<u64>()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wake_ups_add_up_and_are_taken_back_together() {
        let wake = Wake::new().unwrap();
        assert!(!wake.drain());
        wake_from_driver(wake.as_argument());
        wake_from_driver(wake.clone().as_argument());
        assert!(wake.drain());
        assert!(!wake.drain());
    }
}
