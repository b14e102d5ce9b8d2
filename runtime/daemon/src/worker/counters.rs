//! Figures that the dispatch thread writes and the control thread reads: relaxed atomics, each of
//! which is true by itself.

use gpumux_wire::outcome::{Outcome, Reason};
use gpumux_wire::status::{OutcomeCounts, Quantiles, RefusalCount};
use histogram::AtomicHistogram;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Latencies are told apart to within 1 part in 2⁷ …
const GROUPING_POWER: u8 = 7;
/// … up to 2³⁶ µs; what is longer counts as that.
const MAX_VALUE_POWER: u8 = 36;

/// Figures of one function.
#[derive(Debug)]
pub(super) struct FunctionCounters {
    arrived: AtomicU64,
    done: AtomicU64,
    refused: AtomicU64,
    deadline_missed: AtomicU64,
    cancelled: AtomicU64,
    by_reason: [AtomicU64; Reason::ALL.len()],
    batches: AtomicU64,
    queued: AtomicU32,
    channels: AtomicU32,
    own_elements: AtomicU64,
    padded_elements: AtomicU64,
    latency_us: AtomicHistogram,
}

impl FunctionCounters {
    pub(super) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            arrived: zero(),
            done: zero(),
            refused: zero(),
            deadline_missed: zero(),
            cancelled: zero(),
            by_reason: std::array::from_fn(|_| zero()),
            batches: zero(),
            queued: AtomicU32::new(0),
            channels: AtomicU32::new(0),
            own_elements: zero(),
            padded_elements: zero(),
            latency_us: AtomicHistogram::new(GROUPING_POWER, MAX_VALUE_POWER)
                .expect("the constants suit each other"),
        }
    }

    pub(super) fn arrived(&self) {
        self.arrived.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts how a request ended, `latency` after it was read.
    pub(super) fn ended(&self, outcome: Outcome, latency: Duration) {
        let counter = match outcome {
            Outcome::Done => &self.done,
            Outcome::Refused(refusal) => {
                let place = Reason::ALL.iter().position(|reason| *reason == refusal.reason);
                if let Some(place) = place {
                    self.by_reason[place].fetch_add(1, Ordering::Relaxed);
                }
                &self.refused
            }
            Outcome::DeadlineMissed => &self.deadline_missed,
            Outcome::Cancelled => &self.cancelled,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if outcome == Outcome::Done {
            let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
            let _in_range = self.latency_us.increment(micros.min((1 << MAX_VALUE_POWER) - 1));
        }
    }

    pub(super) fn set_queued(&self, queued: u32) {
        self.queued.store(queued, Ordering::Relaxed);
    }

    pub(super) fn set_channels(&self, change: impl FnOnce(u32) -> u32) {
        // One thread writes, so a load and a store lose nothing.
        self.channels.store(change(self.channels.load(Ordering::Relaxed)), Ordering::Relaxed);
    }

    /// Counts a batch whose requests brought `own` elements and that computed `padded` more.
    pub(super) fn batch(&self, own: u64, padded: u64) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.own_elements.fetch_add(own, Ordering::Relaxed);
        self.padded_elements.fetch_add(padded, Ordering::Relaxed);
    }

    pub(super) fn outcomes(&self) -> OutcomeCounts {
        OutcomeCounts {
            done: self.done.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            deadline_missed: self.deadline_missed.load(Ordering::Relaxed),
            cancelled: self.cancelled.load(Ordering::Relaxed),
        }
    }

    /// Refusals by reason, without the reasons that none had.
    pub(super) fn refusals(&self) -> Vec<RefusalCount> {
        let counts = Reason::ALL.iter().zip(&self.by_reason);
        counts
            .map(|(reason, count)| RefusalCount {
                reason: reason.label().to_owned(),
                count: count.load(Ordering::Relaxed),
            })
            .filter(|refusal| refusal.count > 0)
            .collect()
    }

    pub(super) fn latency(&self) -> Quantiles {
        let histogram = self.latency_us.load();
        let quantile = |quantile| match histogram.quantile_bucket(quantile) {
            Ok(Some(bucket)) => bucket.end(),
            Ok(None) | Err(_) => 0,
        };
        Quantiles { p50: quantile(0.5), p99: quantile(0.99), max: quantile(1.0) }
    }

    /// Padding for each element of its own that a request brought.
    pub(super) fn padding_share(&self) -> f64 {
        let own = self.own_elements.load(Ordering::Relaxed);
        let padded = self.padded_elements.load(Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "a share does not need all 64 bits")]
        if own == 0 { 0.0 } else { padded as f64 / own as f64 }
    }

    pub(super) fn arrived_count(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    pub(super) fn batch_count(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    pub(super) fn queued_count(&self) -> u32 {
        self.queued.load(Ordering::Relaxed)
    }

    pub(super) fn channel_count(&self) -> u32 {
        self.channels.load(Ordering::Relaxed)
    }
}

/// Figures of a worker.
#[derive(Debug)]
pub(super) struct Counters {
    /// By `FunctionId`.
    pub(super) functions: Box<[FunctionCounters]>,
    /// Batches of each lane.
    pub(super) lanes: Box<[AtomicU64]>,
}

impl Counters {
    pub(super) fn new(functions: usize, lanes: u16) -> Self {
        Self {
            functions: (0..functions).map(|_| FunctionCounters::new()).collect(),
            lanes: (0..lanes).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}
