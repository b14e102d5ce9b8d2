//! How often something may happen: a rate, in bursts of a bounded size.

use gpumux_core::MonoTime;
use std::time::Duration;

/// A bound on a rate. What is remembered of the past is one moment, which the caller keeps: when all
/// that happened so far would have ended, had it come evenly (the virtual scheduling algorithm of
/// ITU-T I.371, annex A).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Between two events.
    pub(crate) interval: Duration,
    /// How much of it a burst may run ahead.
    pub(crate) burst: Duration,
}

impl Pace {
    /// Takes one event now. Returns the moment to remember.
    ///
    /// # Errors
    /// How long to wait, when it comes too soon.
    pub(crate) fn take(self, remembered: MonoTime, now: MonoTime) -> Result<MonoTime, Duration> {
        let ends = remembered.max(now).after(self.interval);
        let ahead = ends.since(now);
        if ahead > self.burst.max(self.interval) {
            return Err(ahead - self.burst.max(self.interval));
        }
        Ok(ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let pace = Pace { interval: Duration::from_millis(100), burst: Duration::from_secs(1) };
        let (mut remembered, mut passed) = (MonoTime::ZERO, 0);
        for millis in 0..5000 {
            let now = MonoTime::ZERO.after(Duration::from_millis(10_000 + millis));
            match pace.take(remembered, now) {
                Ok(ends) => {
                    remembered = ends;
                    passed += 1;
                }
                Err(wait) => assert!(pace.take(remembered, now.after(wait)).is_ok()),
            }
        }
        // Ten at once, and ten a second after.
        assert_eq!(passed, 10 + 49);
        let slow = Pace { interval: Duration::from_secs(5), burst: Duration::ZERO };
        let first = slow.take(MonoTime::ZERO, MonoTime::ZERO).unwrap();
        assert_eq!(slow.take(first, MonoTime::ZERO), Err(Duration::from_secs(5)));
    }
}
