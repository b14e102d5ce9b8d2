//! Whether the daemon is fine, told to a service manager that replaces it when it is not.
//!
//! Fine means that no part is stuck of which only a new daemon would be rid: the event loop turns,
//! which is what tells the service manager; and each device's keeper keeps its *promise*. A keeper
//! says by when it will be heard of again: within seconds while a worker serves or loads, longer while
//! it brings one to its end. A worker that hangs, dies or cannot load is not a reason to replace
//! the daemon. Its keeper ends it and starts another, and while it does so it keeps its promises.

use super::devices::Devices;
use super::herald::Herald;
use crate::clock::Clock;
use gpumux_core::MonoTime;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tracing::error;

/// By when a keeper says that it will be heard of again. The keeper has one end, the watchdog another.
#[derive(Clone, Debug)]
pub(super) struct Promise(Arc<AtomicU64>);

impl Promise {
    /// One that is kept until it is first given.
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }

    /// Promises to be heard of within a span.
    pub(super) fn within(&self, span: Duration) {
        self.0.store(Clock.now().after(span).as_nanos(), Ordering::Relaxed);
    }

    /// Promises nothing: what it waits for is not in the daemon's hands.
    pub(super) fn nothing(&self) {
        self.0.store(u64::MAX, Ordering::Relaxed);
    }

    /// Whether it was not broken.
    fn is_kept(&self, now: MonoTime) -> bool {
        now <= MonoTime::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// Tells the service manager that the daemon is fine, twice in the time in which it expects that, for
/// as long as it is. Returns at once where nobody expects it.
pub(super) async fn keep(devices: Devices, herald: Herald) {
    let Some(expected) = sd_notify::watchdog_enabled().filter(|span| !span.is_zero()) else {
        return;
    };
    let mut beat = interval(expected / 2);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        match devices.promises().find(|(_, promise)| !promise.is_kept(Clock.now())) {
            None => herald.beat(),
            Some((device, _)) => error!(
                device,
                "the keeper of the device's worker is stuck: a bug; the service manager is not told that all is well"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_broken_by_time_alone() {
        let promise = Promise::new();
        let far = MonoTime::from_nanos(u64::MAX);
        assert!(promise.is_kept(far));
        promise.within(Duration::from_secs(5));
        let now = Clock.now();
        assert!(promise.is_kept(now));
        assert!(!promise.is_kept(now.after(Duration::from_secs(6))));
        promise.nothing();
        assert!(promise.is_kept(far));
    }
}
