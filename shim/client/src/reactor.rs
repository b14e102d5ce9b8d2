//! Attendance by a task of the tokio runtime in which a future is polled, in place of a thread.
//!
//! There is one task for each channel and runtime. It ends with the channel. When the runtime ends
//! first, the session's thread takes over whatever still waits.

use crate::bell::Bell;
use crate::channel::Channel;
use crate::error::WaitError;
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Handle, Id};

/// The runtimes that have a task for a channel.
#[derive(Debug, Default)]
pub(crate) struct Reactors(Mutex<Vec<Id>>);

impl Reactors {
    fn lock(&self) -> MutexGuard<'_, Vec<Id>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A bell that a runtime polls.
#[derive(Debug)]
struct Polled(Arc<Bell>);

impl AsRawFd for Polled {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// One task's place. Its end is noticed however the task ends.
struct Place {
    channel: Weak<Channel>,
    runtime: Id,
    bell: Arc<Bell>,
}

impl Channel {
    /// Has the tokio runtime of this thread, if there is one, look after the futures of this channel.
    pub(crate) fn attended_by_runtime(self: &Arc<Self>) -> Result<bool, WaitError> {
        let Ok(handle) = Handle::try_current() else { return Ok(false) };
        let runtime = handle.id();
        if self.reactors.lock().contains(&runtime) {
            return Ok(true);
        }
        let bell = Arc::new(Bell::new().map_err(WaitError::Os)?);
        // SAFETY: the descriptor is the bell's, which is open until the last of its owners is gone;
        // the registration holds one of them.
        let registered = unsafe {
            AsyncFd::register_with_interest(Polled(Arc::clone(&bell)), Interest::READABLE)
        };
        let rings = registered.map_err(|error| {
            let code = std::io::Error::from(error).raw_os_error();
            WaitError::Os(code.map_or(Errno::EIO, Errno::from_raw))
        })?;
        let channel = Arc::downgrade(self);
        let place = Place { channel, runtime, bell: Arc::clone(&bell) };
        self.listen(&mut self.lock(), bell)?;
        // A thread of the same runtime may have come in between: then there are two for a while,
        // which does no harm.
        self.reactors.lock().push(runtime);
        drop(handle.spawn(attend(place, rings)));
        Ok(true)
    }

    /// The channel ends, and so do its tasks.
    pub(crate) fn dismiss_reactors(&self) {
        for listener in &self.lock().listeners {
            listener.bell.ring();
        }
    }
}

async fn attend(place: Place, rings: AsyncFd<Polled>) {
    loop {
        let Ok(mut rung) = rings.readable().await else { return };
        rung.clear_ready();
        let Some(channel) = place.channel.upgrade() else { return };
        if place.bell.silence().is_err() {
            return;
        }
        channel.attend();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(channel) = self.channel.upgrade() else { return };
        if channel.control.fork.forked() {
            return;
        }
        let mut reactors = channel.reactors.lock();
        if let Some(place) = reactors.iter().position(|id| *id == self.runtime) {
            reactors.swap_remove(place);
        }
        drop(reactors);
        channel.unlisten(&self.bell);
        if channel.is_awaited() {
            // A process that can make no thread is told by whoever waits next.
            let _waiting = channel.attended_by_thread();
        }
    }
}
