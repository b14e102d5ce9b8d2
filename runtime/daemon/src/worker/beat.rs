//! A sign of life of the dispatch thread, for the control thread: a thread that is stuck in a call to
//! the driver cannot say so itself.

use gpumux_core::MonoTime;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What stands for sleep: nothing to do is no hang.
const ASLEEP: u64 = u64::MAX;

/// See the file's head.
#[derive(Debug)]
pub(super) struct Beat(AtomicU64);

impl Beat {
    /// Of a thread that has not begun.
    pub(super) const fn asleep() -> Self {
        Self(AtomicU64::new(ASLEEP))
    }

    /// The thread looks around.
    pub(super) fn awake(&self, now: MonoTime) {
        self.0.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// The thread sleeps until somebody wakes it.
    pub(super) fn sleep(&self) {
        self.0.store(ASLEEP, Ordering::Relaxed);
    }

    /// How long the thread has been busy with one round.
    pub(super) fn silent_for(&self, now: MonoTime) -> Duration {
        now.since(MonoTime::from_nanos(self.0.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_is_not_silent() {
        let beat = Beat::asleep();
        let now = MonoTime::from_nanos(5_000);
        assert_eq!(beat.silent_for(now), Duration::ZERO);
        beat.awake(MonoTime::from_nanos(2_000));
        assert_eq!(beat.silent_for(now), Duration::from_nanos(3_000));
        beat.sleep();
        assert_eq!(beat.silent_for(now), Duration::ZERO);
    }
}
