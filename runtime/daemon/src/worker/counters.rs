//! Figures that the dispatch thread writes and the control thread reads: relaxed atomics, each of
//! which is true by itself.

use super::timing::{Timing, bump, nanos};
use gpumux_wire::outcome::{Outcome, Reason};
use gpumux_wire::status::{
    Attainment, BATCH_BOUNDS, DeadlineCounts, Distribution, OutcomeCounts, RefusalCount,
    StageStatus, TenantUse, share,
};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Tenants that are told apart; those that come later are counted together.
pub(super) const TENANTS_MAX: usize = 128;

/// The parts of a request's way, in its order, and all of them.
const STAGES: [&str; 5] = ["queue", "copy", "device", "return", "total"];

/// How long each part of a request's way took, in the order of the parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// Read from its slot until its batch began.
    pub(super) queue: Duration,
    /// Until the batch's inputs were gathered.
    pub(super) copy: Duration,
    /// Until its last segment had retired.
    pub(super) device: Duration,
    /// Until its completion was to be published.
    pub(super) back: Duration,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    /// Whose it was.
    pub(super) tenant: usize,
    /// Since it was read.
    pub(super) latency: Duration,
    /// What it allowed for that.
    pub(super) budget: Option<Duration>,
    /// Where the time went, if it ran.
    pub(super) way: Option<Way>,
    /// Its part of its batch's SM time, in nanoseconds.
    pub(super) sm_ns: u64,
}

/// What `objective` in a `function.toml` owes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owed {
    /// A share of the requests …
    pub(super) share: f64,
    /// … within this.
    pub(super) bound: Duration,
}

/// Requests by how they ended.
#[derive(Debug, Default)]
struct Outcomes {
    done: AtomicU64,
    refused: AtomicU64,
    deadline_missed: AtomicU64,
    cancelled: AtomicU64,
}

impl Outcomes {
    fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Done => &self.done,
            Outcome::Refused(_) => &self.refused,
            Outcome::DeadlineMissed => &self.deadline_missed,
            Outcome::Cancelled => &self.cancelled,
        };
        bump(counter, 1);
    }

    fn load(&self) -> OutcomeCounts {
        OutcomeCounts {
            done: self.done.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            deadline_missed: self.deadline_missed.load(Ordering::Relaxed),
            cancelled: self.cancelled.load(Ordering::Relaxed),
        }
    }
}

/// What one tenant had of a function.
#[derive(Debug, Default)]
struct TenantCounters {
    outcomes: Outcomes,
    sm_ns: AtomicU64,
}

/// Figures of one function.
#[derive(Debug)]
pub(super) struct FunctionCounters {
    arrived: AtomicU64,
    outcomes: Outcomes,
    by_reason: [AtomicU64; Reason::ALL.len()],
    met: AtomicU64,
    late: AtomicU64,
    missed: AtomicU64,
    owed: Option<Owed>,
    within: AtomicU64,
    beyond: AtomicU64,
    batches: AtomicU64,
    /// By the bounds of batches.
    batch_sizes: [AtomicU64; BATCH_BOUNDS.len() + 1],
    batched: AtomicU64,
    queued: AtomicU32,
    channels: AtomicU32,
    own_elements: AtomicU64,
    padded_elements: AtomicU64,
    /// In the order of `STAGES`.
    stages: [Timing; STAGES.len()],
    /// By the tenant's place; one more for those that came too late for one of their own.
    tenants: Box<[TenantCounters]>,
}

