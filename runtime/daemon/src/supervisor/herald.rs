//! What the service manager is told, in order, by a thread of its own: a manager may be slow to listen,
//! and peers do not wait for it.

use sd_notify::NotifyState;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use tracing::warn;

type States = Vec<NotifyState<'static>>;

/// See the file's head. What it is told at a turn of the daemon is never left out: a manager that does
/// not hear that the daemon is ready ends it.
#[derive(Clone, Debug)]
pub(super) struct Herald {
    tell: Sender<States>,
    waiting: Arc<AtomicUsize>,
}

impl Herald {
    /// Starts the thread. Where no service manager started the daemon it has nobody to tell.
    pub(super) fn start() -> std::io::Result<Self> {
        let (tell, told) = channel::<States>();
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        std::thread::Builder::new().name("herald".to_owned()).spawn(move || {
            for states in told {
                if let Err(error) = sd_notify::notify(&states) {
                    warn!(%error, "the service manager could not be told");
                }
                left.fetch_sub(1, Ordering::Relaxed);
            }
        })?;
        Ok(Self { tell, waiting })
    }

    /// Tells the service manager, when it listens.
    pub(super) fn tell(&self, states: impl Into<States>) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // The thread ends with the last herald.
        let _ended = self.tell.send(states.into());
    }

    /// Tells it that all is well, unless it has yet to hear what it was told before: beats come for as
    /// long as the daemon lives, and do not pile up.
    pub(super) fn beat(&self) {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            self.tell([NotifyState::Watchdog]);
        }
    }
}
