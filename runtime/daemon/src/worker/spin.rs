//! How long the dispatch thread looks for work before it sleeps.
//!
//! A spin that finds work saves a wake-up; one that does not has burnt a core. So the span adapts:
//! it doubles up to a bound when work comes within it and halves towards nothing when not. A sleep
//! that turns out shorter than the bound lets it start again.

use gpumux_core::MonoTime;
use std::time::Duration;

/// The span that a first success starts from.
const FIRST: Duration = Duration::from_micros(2);

/// The adaptive span.
#[derive(Debug)]
pub(crate) struct Spin {
    bound: Duration,
    span: Duration,
    /// When work was last done.
    last_work: MonoTime,
}

impl Spin {
    /// Never spins longer than `bound`; a bound of zero never spins.
    pub(crate) fn new(bound: Duration) -> Self {
        Self { bound, span: Duration::ZERO, last_work: MonoTime::ZERO }
    }

    /// Work was found, after a pass without any when `after_idle`.
    pub(crate) fn worked(&mut self, now: MonoTime, after_idle: bool) {
        if after_idle {
            self.span = (self.span * 2).max(FIRST).min(self.bound);
        }
        self.last_work = now;
    }

    /// Whether to look once more rather than to sleep.
    pub(crate) fn goes_on(&self, now: MonoTime) -> bool {
        now.since(self.last_work) < self.span
    }

    /// The sleep that follows a vain spin is over.
    pub(crate) fn slept(&mut self, from: MonoTime, until: MonoTime) {
        if until.since(from) < self.bound {
            self.span = self.span.max(FIRST.min(self.bound));
        } else {
            self.span /= 2;
        }
        self.last_work = until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_micros(20);

    #[test]
    fn vain_spins_die_out_and_short_sleeps_revive_them() {
        let mut spin = Spin::new(BOUND);
        let mut now = MonoTime::ZERO;
        assert!(!spin.goes_on(now));
        for _ in 0..10 {
            now = now.after(Duration::from_micros(1));
            spin.worked(now, true);
        }
        assert!(spin.goes_on(now.after(BOUND / 2)));
        assert!(!spin.goes_on(now.after(BOUND)), "never past the bound");
        for _ in 0..20 {
            let woken = now.after(Duration::from_millis(1));
            spin.slept(now, woken);
            now = woken;
        }
        assert!(!spin.goes_on(now.after(Duration::from_nanos(1))));
        spin.slept(now, now.after(Duration::from_micros(5)));
        assert!(spin.goes_on(now.after(Duration::from_micros(6))));
    }

    #[test]
    fn a_bound_of_zero_never_spins() {
        let mut spin = Spin::new(Duration::ZERO);
        spin.worked(MonoTime::ZERO, true);
        spin.slept(MonoTime::ZERO, MonoTime::ZERO);
        assert!(!spin.goes_on(MonoTime::ZERO));
    }
}
