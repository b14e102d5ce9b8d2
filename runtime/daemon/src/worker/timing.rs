//! How long parts of requests' ways took, in histograms that one thread writes and another reads.

use gpumux_wire::status::{DURATION_BOUNDS_NS, Distribution, Quantiles};
use histogram::AtomicHistogram;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Durations are told apart to within 1 part in 2⁶ …
const GROUPING_POWER: u8 = 6;
/// … up to 2⁴² ns, more than an hour; what is longer counts as that.
const MAX_VALUE_POWER: u8 = 42;

/// Adds to a counter that this thread alone writes: a load and a store lose nothing, and no cache line
/// is locked.
pub(super) fn bump(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

/// A span in whole nanoseconds.
pub(super) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// See the file's head.
#[derive(Debug)]
pub(super) struct Timing {
    histogram: AtomicHistogram,
    sum_ns: AtomicU64,
}

impl Timing {
    pub(super) fn new() -> Self {
        let histogram = AtomicHistogram::new(GROUPING_POWER, MAX_VALUE_POWER)
            .expect("the constants suit each other");
        Self { histogram, sum_ns: AtomicU64::new(0) }
    }

    pub(super) fn took(&self, span: Duration) {
        let nanos = nanos(span);
        // One less, so that a value that is a bound falls below it, as the bounds say.
        let value = nanos.saturating_sub(1).min((1 << MAX_VALUE_POWER) - 1);
        let _in_range = self.histogram.increment(value);
        bump(&self.sum_ns, nanos);
    }

    /// Quantiles, and how often values fell between the bounds.
    pub(super) fn report(&self) -> (Quantiles, Distribution) {
        let sum = self.sum_ns.load(Ordering::Relaxed);
        let histogram = self.histogram.load();
        let quantile = |quantile| match histogram.quantile_bucket(quantile) {
            Ok(Some(bucket)) => bucket.end().div_ceil(1_000),
            Ok(None) | Err(_) => 0,
        };
        let quantiles = Quantiles { p50: quantile(0.5), p99: quantile(0.99), max: quantile(1.0) };
        let mut counts = vec![0; DURATION_BOUNDS_NS.len() + 1];
        for bucket in histogram.iter().filter(|bucket| bucket.count() > 0) {
            counts[DURATION_BOUNDS_NS.partition_point(|bound| *bound <= bucket.end())] +=
                bucket.count();
        }
        (quantiles, Distribution { counts, sum })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_below_the_first_bound_that_it_does_not_exceed() {
        let timing = Timing::new();
        for nanos in [0, 1, 1_024, 1_025, 1 << 34, (1 << 34) + 1, u64::MAX] {
            timing.took(Duration::from_nanos(nanos));
        }
        let (_, distribution) = timing.report();
        let counts = &distribution.counts;
        assert_eq!((counts[0], counts[1], counts[24], counts[25]), (3, 1, 1, 2), "{counts:?}");
        assert_eq!(distribution.count(), 7);
    }

    #[test]
    fn quantiles_are_of_the_values() {
        let timing = Timing::new();
        for micros in 1..=1000 {
            timing.took(Duration::from_micros(micros));
        }
        let (Quantiles { p50, p99, max }, distribution) = timing.report();
        for (found, true_value) in [(p50, 500), (p99, 990), (max, 1000)] {
            assert!((true_value..=true_value + true_value / 32).contains(&found), "{found}");
        }
        assert_eq!(distribution.sum, 500_500_000);
    }
}
