//! What is said of a run: a document for programs and a page for people, of the same figures.

use super::lead::Run;
use super::plan::{Arrivals, Plan};
use super::spans::{Spans, Summary};
use super::tally::Counts;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use std::time::Duration;

/// A generator that is later than this at its 99th percentile has fallen behind.
const LATE: Duration = Duration::from_millis(1);

/// See the file's head. The fields are the document's keys.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Page {
    function: String,
    arrivals: String,
    peers: u32,
    seed: u64,
    /// From the end of the warm-up to the end of arrivals.
    measured_s: f64,
    interrupted: bool,
    asked_requests_per_s: Option<f64>,
    sent_requests_per_s: f64,
    done_requests_per_s: f64,
    requests: Counts,
    batch_mean: Option<f64>,
    latency_ns: Option<Summary>,
    service_ns: Option<Summary>,
    lateness_ns: Option<Summary>,
    queued_ns: Option<Summary>,
    ran_ns: Option<Summary>,
    warnings: Vec<String>,
}

#[expect(clippy::cast_precision_loss, reason = "counts fit 53 bits")]
fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

impl Page {
    pub(super) fn new(plan: &Plan, run: &Run) -> Self {
        let tally = &run.tally;
        let counts = &tally.counts;
        let measured_s = tally.over.saturating_sub(plan.warm_up).as_secs_f64();
        let answered_s = tally.last_answer.saturating_sub(plan.warm_up).as_secs_f64();
        let asked_requests_per_s = match plan.arrivals {
            Arrivals::Poisson { requests_per_s } => Some(requests_per_s),
            Arrivals::Trace { .. } => Some(rate(counts.arrivals, measured_s)),
            Arrivals::Closed { .. } => None,
        };
        let nanos = Spans::summary;
        Self {
            function: plan.function.clone(),
            arrivals: plan.arrivals_text(),
            peers: plan.peers,
            seed: plan.seed,
            measured_s,
            interrupted: run.interrupted,
            asked_requests_per_s,
            sent_requests_per_s: rate(counts.sent_in_time, measured_s),
            done_requests_per_s: rate(counts.done, measured_s.max(answered_s)),
            requests: counts.clone(),
            batch_mean: (counts.done > 0).then(|| mean(counts.batch_sum, counts.done)),
            latency_ns: nanos(&tally.latency),
            service_ns: nanos(&tally.service),
            lateness_ns: nanos(&tally.lateness),
            queued_ns: nanos(&tally.queued),
            ran_ns: nanos(&tally.ran),
            warnings: warnings(run),
        }
    }

    /// For people.
    pub(super) fn table(&self) -> String {
        let Counts {
            arrivals, done, deadline_missed, cancelled, refused, unanswered, unsent, ..
        } = &self.requests;
        let mut lines = vec![
            String::new(),
            format!("measured {:.1} s, {} arrivals", self.measured_s, arrivals),
            match self.asked_requests_per_s {
                Some(asked) => format!(
                    "requests/s: {asked:.1} asked, {:.1} sent, {:.1} done",
                    self.sent_requests_per_s, self.done_requests_per_s
                ),
                None => format!("requests/s: {:.1} done", self.done_requests_per_s),
            },
        ];
        let outcomes = [
            ("done", *done),
            ("deadline_missed", *deadline_missed),
            ("cancelled", *cancelled),
            ("unanswered", *unanswered),
            ("unsent", *unsent),
        ];
        let outcomes = outcomes.into_iter().map(|(outcome, count)| (outcome.to_owned(), count));
        let refused = refused.iter().map(|(reason, count)| (format!("refused: {reason}"), *count));
        for (outcome, count) in outcomes.chain(refused).filter(|(_, count)| *count > 0) {
            lines.push(format!("  {count:>9}  {outcome}"));
        }
        lines.extend(self.batch_mean.map(|mean| format!("requests a batch: {mean:.1}")));
        lines.push(String::new());
        lines.push(self.spans());
        lines.extend(self.warnings.iter().map(|warning| format!("warning: {warning}")));
        lines.join("\n")
    }

    fn spans(&self) -> String {
        let mut table = Table::new();
        let head = ["MILLISECONDS", "P50", "P90", "P99", "P99.9", "MAX", "MEAN"];
        table.load_style(presets::NOTHING).set_header(head);
        let rows = [
            ("latency, from the intended arrival", &self.latency_ns),
            ("service, from the submission", &self.service_ns),
            ("  queued, as the worker says", &self.queued_ns),
            ("  ran, as the worker says", &self.ran_ns),
            ("lateness of the generator", &self.lateness_ns),
        ];
        for (name, summary) in rows {
            let Some(summary) = summary else { continue };
            let Summary { p50, p90, p99, p99_9, max, mean, .. } = summary;
            let mut row = vec![name.to_owned()];
            row.extend([p50, p90, p99, p99_9, max].map(|nanos| millis(*nanos)));
            row.push(format!("{:.3}", mean / 1e6));
            table.add_row(row);
        }
        for column in 1..head.len() {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.to_string()
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts fit 53 bits")]
fn mean(sum: u64, count: u64) -> f64 {
    sum as f64 / count as f64
}

#[expect(clippy::cast_precision_loss, reason = "spans end at an hour: 42 bits")]
fn millis(nanos: u64) -> String {
    format!("{:.3}", nanos as f64 / 1e6)
}

fn warnings(run: &Run) -> Vec<String> {
    let counts = &run.tally.counts;
    let mut warnings = Vec::new();
    let late = run.tally.lateness.summary().map(|summary| Duration::from_nanos(summary.p99));
    if let Some(late) = late.filter(|late| LATE < *late) {
        warnings.push(format!(
            "the generator itself fell behind: one arrival in a hundred was more than {late:?} late. \
             Latencies count that; ask for less, or leave it a core of its own"
        ));
    }
    if counts.waited_for_room > 0 {
        warnings.push(format!(
            "{} arrivals waited for room in their peer's channel, and their latency counts that: the \
             function is slower than its arrivals, or --in-flight is too small",
            counts.waited_for_room
        ));
    }
    if counts.unsent > 0 {
        warnings.push(format!("{} arrivals were due and not sent at the end", counts.unsent));
    }
    if counts.unanswered > 0 {
        warnings.push(format!(
            "{} requests had no outcome while it was waited for: see --drain",
            counts.unanswered
        ));
    }
    warnings
}
