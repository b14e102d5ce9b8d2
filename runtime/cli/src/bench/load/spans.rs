//! Spans of time that were measured, in a histogram, and on their way between processes.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::time::Duration;

/// Spans are kept to three digits, from 1 ns up to this.
const LONGEST: Duration = Duration::from_secs(3600);
const DIGITS: u8 = 3;
/// Lines of a percentile file for each halving of the distance to 100 %.
const TICKS: u32 = 5;

/// Spans of one peer or of all.
#[derive(Clone, Debug)]
pub(super) struct Spans(Histogram<u64>);

/// (span in nanoseconds, how many were of it), as a peer writes them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Steps(Vec<(u64, u64)>);

/// What is said of spans. The names are those of the JSON document.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Summary {
    pub(super) count: u64,
    pub(super) mean: f64,
    pub(super) min: u64,
    pub(super) p50: u64,
    pub(super) p90: u64,
    pub(super) p99: u64,
    pub(super) p99_9: u64,
    pub(super) max: u64,
}

impl Spans {
    pub(super) fn new() -> Self {
        Self(Histogram::new_with_max(nanos(LONGEST), DIGITS).expect("the bounds are in order"))
    }

    /// Adds one. A span longer than the longest counts as the longest.
    pub(super) fn record(&mut self, span: Duration) {
        self.0.saturating_record(nanos(span));
    }

    /// Adds what another process measured.
    pub(super) fn merge(&mut self, steps: &Steps) {
        for (span, count) in &steps.0 {
            self.0.saturating_record_n(*span, *count);
        }
    }

    pub(super) fn steps(&self) -> Steps {
        let recorded = self.0.iter_recorded();
        Steps(
            recorded
                .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
                .collect(),
        )
    }

    /// In nanoseconds; nothing of no spans.
    pub(super) fn summary(&self) -> Option<Summary> {
        let at = |share| self.0.value_at_quantile(share);
        (!self.0.is_empty()).then(|| Summary {
            count: self.0.len(),
            mean: self.0.mean(),
            min: self.0.min(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: self.0.max(),
        })
    }

    /// A percentile distribution in microseconds, in the form that HdrHistogram's tools plot.
    #[expect(clippy::cast_precision_loss, reason = "spans end at an hour: 42 bits")]
    pub(super) fn percentiles(&self) -> String {
        let micros = |nanos: f64| nanos / 1e3;
        let mut text = "       Value   Percentile   TotalCount 1/(1-Percentile)\n\n".to_owned();
        let mut total = 0;
        for step in self.0.iter_quantiles(TICKS) {
            total += step.count_since_last_iteration();
            let (value, share) = (micros(step.value_iterated_to() as f64), step.quantile());
            let odds =
                if share < 1.0 { format!("{:.2}", 1.0 / (1.0 - share)) } else { "inf".to_owned() };
            // Writing to a string does not fail.
            let _written = writeln!(text, "{value:>12.3} {share:>12.6} {total:>12} {odds:>16}");
        }
        let (mean, deviation) = (micros(self.0.mean()), micros(self.0.stdev()));
        let (max, count) = (micros(self.0.max() as f64), self.0.len());
        let _written =
            writeln!(text, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
        let _written = writeln!(text, "#[Max     = {max:12.3}, Total count    = {count:12}]");
        let _written = writeln!(text, "#[Unit    = microseconds]");
        text
    }
}

/// A span as numbers carry it.
pub(super) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thousand() -> Spans {
        let mut spans = Spans::new();
        (1..=1000).for_each(|micros| spans.record(Duration::from_micros(micros)));
        spans
    }

    #[test]
    fn spans_survive_the_way_between_processes() {
        let text = serde_json::to_string(&thousand().steps()).unwrap();
        let mut merged = Spans::new();
        assert_eq!(merged.summary(), None);
        merged.merge(&serde_json::from_str(&text).unwrap());
        let (summary, first) = (merged.summary().unwrap(), thousand().summary().unwrap());
        assert_eq!((summary.count, summary.p50, summary.p99_9), (1000, first.p50, first.p99_9));
        assert!(first.p50.abs_diff(500_000) < 1000 && first.max.abs_diff(1_000_000) < 1000);
    }

    #[test]
    fn the_percentile_file_counts_up_to_all() {
        let text = thousand().percentiles();
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .take_while(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().map(|word| word.parse().unwrap()).collect())
            .collect();
        assert!(rows.windows(2).all(|pair| pair[0][0] <= pair[1][0] && pair[0][2] <= pair[1][2]));
        let half = rows.iter().find(|row| row[1] >= 0.5).unwrap();
        assert!((half[0] - 500.0).abs() < 1.0 && (half[2] - 500.0).abs() < 1.0, "{half:?}");
        assert_eq!(rows.last().unwrap()[1..], [1.0, 1000.0, f64::INFINITY]);
    }

    #[test]
    fn an_endless_span_counts_as_the_longest() {
        let mut spans = Spans::new();
        spans.record(Duration::MAX);
        spans.record(Duration::ZERO);
        assert_eq!(spans.summary().unwrap().count, 2);
        assert!(spans.summary().unwrap().max >= nanos(LONGEST));
    }
}
