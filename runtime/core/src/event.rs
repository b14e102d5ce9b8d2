//! What happens to the scheduler, and what it wants done.

use crate::id::{BatchId, FunctionId, LaneId, RequestId};
use crate::time::MonoTime;
use std::time::Duration;

/// Everything that can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A checked request was read from its slot.
    Arrived(Arrival),
    /// The peer does not want it any more, or is gone.
    Cancelled {
        /// The request; one that has ended already is ignored.
        request: RequestId,
    },
    /// The batch was gathered and bound to its lane.
    Begun {
        /// The batch that `Action::Begin` named.
        batch: BatchId,
        /// Its segments. A plan without launches has none.
        segments: u32,
    },
    /// The oldest outstanding segment of a batch retired.
    SegmentRetired {
        /// The batch.
        batch: BatchId,
    },
    /// The batch cannot go on: it could not be bound, or the device refused a launch.
    Failed {
        /// The batch; nothing of it is on the device any more.
        batch: BatchId,
    },
    /// Time passed: the moment of a `WakeAt` came.
    Tick,
    /// Nothing new is admitted from now on; what was admitted is finished.
    Drain,
    /// All that a worker had admitted when it died was given again: from now on batches may begin.
    Recovered,
    /// No further batch begins; those that run are finished.
    Halt,
}

/// A request that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// A number that names no open request.
    pub request: RequestId,
    /// The function asked for.
    pub function: FunctionId,
    /// Its size along the model's variable dimension.
    pub length: u32,
    /// When it was read first: now, or by a worker that died.
    pub arrived: MonoTime,
    /// How long after that its batch may begin.
    pub budget: Option<Duration>,
    /// What is known of it.
    pub past: Past,
}

/// What is known of a request that arrives. What a worker had admitted when it died is given to the
/// next worker's scheduler before anything new: suspects first, trial by trial, then the others, then
/// [`Event::Recovered`]; until that no batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// Nothing: it is new.
    New,
    /// It was admitted by a worker that died, and did not run then.
    Innocent,
    /// It ran when a worker died. It runs again with those of the same trial, which are given one
    /// after the other, and with nothing else on the device.
    Suspect {
        /// The trial.
        trial: u32,
    },
}

/// What the owner must do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Gather the batch's inputs and bind its plan, then say `Begun`, or `Failed`.
    Begin {
        /// The batch; its members are `Scheduler::members`.
        batch: BatchId,
        /// Where it will run.
        lane: LaneId,
    },
    /// Put one segment on the lane.
    Issue {
        /// The batch.
        batch: BatchId,
        /// Its lane.
        lane: LaneId,
        /// Which segment, from 0.
        segment: u32,
    },
    /// Tell the peer how its request ended. It is said once for each request that arrived.
    Complete {
        /// The request; its number is free again.
        request: RequestId,
        /// How it ended.
        ending: Ending,
    },
    /// The batch is over and every member completed: its memory and its number are free again.
    Release {
        /// The batch.
        batch: BatchId,
    },
    /// Say `Tick` at this moment. Replaces what was asked before.
    WakeAt(MonoTime),
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It ran to its end.
    Done {
        /// From arrival until its batch began.
        queued: Duration,
        /// From there until the batch's last segment retired.
        ran: Duration,
        /// Requests in its batch.
        batch: u32,
    },
    /// The function's queue was full.
    QueueFull {
        /// When it may have room, by the rate of the last batches; zero says nothing.
        retry_after: Duration,
    },
    /// Nothing new is admitted any more.
    Draining,
    /// Its budget passed before its batch began.
    DeadlineMissed,
    /// The peer cancelled it.
    Cancelled,
    /// The device could not run its batch.
    DeviceFailed,
}
