//! Latencies on their way from the processes of a measurement to the one that sums them up.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Latencies are kept to three digits, from 1 ns up to this.
const LONGEST: Duration = Duration::from_secs(60);
const DIGITS: u8 = 3;

/// Latencies of one process or of several.
#[derive(Clone, Debug)]
pub(super) struct Latencies(Histogram<u64>);

/// What a process measured, as it writes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Report {
    /// How long it measured.
    pub(super) elapsed_ns: u64,
    /// (latency in nanoseconds, how many were of it)
    pub(super) latencies: Vec<(u64, u64)>,
}

impl Latencies {
    pub(super) fn new() -> Self {
        let longest = nanos(LONGEST);
        Self(Histogram::new_with_max(longest, DIGITS).expect("the bounds are in order"))
    }

    /// Adds one. A latency longer than the longest counts as the longest.
    pub(super) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(nanos(latency).max(1));
    }

    /// Adds what another process measured.
    pub(super) fn merge(&mut self, report: &Report) {
        for (latency, count) in &report.latencies {
            self.0.saturating_record_n(*latency, *count);
        }
    }

    /// The latency that `share` of all stay below, in nanoseconds.
    pub(super) fn quantile(&self, share: f64) -> u64 {
        self.0.value_at_quantile(share)
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// As a process writes them.
    pub(super) fn report(&self, elapsed: Duration) -> Report {
        let recorded = self.0.iter_recorded();
        let latencies = recorded
            .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
            .collect();
        Report { elapsed_ns: nanos(elapsed), latencies }
    }
}

impl Report {
    /// Requests that it made.
    pub(super) fn requests(&self) -> u64 {
        self.latencies.iter().map(|(_, count)| count).sum()
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_survive_the_way_between_processes() {
        let (mut all, mut merged) = (Latencies::new(), Latencies::new());
        for process in 0..3u64 {
            let mut one = Latencies::new();
            for index in 1..=1000 {
                let latency = Duration::from_nanos(index * 1_700 * (process + 1));
                one.record(latency);
                all.record(latency);
            }
            let text = serde_json::to_string(&one.report(Duration::from_secs(1))).unwrap();
            let report: Report = serde_json::from_str(&text).unwrap();
            assert_eq!((report.requests(), report.elapsed_ns), (1000, 1_000_000_000));
            merged.merge(&report);
        }
        assert_eq!(merged.count(), 3000);
        for share in [0.0, 0.5, 0.99, 0.999, 1.0] {
            assert_eq!(merged.quantile(share), all.quantile(share));
        }
    }

    #[test]
    fn an_endless_latency_counts_as_the_longest() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::MAX);
        latencies.record(Duration::ZERO);
        assert_eq!(latencies.count(), 2);
        assert!(latencies.quantile(1.0) >= nanos(LONGEST));
    }
}
