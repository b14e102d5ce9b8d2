//! What the scheduler knows of a function.

use std::time::Duration;

/// Which requests of a bucket may share a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Any: the plan runs packed, or padded under a declared mask.
    AnyLength,
    /// Those of one length.
    EqualLength,
}

/// Who goes first where not all can, under policies that ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// After the others.
    Low,
    /// Like most.
    #[default]
    Normal,
    /// Before the others.
    High,
}

impl Priority {
    /// All, the first first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];
}

/// A function's service, fixed while the scheduler lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSpec {
    /// The longest length of each bucket, ascending. Every admissible length is at most the last.
    pub buckets: Vec<u32>,
    /// Most requests in a batch: at least 1.
    pub max_batch: u32,
    /// How long the oldest request of a bucket waits for company while every lane is busy.
    pub max_wait: Duration,
    /// Most requests that wait.
    pub queue: u32,
    /// Which requests may share a batch.
    pub sharing: Sharing,
    /// Who goes first.
    pub priority: Priority,
}

/// What the scheduler counts of a function.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FunctionState {
    /// Requests that wait, in buckets and in closed batches.
    pub(crate) queued: u32,
    /// Moving mean of a batch's time on the device, in nanoseconds; 0 before the first.
    pub(crate) batch_nanos: u64,
    /// Its batches that wait for their trial, or are on it. Nothing else of it runs until then.
    pub(crate) trials: u32,
}

impl FunctionState {
    /// Takes one batch's time into the mean: a quarter new, three quarters old.
    pub(crate) fn learn(&mut self, ran: Duration) {
        let nanos = u64::try_from(ran.as_nanos()).unwrap_or(u64::MAX / 4);
        self.batch_nanos = match self.batch_nanos {
            0 => nanos,
            mean => mean / 4 * 3 + nanos / 4,
        };
    }

    /// When a full queue may have room: the time of the batches that stand in it.
    pub(crate) fn retry_after(&self, max_batch: u32) -> Duration {
        let batches = u64::from(self.queued.div_ceil(max_batch));
        Duration::from_nanos(self.batch_nanos.saturating_mul(batches))
    }
}
