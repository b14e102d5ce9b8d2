//! What happens in a simulation, one thing after the other, for whoever looks on.

use gpumux_core::{BatchId, Ending, Event, FunctionId, LaneId, MonoTime, RequestId};

/// One thing that the scheduler was told or asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// The scheduler is told this. What follows up to the next of these is its answer.
    Event(Event),
    /// A batch begins.
    Begin {
        /// The batch.
        batch: BatchId,
        /// Its lane.
        lane: LaneId,
        /// Its function, as the scheduler says.
        function: FunctionId,
        /// Its requests, as the scheduler says.
        members: &'a [RequestId],
    },
    /// A segment is put on the batch's lane.
    Issue {
        /// The batch.
        batch: BatchId,
        /// The lane.
        lane: LaneId,
        /// Which segment.
        segment: u32,
    },
    /// A request ends.
    Complete {
        /// The request.
        request: RequestId,
        /// How.
        ending: Ending,
    },
    /// A batch is over.
    Release {
        /// The batch.
        batch: BatchId,
    },
    /// The scheduler wants a tick at this moment.
    WakeAt(MonoTime),
    /// Nothing happens any more.
    End,
}

/// Looks on.
pub trait Watch {
    /// Something happens now.
    fn see(&mut self, now: MonoTime, seen: Seen<'_>);

    /// Whether it has seen enough: the simulation ends here.
    fn is_over(&self) -> bool {
        false
    }
}

/// Nobody.
impl Watch for () {
    fn see(&mut self, _: MonoTime, _: Seen<'_>) {}
}

/// Two.
impl<One: Watch, Other: Watch> Watch for (One, Other) {
    fn see(&mut self, now: MonoTime, seen: Seen<'_>) {
        self.0.see(now, seen);
        self.1.see(now, seen);
    }

    fn is_over(&self) -> bool {
        self.0.is_over() || self.1.is_over()
    }
}
