//! Policies: which bucket closes and which batch starts. One file each, registered in [`by_name`].
//!
//! A policy is asked after every event, again and again until it waits; each answer is one decision,
//! made from a [`View`] in bounded time without allocation.

mod fifo;
mod sequoia_priority;

use crate::id::{BatchId, BucketId, LaneId};
use crate::scheduler::View;
use crate::time::MonoTime;
pub use fifo::Fifo;
pub use sequoia_priority::SequoiaPriority;

/// One step of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Make a batch of the bucket's oldest requests.
    Close(BucketId),
    /// Give a closed batch a free lane.
    Start(BatchId, LaneId),
    /// Nothing to do before this moment, unless something happens.
    Wait(MonoTime),
}

/// Decides what runs next.
pub trait Policy: std::fmt::Debug + Send {
    /// Its name in the configuration.
    fn name(&self) -> &'static str;
    /// Its next step.
    fn plan(&mut self, now: MonoTime, view: &View<'_>) -> Decision;
}

/// The names that [`by_name`] knows.
pub const NAMES: [&str; 2] = ["fifo", "sequoia-priority"];

/// The policy of that name.
pub fn by_name(name: &str) -> Option<Box<dyn Policy>> {
    match name {
        "fifo" => Some(Box::new(Fifo)),
        "sequoia-priority" => Some(Box::new(SequoiaPriority)),
        _ => None,
    }
}
