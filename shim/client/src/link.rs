//! How a channel loses who serves it, and comes to the next.

use crate::channel::{Channel, Memory};
use crate::clock;
use crate::control::{Opened, Standing};
use crate::error::{Loss, OpenError, ReopenError};
use crate::slots::Presented;
use crate::state::{Absence, Link, State};
use gpumux_wire::channel::PeerSide;
use gpumux_wire::control::{ChannelId, OpenRefusal};
use gpumux_wire::outcome::Reason;
use std::sync::Arc;
use std::time::Instant;

impl Channel {
    /// The worker's end of the wake-up channel has closed: nobody else has a hand in the memory any
    /// more. What the worker published before is still an answer.
    pub(crate) fn part(&self, state: &mut State) {
        self.take_completions(state);
        let Link::Up { epoch, .. } = state.link else { return };
        let since = clock::now();
        let until = since.checked_add(self.control.reconnect_for).unwrap_or(since);
        state.slots.without_worker();
        state.link = Link::Away(Absence { epoch, since, until, refusal: None });
        self.tell(state);
        if self.control.revive().is_err() {
            self.end(state, Loss::Gone(Reason::DaemonLost));
        }
    }

    /// Ends everything in flight: nobody will serve this channel any more.
    pub(crate) fn end(&self, state: &mut State, loss: Loss) {
        state.slots.end(loss.outcome());
        state.link = Link::Ended(loss);
        self.tell(state);
    }
}

/// What the session's thread does with a channel that nobody serves.
impl Channel {
    /// Ends what has waited long enough. Says whether the channel still waits.
    pub(crate) fn look_after(&self, now: Instant, standing: &Standing) -> bool {
        let mut state = self.lock();
        let Link::Away(absence) = &state.link else { return false };
        let refused = || absence.refusal.clone().map(|refusal| Loss::Restarted(refusal.into()));
        let loss = match standing {
            Standing::Over(loss) => Some(loss.clone()),
            // The daemon lives and has let this channel go; it is asked why.
            Standing::Alive { epoch } if *epoch == absence.epoch => {
                (absence.until.max(absence.settled()) <= now)
                    .then_some(Loss::Gone(Reason::WorkerLost))
            }
            Standing::Alive { .. } | Standing::Gone => {
                (absence.until <= now).then(|| refused().unwrap_or(Loss::Gone(Reason::DaemonLost)))
            }
            Standing::Asked => None,
        };
        match loss {
            Some(loss) => self.end(&mut state, loss),
            None if state.slots.expire(now) => self.tell(&mut state),
            None => (),
        }
        matches!(state.link, Link::Away(_))
    }

    /// Makes the memory ready for the next worker, and says what to present it as; `None` when there
    /// is nothing to present over the connection of this epoch yet.
    pub(crate) fn to_present(&self, epoch: u64) -> Option<(ChannelId, &str, &Memory)> {
        let mut state = self.lock();
        match &state.link {
            Link::Away(absence) if absence.epoch != epoch => (),
            // To this daemon the name is in use until it is told otherwise.
            Link::Away(absence) if absence.settled() <= clock::now() => self.control.close(self.id),
            Link::Up { .. } | Link::Away(_) | Link::Ended(_) => return None,
        }
        state.side = PeerSide::start_over(&self.memory.mapping);
        Some((self.id, &self.function, &self.memory))
    }

    /// Takes the daemon's answer. Says whether the matter is settled.
    pub(crate) fn answered(&self, epoch: u64, answer: Result<Opened, OpenError>) -> bool {
        let mut state = self.lock();
        let Link::Away(absence) = &mut state.link else {
            // It ended while the question was on its way.
            if answer.is_ok() {
                self.control.close(self.id);
            }
            return true;
        };
        match answer {
            Ok(opened) if opened.signature != self.signature => {
                self.control.close(self.id);
                self.end(&mut state, Loss::Restarted(ReopenError::SignatureChanged));
            }
            Ok(opened) => self.resume(&mut state, opened),
            Err(OpenError::Refused(OpenRefusal::Unavailable { .. })) if absence.epoch == epoch => {
                self.end(&mut state, Loss::Gone(Reason::WorkerLost));
            }
            Err(OpenError::Refused(refusal @ OpenRefusal::Unavailable { .. })) => {
                absence.refusal = Some(refusal);
                return false;
            }
            Err(OpenError::Refused(refusal)) => {
                self.end(&mut state, Loss::Restarted(refusal.into()));
            }
            // The connection's standing says the rest.
            Err(_) => return false,
        }
        true
    }

    fn resume(&self, state: &mut State, opened: Opened) {
        let now = clock::now();
        state.slots.expire(now);
        let presented: Vec<Presented> = state.slots.presented(now).collect();
        let wake = opened.wake;
        if state.listeners.iter().any(|listener| listener.bell.add(&wake, self.id.0).is_err()) {
            // The kernel has no memory for it, and who would wait for that bell would not hear.
            self.control.close(self.id);
            self.end(state, Loss::Gone(Reason::DaemonLost));
            return;
        }
        state.link = Link::Up { wake: Arc::new(wake), epoch: opened.epoch };
        for request in presented {
            self.present(state, request);
        }
        self.tell(state);
        self.announce(state);
    }
}
