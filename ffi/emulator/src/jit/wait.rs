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
