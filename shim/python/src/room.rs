//! Room in a channel, and who waits for it.
//!
//! The shim says at once whether a slot is free. Calls that would rather wait learn here that one may
//! be: each time a slot is given back the *epoch* moves on. A request that nobody holds any more is
//! cancelled and kept here until the worker is done with it, so that its end too moves the epoch on.

use gpumux_shim::Pending;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

/// See the file's head.
pub(crate) struct Room {
    /// The process it was made in: a child's copy of the lock may be held by a thread that is not there.
    process: u32,
    desk: Mutex<Desk>,
    /// Rung when the epoch moves on.
    freed: Condvar,
}

#[derive(Default)]
struct Desk {
    epoch: u64,
    /// Slots held by calls that give them back as they return.
    passing: usize,
    /// Cancelled requests that nobody holds.
    orphans: Vec<Pending>,
    /// How many there are, also while they are looked at.
    orphaned: usize,
    /// Woken when the epoch moves on.
    watchers: Vec<Waker>,
}

/// How a room was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) epoch: u64,
    /// Whether a slot will be given back whatever the caller does.
    pub(crate) will_free: bool,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self { process: std::process::id(), desk: Mutex::default(), freed: Condvar::new() }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_forked(&self) -> bool {
        std::process::id() != self.process
    }

    pub(crate) fn look(&self) -> Look {
        let desk = self.desk();
        Look { epoch: desk.epoch, will_free: desk.passing + desk.orphaned > 0 }
    }

    /// A call has taken a slot that it will give back as it returns.
    pub(crate) fn pass(&self) {
        self.desk().passing += 1;
    }

    /// A slot was given back, by a passing call or another holder.
    pub(crate) fn free(&self, passing: bool) {
        if self.is_forked() {
            return;
        }
        let mut desk = self.desk();
        desk.epoch += 1;
        desk.passing -= usize::from(passing);
        let watchers = std::mem::take(&mut desk.watchers);
        drop(desk);
        self.freed.notify_all();
        watchers.into_iter().for_each(Waker::wake);
    }

    /// Takes a request that nobody holds any more.
    pub(crate) fn adopt(self: &Arc<Self>, orphan: Pending) {
        orphan.cancel();
        if self.is_forked() {
            return;
        }
        let mut desk = self.desk();
        desk.orphans.push(orphan);
        desk.orphaned += 1;
        drop(desk);
        self.reap();
    }

    /// Gives back the slots of orphans that have ended, and has the others' ends move the epoch on.
    pub(crate) fn reap(self: &Arc<Self>) {
        loop {
            let mut desk = self.desk();
            let epoch = desk.epoch;
            let mut orphans = std::mem::take(&mut desk.orphans);
            drop(desk);
            let before = orphans.len();
            // Under no lock: what the shim tells others meanwhile may come back here.
            let waker = Waker::from(Arc::new(Knock(Arc::downgrade(self))));
            let mut context = Context::from_waker(&waker);
            orphans.retain_mut(|orphan| Pin::new(orphan).poll(&mut context).is_pending());
            let ended = before - orphans.len();
            let mut desk = self.desk();
            desk.orphans.append(&mut orphans);
            desk.orphaned -= ended;
            let is_settled = desk.epoch == epoch;
            drop(desk);
            if ended > 0 {
                self.free(false);
            }
            // One that ended while it was in nobody's list is looked at again.
            if is_settled {
                return;
            }
        }
    }

    /// Waits until the epoch is another, for at most so long.
    pub(crate) fn wait(&self, epoch: u64, span: Duration) {
        let desk = self.desk();
        let is_same = |desk: &mut Desk| desk.epoch == epoch;
        // Whoever waits looks again, whatever ended the wait.
        drop(self.freed.wait_timeout_while(desk, span, is_same));
    }

    /// Has somebody woken when the epoch moves on. Says whether it has not yet.
    pub(crate) fn watch(&self, epoch: u64, watcher: Waker) -> bool {
        let mut desk = self.desk();
        let is_same = desk.epoch == epoch;
        if is_same {
            desk.watchers.push(watcher);
        }
        is_same
    }
}

/// An orphan has ended.
struct Knock(Weak<Room>);

impl Wake for Knock {
    fn wake(self: Arc<Self>) {
        if let Some(room) = self.0.upgrade() {
            room.free(false);
        }
    }
}
