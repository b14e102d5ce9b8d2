//! First come, first served, with dynamic batching.
//!
//! A bucket closes at once when a lane is free; while all lanes are busy it closes when it is full or
//! when its oldest request has waited `max_wait`. Closed batches start in the order of their closing.

use super::{Decision, Policy};
use crate::scheduler::View;
use crate::time::MonoTime;

/// See the file's head.
#[derive(Clone, Copy, Debug)]
pub struct Fifo;

impl Policy for Fifo {
    fn name(&self) -> &'static str {
        "fifo"
    }

    fn plan(&mut self, now: MonoTime, view: &View<'_>) -> Decision {
        if let Some(lane) = view.free_lane() {
            return match (view.oldest_closed(), view.oldest_bucket()) {
                (Some(batch), _) => Decision::Start(batch, lane),
                (None, Some(bucket)) => Decision::Close(bucket),
                (None, None) => Decision::Wait(MonoTime::NEVER),
            };
        }
        match view.full_bucket().or(view.due_bucket(now)) {
            Some(bucket) => Decision::Close(bucket),
            None => Decision::Wait(view.next_due()),
        }
    }
}
