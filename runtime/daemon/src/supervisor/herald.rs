//! What the service manager is told, in order, by a thread of its own: a manager may be slow to listen,
//! and peers do not wait for it.

use sd_notify::NotifyState;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use tracing::warn;

/// Messages that may wait. Who listens at all never has so many.
const WAITING_MAX: usize = 64;

/// See the file's head.
#[derive(Clone, Debug)]
pub(super) struct Herald(SyncSender<Vec<NotifyState<'static>>>);

impl Herald {
    /// Starts the thread. Where no service manager started the daemon it has nobody to tell.
    pub(super) fn start() -> std::io::Result<Self> {
        let (tell, told) = sync_channel::<Vec<NotifyState<'static>>>(WAITING_MAX);
        std::thread::Builder::new().name("herald".to_owned()).spawn(move || {
            for states in told {
                if let Err(error) = sd_notify::notify(&states) {
                    warn!(%error, "the service manager could not be told");
                }
            }
        })?;
        Ok(Self(tell))
    }

    /// Tells the service manager, when it listens.
    pub(super) fn tell(&self, states: impl Into<Vec<NotifyState<'static>>>) {
        match self.0.try_send(states.into()) {
            Ok(()) => (),
            Err(TrySendError::Full(states)) => {
                warn!(?states, "the service manager does not listen and is not told");
            }
            // The thread ends with the last herald.
            Err(TrySendError::Disconnected(_)) => (),
        }
    }
}
