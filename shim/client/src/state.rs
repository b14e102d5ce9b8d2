//! What the threads of a channel share, and the lock that it is behind.

use crate::bell::Bell;
use crate::error::Loss;
use crate::slots::Slots;
use gpumux_wire::channel::PeerSide;
use gpumux_wire::control::OpenRefusal;
use std::ops::{Deref, DerefMut};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a channel whose wake-up channel has closed waits for the control socket to say why.
const SETTLE: Duration = Duration::from_secs(1);

/// See the file's head.
pub(crate) struct State {
    pub(crate) side: PeerSide,
    pub(crate) slots: Slots,
    pub(crate) link: Link,
    /// One thread of those that wait sleeps in the kernel for all; the others wait for it. While it
    /// does, it alone takes wake-ups from the socket, so that it misses none.
    pub(crate) polling: bool,
    /// What else looks at the wake-up channel.
    pub(crate) listeners: Vec<Listener>,
}

/// A bell that rings with the wake-up channel.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) bell: Arc<Bell>,
    /// It wants to be rung also for what ended otherwise, once.
    pub(crate) armed: bool,
}

/// Who serves a channel.
#[derive(Debug)]
pub(crate) enum Link {
    /// A worker, at the other end of the wake-up channel.
    Up {
        /// This side's end.
        wake: Arc<OwnedFd>,
        /// The connection over which it was presented.
        epoch: u64,
    },
    /// Nobody now. The session's thread presents the channel to the daemon that comes.
    Away(Absence),
    /// Nobody any more.
    Ended(Loss),
}

/// How long nobody has served a channel.
#[derive(Debug)]
pub(crate) struct Absence {
    /// The connection over which it was presented last.
    pub(crate) epoch: u64,
    pub(crate) since: Instant,
    /// When to give up.
    pub(crate) until: Instant,
    /// The last refusal that may pass.
    pub(crate) refusal: Option<OpenRefusal>,
}

impl Absence {
    /// When the control socket has said what there is to say: a daemon that dies closes one after the
    /// other.
    pub(crate) fn settled(&self) -> Instant {
        self.since + SETTLE
    }
}

impl State {
    /// Whether anybody but a thread that sleeps for itself wants to know of the next completion.
    pub(crate) fn is_awaited(&self) -> bool {
        self.slots.is_awaited() || self.listeners.iter().any(|listener| listener.armed)
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("link", &self.link).finish_non_exhaustive()
    }
}

/// A channel's state, locked. When the lock is free again, it wakes whose requests ended under it.
pub(crate) struct Locked<'a>(Option<MutexGuard<'a, State>>);

const HELD: &str = "it is held until it is dropped or waits";

impl<'a> Locked<'a> {
    pub(crate) fn new(state: &'a Mutex<State>) -> Self {
        // A thread that panicked held no half-made change: every change is one assignment, or ends
        // before anything can panic.
        Self(Some(state.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Waits until `changed` is rung, or for so long. The caller has seen that no waker is due.
    pub(crate) fn wait(mut self, changed: &Condvar, left: Option<Duration>) -> Self {
        let guard = self.0.take().expect(HELD);
        self.0 = Some(match left {
            None => changed.wait(guard).unwrap_or_else(PoisonError::into_inner),
            Some(left) => {
                changed.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0
            }
        });
        self
    }
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        self.0.as_deref().expect(HELD)
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        self.0.as_deref_mut().expect(HELD)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let Some(mut state) = self.0.take() else { return };
        if state.slots.has_due() {
            let due = state.slots.take_due();
            drop(state);
            due.settle();
        }
    }
}
