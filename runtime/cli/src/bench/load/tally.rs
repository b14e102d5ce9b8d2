//! What became of requests: counted by a peer, and summed up over all.

use super::spans::{Spans, Steps};
use gpumux_shim::{Outcome, Reply};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Counts of measured requests. Every arrival is in one of: done, refused, deadline_missed,
/// cancelled, unanswered, unsent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// Requests that were to be made.
    pub(super) arrivals: u64,
    /// Those that were submitted.
    pub(super) sent: u64,
    /// Those that were submitted before arrivals ended.
    pub(super) sent_in_time: u64,
    /// Arrivals that found the peer's channel full.
    pub(super) waited_for_room: u64,
    pub(super) done: u64,
    pub(super) deadline_missed: u64,
    pub(super) cancelled: u64,
    /// By reason.
    pub(super) refused: BTreeMap<String, u64>,
    /// Submitted, and no outcome came while it was waited for.
    pub(super) unanswered: u64,
    /// Due, and not submitted when the run was ended.
    pub(super) unsent: u64,
    /// Sum of the sizes of the batches of done requests.
    pub(super) batch_sum: u64,
}

/// What a peer, or all, measured.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) counts: Counts,
    /// Of done requests, from the intended arrival to the answer.
    pub(super) latency: Spans,
    /// Of done requests, from submission to the answer.
    pub(super) service: Spans,
    /// Of all arrivals, from the intended one until the generator saw to it.
    pub(super) lateness: Spans,
    /// Of done requests, until their batch began, as the worker says.
    pub(super) queued: Spans,
    /// Of done requests, from there until their batch ended, as the worker says.
    pub(super) ran: Spans,
    /// When arrivals ended, from the beginning.
    pub(super) over: Duration,
    /// When the last answer came.
    pub(super) last_answer: Duration,
}

/// A [`Tally`] as a peer writes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Report {
    counts: Counts,
    latency: Steps,
    service: Steps,
    lateness: Steps,
    queued: Steps,
    ran: Steps,
    over: Duration,
    last_answer: Duration,
    /// Why the peer could not go on.
    pub(super) failure: Option<String>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            counts: Counts::default(),
            latency: Spans::new(),
            service: Spans::new(),
            lateness: Spans::new(),
            queued: Spans::new(),
            ran: Spans::new(),
            over: Duration::ZERO,
            last_answer: Duration::ZERO,
        }
    }

    /// Counts an answer to a request that was to come, and was submitted, at these times.
    pub(super) fn answered(
        &mut self,
        due: Duration,
        submitted: Duration,
        now: Duration,
        reply: &Reply,
    ) {
        self.last_answer = self.last_answer.max(now);
        let counts = &mut self.counts;
        match reply.outcome() {
            Outcome::Done => {
                counts.done += 1;
                counts.batch_sum += u64::from(reply.batch());
                self.latency.record(now.saturating_sub(due));
                self.service.record(now.saturating_sub(submitted));
                self.queued.record(reply.queued());
                self.ran.record(reply.ran());
            }
            Outcome::Refused(refusal) => {
                let label = refusal.reason.label();
                match counts.refused.get_mut(label) {
                    Some(count) => *count += 1,
                    None => drop(counts.refused.insert(label.to_owned(), 1)),
                }
            }
            Outcome::DeadlineMissed => counts.deadline_missed += 1,
            Outcome::Cancelled => counts.cancelled += 1,
        }
    }

    pub(super) fn report(&self, failure: Option<String>) -> Report {
        Report {
            counts: self.counts.clone(),
            latency: self.latency.steps(),
            service: self.service.steps(),
            lateness: self.lateness.steps(),
            queued: self.queued.steps(),
            ran: self.ran.steps(),
            over: self.over,
            last_answer: self.last_answer,
            failure,
        }
    }

    /// Adds what a peer measured.
    pub(super) fn merge(&mut self, report: &Report) {
        self.counts.merge(&report.counts);
        self.latency.merge(&report.latency);
        self.service.merge(&report.service);
        self.lateness.merge(&report.lateness);
        self.queued.merge(&report.queued);
        self.ran.merge(&report.ran);
        self.over = self.over.max(report.over);
        self.last_answer = self.last_answer.max(report.last_answer);
    }
}

impl Counts {
    fn merge(&mut self, other: &Self) {
        let Self {
            arrivals,
            sent,
            sent_in_time,
            waited_for_room,
            done,
            deadline_missed,
            cancelled,
            refused,
            unanswered,
            unsent,
            batch_sum,
        } = other;
        self.arrivals += arrivals;
        self.sent += sent;
        self.sent_in_time += sent_in_time;
        self.waited_for_room += waited_for_room;
        self.done += done;
        self.deadline_missed += deadline_missed;
        self.cancelled += cancelled;
        for (reason, count) in refused {
            *self.refused.entry(reason.clone()).or_default() += count;
        }
        self.unanswered += unanswered;
        self.unsent += unsent;
        self.batch_sum += batch_sum;
    }

    /// Requests that ended, however they did.
    pub(super) fn ended(&self) -> u64 {
        self.done + self.deadline_missed + self.cancelled + self.refused.values().sum::<u64>()
    }
}
