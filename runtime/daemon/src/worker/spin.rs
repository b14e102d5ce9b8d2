//! How long the dispatch thread looks for work before it sleeps.
//!
//! A look that finds work saves a wake-up, of both sides; one that does not has burnt a core. How long
//! a sleep took does not tell which it would have been: most of a short one is the way out of it. So
//! what tells is the looking itself. While it finds work, there is a look before every sleep; each
//! vain one doubles the sleeps until the next, up to a bound.

use gpumux_core::MonoTime;
use std::time::Duration;

/// Sleeps until the next look, at most, when none has found anything for long. A look of 20 µs then
/// costs a third of a microsecond a sleep.
const SLEEPS_MAX: u32 = 64;

/// Whether to look, and for how long.
#[derive(Debug)]
pub(crate) struct Spin {
    bound: Duration,
    /// Sleeps from one look to the next; 0 while looks find work.
    interval: u32,
    /// Sleeps that are still to be slept until the next look.
    left: u32,
    /// When work was last done.
    last_work: MonoTime,
    /// Looks since then have found nothing.
    looked: bool,
}

impl Spin {
    /// Never looks longer than `bound`; a bound of zero never looks.
    pub(crate) fn new(bound: Duration) -> Self {
        Self { bound, interval: 0, left: 0, last_work: MonoTime::ZERO, looked: false }
    }

    /// Work was found, after a pass without any when `after_idle`.
    pub(crate) fn worked(&mut self, now: MonoTime, after_idle: bool) {
        if after_idle {
            (self.interval, self.left) = (0, 0);
        }
        self.last_work = now;
        self.looked = false;
    }

    /// Whether to look once more rather than to sleep.
    pub(crate) fn goes_on(&mut self, now: MonoTime) -> bool {
        let goes_on = self.left == 0 && now.since(self.last_work) < self.bound;
        self.looked |= goes_on;
        goes_on
    }

    /// A sleep is over.
    pub(crate) fn slept(&mut self, until: MonoTime) {
        if std::mem::take(&mut self.looked) {
            self.interval = (self.interval * 2).clamp(1, SLEEPS_MAX);
            self.left = self.interval;
        } else {
            self.left = self.left.saturating_sub(1);
        }
        self.last_work = until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_micros(20);

    /// Sleeps and works by turns, with a vain look where there is one. Says how many there were.
    fn vain_looks(spin: &mut Spin, now: &mut MonoTime, sleeps: u32) -> u32 {
        let mut looks = 0;
        for _ in 0..sleeps {
            looks += u32::from(spin.goes_on(now.after(BOUND / 2)));
            assert!(!spin.goes_on(now.after(BOUND)), "never past the bound");
            *now = now.after(Duration::from_millis(1));
            spin.slept(*now);
            spin.worked(*now, false);
        }
        looks
    }

    #[test]
    fn vain_looks_become_rare_and_one_that_finds_work_brings_them_back() {
        let mut spin = Spin::new(BOUND);
        let mut now = MonoTime::ZERO;
        assert_eq!(vain_looks(&mut spin, &mut now, 1), 1, "it begins with a look");
        assert!(vain_looks(&mut spin, &mut now, 200) <= 8);
        let more = vain_looks(&mut spin, &mut now, 6_500);
        assert!((90..=110).contains(&more), "one in {SLEEPS_MAX} sleeps or so, not {more}");
        while !spin.goes_on(now.after(Duration::from_micros(1))) {
            spin.slept(now);
            spin.worked(now, false);
        }
        spin.worked(now, true);
        assert_eq!(vain_looks(&mut spin, &mut now, 1), 1);
    }

    #[test]
    fn a_bound_of_zero_never_looks() {
        let mut spin = Spin::new(Duration::ZERO);
        spin.worked(MonoTime::ZERO, true);
        spin.slept(MonoTime::ZERO);
        assert!(!spin.goes_on(MonoTime::ZERO));
    }
}