impl FunctionCounters {
    pub(super) fn new(owed: Option<Owed>) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            arrived: zero(),
            outcomes: Outcomes::default(),
            by_reason: std::array::from_fn(|_| zero()),
            met: zero(),
            late: zero(),
            missed: zero(),
            owed,
            within: zero(),
            beyond: zero(),
            batches: zero(),
            batch_sizes: std::array::from_fn(|_| zero()),
            batched: zero(),
            queued: AtomicU32::new(0),
            channels: AtomicU32::new(0),
            own_elements: zero(),
            padded_elements: zero(),
            stages: std::array::from_fn(|_| Timing::new()),
            tenants: (0..=TENANTS_MAX).map(|_| TenantCounters::default()).collect(),
        }
    }

    pub(super) fn arrived(&self) {
        bump(&self.arrived, 1);
    }

    /// Counts how a request ended.
    pub(super) fn ended(&self, ended: &Ended) {
        let outcome = ended.outcome;
        self.outcomes.count(outcome);
        let tenant = &self.tenants[ended.tenant.min(TENANTS_MAX)];
        tenant.outcomes.count(outcome);
        bump(&tenant.sm_ns, ended.sm_ns);
        match outcome {
            Outcome::Done => self.done(ended),
            Outcome::Refused(refusal) => {
                let place = Reason::ALL.iter().position(|reason| *reason == refusal.reason);
                if let Some(place) = place {
                    bump(&self.by_reason[place], 1);
                }
            }
            Outcome::DeadlineMissed => {
                bump(&self.missed, 1);
                if self.owed.is_some() {
                    bump(&self.beyond, 1);
                }
            }
            Outcome::Cancelled => (),
        }
    }

    fn done(&self, ended: &Ended) {
        if let Some(budget) = ended.budget {
            bump(if ended.latency <= budget { &self.met } else { &self.late }, 1);
        }
        if let Some(owed) = self.owed {
            bump(if ended.latency < owed.bound { &self.within } else { &self.beyond }, 1);
        }
        let Some(way) = ended.way else { return };
        let spans = [way.queue, way.copy, way.device, way.back, ended.latency];
        for (stage, span) in self.stages.iter().zip(spans) {
            stage.took(span);
        }
    }

    pub(super) fn set_queued(&self, queued: u32) {
        self.queued.store(queued, Ordering::Relaxed);
    }

    pub(super) fn set_channels(&self, change: impl FnOnce(u32) -> u32) {
        // One thread writes, so a load and a store lose nothing.
        self.channels.store(change(self.channels.load(Ordering::Relaxed)), Ordering::Relaxed);
    }

    /// Counts a batch of `count` requests that brought `own` elements and that computed `padded` more.
    pub(super) fn batch(&self, count: u32, own: u64, padded: u64) {
        bump(&self.batches, 1);
        let count = u64::from(count);
        bump(&self.batch_sizes[BATCH_BOUNDS.partition_point(|bound| *bound < count)], 1);
        bump(&self.batched, count);
        bump(&self.own_elements, own);
        bump(&self.padded_elements, padded);
    }

    pub(super) fn outcomes(&self) -> OutcomeCounts {
        self.outcomes.load()
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

    pub(super) fn deadlines(&self) -> DeadlineCounts {
        DeadlineCounts {
            met: self.met.load(Ordering::Relaxed),
            late: self.late.load(Ordering::Relaxed),
            missed: self.missed.load(Ordering::Relaxed),
        }
    }

    pub(super) fn attainment(&self) -> Option<Attainment> {
        self.owed.map(|owed| Attainment {
            owed: owed.share,
            within: self.within.load(Ordering::Relaxed),
            beyond: self.beyond.load(Ordering::Relaxed),
        })
    }

    pub(super) fn batch_sizes(&self) -> Distribution {
        Distribution {
            counts: self.batch_sizes.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            sum: self.batched.load(Ordering::Relaxed),
        }
    }

    /// Every part of requests' ways, and all of them last.
    pub(super) fn stages(&self) -> Vec<StageStatus> {
        let stages = STAGES.iter().zip(&self.stages);
        stages
            .map(|(stage, timing)| {
                let (latency_us, distribution) = timing.report();
                StageStatus { stage: (*stage).to_owned(), latency_us, distribution }
            })
            .collect()
    }

    /// What each tenant had, by the `names` of their places; those without a place are `(others)`.
    pub(super) fn tenants(&self, names: &[String]) -> Vec<TenantUse> {
        let counters = self.tenants.iter().enumerate();
        counters
            .map(|(place, counters)| TenantUse {
                tenant: names.get(place).cloned().unwrap_or_else(|| "(others)".to_owned()),
                outcomes: counters.outcomes.load(),
                sm_ns: counters.sm_ns.load(Ordering::Relaxed),
            })
            .filter(|it| it.outcomes != OutcomeCounts::default())
            .collect()
    }

    /// Elements that requests brought, and those that were computed beside them.
    pub(super) fn elements(&self) -> (u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&self.own_elements), load(&self.padded_elements))
    }

    /// Padding for each element of its own that a request brought.
    pub(super) fn padding_share(&self) -> f64 {
        let (own, padded) = self.elements();
        share(padded, own)
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

/// Figures of one lane.
#[derive(Debug)]
pub(super) struct LaneCounters {
    /// SMs that a batch on it holds.
    sms: u32,
    batches: AtomicU64,
    held: AtomicU32,
    busy_ns: AtomicU64,
}

impl LaneCounters {
    fn new(sms: u32) -> Self {
        let zero = || AtomicU64::new(0);
        Self { sms, batches: zero(), held: AtomicU32::new(0), busy_ns: zero() }
    }

    /// A batch begins on it.
    pub(super) fn began(&self) {
        bump(&self.batches, 1);
        self.held.store(self.sms, Ordering::Relaxed);
    }

    /// Its batch has held it for a span.
    pub(super) fn ended(&self, held: Duration) {
        self.held.store(0, Ordering::Relaxed);
        bump(&self.busy_ns, nanos(held));
    }

    /// What a batch of `elements` that has held it for a span owes for its part of `own`, in SM
    /// nanoseconds.
    pub(super) fn owes(&self, held: Duration, own: u64, elements: u64) -> u64 {
        let whole = u128::from(nanos(held)) * u128::from(self.sms);
        let part = whole * u128::from(elements) / u128::from(own.max(1));
        u64::try_from(part).unwrap_or(u64::MAX)
    }

    pub(super) fn batch_count(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    pub(super) fn held_sms(&self) -> u32 {
        self.held.load(Ordering::Relaxed)
    }

    pub(super) fn busy_ns(&self) -> u64 {
        self.busy_ns.load(Ordering::Relaxed)
    }
}

/// Figures of a worker.
#[derive(Debug)]
pub(super) struct Counters {
    /// By `FunctionId`.
    pub(super) functions: Box<[FunctionCounters]>,
    /// By `LaneId`.
    pub(super) lanes: Box<[LaneCounters]>,
}

impl Counters {
    /// For functions that owe this, and lanes of these SMs.
    pub(super) fn new(
        functions: impl Iterator<Item = Option<Owed>>,
        lanes: impl Iterator<Item = u32>,
    ) -> Self {
        Self {
            functions: functions.map(FunctionCounters::new).collect(),
            lanes: lanes.map(LaneCounters::new).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpumux_wire::outcome::Refusal;

    fn ended(outcome: Outcome, millis: u64, budget: Option<u64>) -> Ended {
        Ended {
            outcome,
            tenant: 0,
            latency: Duration::from_millis(millis),
            budget: budget.map(Duration::from_millis),
            way: None,
            sm_ns: 0,
        }
    }

    #[test]
    fn budgets_and_objectives_count_what_ran_and_what_came_too_late_for_that() {
        let owed = Owed { share: 0.5, bound: Duration::from_millis(10) };
        let counters = FunctionCounters::new(Some(owed));
        let refused = Outcome::Refused(Refusal::because(Reason::QueueFull));
        for request in [
            ended(Outcome::Done, 5, Some(5)),
            ended(Outcome::Done, 6, Some(5)),
            ended(Outcome::Done, 10, None),
            ended(Outcome::DeadlineMissed, 7, Some(7)),
            ended(Outcome::Cancelled, 1, Some(9)),
            ended(refused, 0, Some(9)),
        ] {
            counters.ended(&request);
        }
        assert_eq!(counters.deadlines(), DeadlineCounts { met: 1, late: 1, missed: 1 });
        let attainment = counters.attainment().expect("it owes something");
        assert_eq!((attainment.within, attainment.beyond), (2, 2));
        assert_eq!(attainment.is_met(), Some(true));
    }

    #[test]
    fn tenants_without_a_place_are_counted_together() {
        let counters = FunctionCounters::new(None);
        for tenant in [0, TENANTS_MAX, TENANTS_MAX + 7] {
            counters.ended(&Ended { tenant, ..ended(Outcome::Done, 1, None) });
        }
        let names = ["first".to_owned()];
        let of = |tenant: &str| {
            let uses = counters.tenants(&names);
            uses.iter().find(|it| it.tenant == tenant).map(|it| it.outcomes.done)
        };
        assert_eq!((of("first"), of("(others)")), (Some(1), Some(2)));
    }

    #[test]
    fn a_batch_owes_its_lane_by_length() {
        let lane = LaneCounters::new(16);
        let held = Duration::from_nanos(10);
        assert_eq!(lane.owes(held, 8, 2) + lane.owes(held, 8, 6), 160);
        assert_eq!(lane.owes(held, 0, 0), 0);
    }
}
