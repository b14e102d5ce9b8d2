//! Batches: requests that run together, from closing until their last segment retired.

use crate::id::{BatchId, FunctionId, LaneId};
use crate::list::List;
use crate::time::MonoTime;

/// Where a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The number names no batch.
    Free,
    /// Waits for a lane.
    Closed,
    /// Waits for its trial: for the whole device.
    Suspect,
    /// Is gathered and bound to a lane.
    Binding(LaneId),
    /// Its segments are issued, retired ≤ issued ≤ segments.
    Running {
        /// Its lane.
        lane: LaneId,
        /// How many there are.
        segments: u32,
        /// How many were put on the lane.
        issued: u32,
        /// How many of those are done.
        retired: u32,
    },
}

/// What can happen to a batch that has a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It was bound and has so many segments.
    Begun(u32),
    /// A segment retired.
    Retired,
    /// It cannot go on.
    Failed,
}

/// What follows for the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It is at this stage now; segments from `first` up to the stage's `issued` must be issued.
    Issue { lane: LaneId, first: u32, stage: Stage },
    /// Its last segment retired.
    Over(LaneId),
    /// It ends without result.
    Broken(LaneId),
}

impl Stage {
    /// Decides every pair of stage and progress. At most `run_ahead` segments are outstanding.
    ///
    /// # Panics
    /// On progress that the owner cannot have seen: a bug of ours.
    pub(crate) fn on(self, progress: Progress, run_ahead: u32) -> Next {
        match (self, progress) {
            (Self::Binding(lane), Progress::Begun(0)) => Next::Over(lane),
            (Self::Binding(lane), Progress::Begun(segments)) => {
                let issued = segments.min(run_ahead);
                let stage = Self::Running { lane, segments, issued, retired: 0 };
                Next::Issue { lane, first: 0, stage }
            }
            (Self::Running { lane, segments, issued, retired }, Progress::Retired) => {
                assert!(retired < issued, "retired a segment that was not issued");
                let retired = retired + 1;
                if retired == segments {
                    return Next::Over(lane);
                }
                let more = segments.min(retired + run_ahead);
                let stage = Self::Running { lane, segments, issued: more, retired };
                Next::Issue { lane, first: issued, stage }
            }
            (Self::Binding(lane) | Self::Running { lane, .. }, Progress::Failed) => {
                Next::Broken(lane)
            }
            (Self::Free | Self::Closed | Self::Suspect, _)
            | (Self::Binding(_), Progress::Retired)
            | (Self::Running { .. }, Progress::Begun(_)) => {
                unreachable!("{progress:?} of a batch at {self:?}")
            }
        }
    }
}

/// One batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    pub(crate) stage: Stage,
    pub(crate) function: FunctionId,
    /// Its requests, oldest first.
    pub(crate) members: List,
    /// When it got its lane.
    pub(crate) begun: MonoTime,
    /// It ran when a worker died, and runs alone now.
    pub(crate) on_trial: bool,
}

/// All batches, by number, and which numbers are free.
#[derive(Debug)]
pub(crate) struct Batches {
    table: Box<[Batch]>,
    free: Vec<BatchId>,
}

impl Batches {
    pub(crate) fn new(count: u32) -> Self {
        let none = Batch {
            stage: Stage::Free,
            function: FunctionId(0),
            members: List::EMPTY,
            begun: MonoTime::ZERO,
            on_trial: false,
        };
        Self {
            table: vec![none; count as usize].into_boxed_slice(),
            free: (0..count).rev().map(BatchId).collect(),
        }
    }

    /// Takes a free number for an empty, closed batch. There is always one, because every batch
    /// holds a request and there are as many numbers as requests.
    pub(crate) fn open(&mut self, function: FunctionId) -> BatchId {
        let batch = self.free.pop().expect("as many batches as requests");
        *self.get_mut(batch) = Batch {
            stage: Stage::Closed,
            function,
            members: List::EMPTY,
            begun: MonoTime::ZERO,
            on_trial: false,
        };
        batch
    }

    pub(crate) fn release(&mut self, batch: BatchId) {
        self.get_mut(batch).stage = Stage::Free;
        self.free.push(batch);
    }

    pub(crate) fn get(&self, batch: BatchId) -> &Batch {
        &self.table[batch.index()]
    }

    pub(crate) fn get_mut(&mut self, batch: BatchId) -> &mut Batch {
        &mut self.table[batch.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_run_ahead_segments_are_outstanding() {
        for (segments, run_ahead) in [(1, 2), (2, 2), (5, 2), (5, 1), (3, 9)] {
            let lane = LaneId(0);
            let mut next = Stage::Binding(lane).on(Progress::Begun(segments), run_ahead);
            let (mut issued_so_far, mut retired_so_far) = (0, 0);
            while let Next::Issue { first, stage, .. } = next {
                let Stage::Running { issued, retired, .. } = stage else { panic!("{stage:?}") };
                assert_eq!((first, retired), (issued_so_far, retired_so_far));
                issued_so_far = issued;
                assert!(issued - retired <= run_ahead && issued > retired);
                retired_so_far += 1;
                next = stage.on(Progress::Retired, run_ahead);
            }
            assert_eq!(next, Next::Over(lane));
            assert_eq!((issued_so_far, retired_so_far), (segments, segments));
        }
    }
}
