//! A descriptor by which a loop elsewhere learns that requests have ended.

use crate::bell::Bell;
use crate::channel::Channel;
use crate::error::WaitError;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

/// A descriptor for `poll`, `epoll` or an event loop that is built on them: it is readable when
/// requests of its function may have ended. It stays the same over the daemon's restarts, and is not
/// to be read from or written to.
///
/// It rings for what ends after [`Readiness::arm`]. So a loop arms it, then looks at each [`Pending`]
/// that it waits for with [`Pending::try_wait`], and then sleeps until the descriptor is readable, for
/// as long as any is left. What is submitted meanwhile needs no arming.
///
/// A function may have several, and threads and tasks may wait for requests of it beside them.
///
/// [`Pending`]: crate::Pending
/// [`Pending::try_wait`]: crate::Pending::try_wait
#[derive(Debug)]
pub struct Readiness {
    channel: Arc<Channel>,
    bell: Arc<Bell>,
}

impl Readiness {
    pub(crate) fn new(channel: &Arc<Channel>) -> Result<Self, WaitError> {
        if channel.control.fork.forked() {
            return Err(WaitError::Forked);
        }
        let bell = Arc::new(Bell::new().map_err(WaitError::Os)?);
        channel.listen(&mut channel.lock(), Arc::clone(&bell))?;
        let readiness = Self { channel: Arc::clone(channel), bell };
        readiness.arm()?;
        Ok(readiness)
    }

    /// Makes the descriptor unreadable until requests end after this. The caller looks at what it
    /// waits for once more before it sleeps.
    ///
    /// # Errors
    /// [`WaitError::Forked`], or the kernel refuses.
    pub fn arm(&self) -> Result<(), WaitError> {
        self.channel.arm(&self.bell)
    }
}

impl AsFd for Readiness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

impl AsRawFd for Readiness {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        if !self.channel.control.fork.forked() {
            self.channel.unlisten(&self.bell);
        }
    }
}
