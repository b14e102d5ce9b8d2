//! Strict priority of functions, as one of Sequoia's policies has it (Tariq et al., SoCC '20): whatever
//! waits of a higher priority goes before all of a lower one. Sequoia has a list of functions, and what is
//! not on it never runs; here each function has one of three priorities, and within one of them the oldest
//! request goes first.
//!
//! While every lane is busy nothing is closed, so that what comes meanwhile joins its batch, and a function
//! of a higher priority the next lane. Nothing bounds how long a lower priority waits.

use super::{Decision, Policy};
use crate::scheduler::View;
use crate::time::MonoTime;

/// See the file's head.
#[derive(Clone, Copy, Debug)]
pub struct SequoiaPriority;

impl Policy for SequoiaPriority {
    fn name(&self) -> &'static str {
        "sequoia-priority"
    }

    fn plan(&mut self, _now: MonoTime, view: &View<'_>) -> Decision {
        // What is closed was closed for a lane that was free then, and is still.
        match (view.free_lane(), view.oldest_closed(), view.foremost_bucket()) {
            (Some(lane), Some(batch), _) => Decision::Start(batch, lane),
            (Some(_), None, Some(bucket)) => Decision::Close(bucket),
            (Some(_), None, None) | (None, ..) => Decision::Wait(MonoTime::NEVER),
        }
    }
}
