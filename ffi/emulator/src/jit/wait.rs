//! What a thread can wait for: the vocabulary between compiled code and the executor.

/// Why a thread went back to the executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// It did not.
    Nothing,
    /// Others may run; it goes on when they have.
    Turn,
    /// A barrier of the block.
    Barrier(BarrierWait),
    /// Other lanes of its warp.
    Warp(WarpWait),
    /// The lanes that stand at the same `activemask`.
    Active {
        /// Which `activemask` of the module.
        site: u32,
    },
}

/// What a thread does at a barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum BarrierOp {
    /// Wait.
    Sync,
    /// Count as arrived and go on.
    Arrive,
    /// Wait; the answer is how many predicates were true.
    CountTrue,
    /// Wait; the answer is whether all predicates were true.
    AllTrue,
    /// Wait; the answer is whether any predicate was true.
    AnyTrue,
}

impl BarrierOp {
    /// Whether threads bring a predicate.
    pub(super) fn reduces(self) -> bool {
        matches!(self, Self::CountTrue | Self::AllTrue | Self::AnyTrue)
    }
}

/// A thread at a barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BarrierWait {
    /// What it does there.
    pub(super) op: BarrierOp,
    /// Which barrier.
    pub(super) id: u32,
    /// Threads that must arrive; 0 means all of the block.
    pub(super) expected: u32,
    /// The thread's predicate.
    pub(super) predicate: bool,
}

/// What lanes of a warp do together; the names are PTX's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum WarpOp {
    Sync,
    ShuffleUp,
    ShuffleDown,
    ShuffleButterfly,
    ShuffleIndex,
    VoteAll,
    VoteAny,
    VoteUniform,
    VoteBallot,
    MatchAny,
    MatchAll,
    ReduceAdd,
    ReduceMinUnsigned,
    ReduceMaxUnsigned,
    ReduceMinSigned,
    ReduceMaxSigned,
    ReduceAnd,
    ReduceOr,
    ReduceXor,
}

impl WarpOp {
    /// Whether lanes read each other's values.
    pub(super) fn shuffles(self) -> bool {
        matches!(
            self,
            Self::ShuffleUp | Self::ShuffleDown | Self::ShuffleButterfly | Self::ShuffleIndex
        )
    }
}

/// A lane that meets others of its warp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WarpWait {
    /// What they do.
    pub(super) op: WarpOp,
    /// The lanes that meet.
    pub(super) members: u32,
    /// The lane's value.
    pub(super) value: u64,
    /// A shuffle's lane or distance.
    pub(super) select: u32,
    /// A shuffle's clamp and segment mask.
    pub(super) clamp: u32,
}

/// An operand of a wait: known from the text, or brought by each thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The same for every thread, always.
    Known(u32),
    /// Each thread brings its own.
    Brought,
}

impl Word {
    /// Its value, where a thread has brought `brought`.
    pub(super) fn or(self, brought: u32) -> u32 {
        match self {
            Word::Known(known) => known,
            Word::Brought => brought,
        }
    }
}

/// A place of the text where threads wait, as far as it is known before they get there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Site {
    /// Others may run.
    Turn,
    /// `activemask`, and which of the kernel.
    Active {
        /// Its number.
        site: u32,
    },
    /// A barrier of the block.
    Barrier {
        /// What is done there.
        op: BarrierOp,
        /// Which barrier.
        id: Word,
        /// Threads that must arrive; 0 means all of the block.
        expected: Word,
    },
    /// Lanes of the warp.
    Warp {
        /// What they do.
        op: WarpOp,
        /// The lanes that meet.
        members: Word,
        /// A shuffle's lane or distance.
        select: Word,
        /// A shuffle's clamp and segment mask.
        clamp: Word,
    },
}
