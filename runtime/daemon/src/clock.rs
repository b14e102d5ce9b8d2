//! The one door to time. Everything else takes `now` as an argument.

use gpumux_core::MonoTime;
use nix::time::{ClockId, clock_gettime};

/// The machine's monotonic clock, the same for all processes: a moment that one worker noted means
/// something to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock;

impl Clock {
    /// The current moment. Never smaller than an earlier answer.
    pub(crate) fn now(self) -> MonoTime {
        let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock");
        MonoTime::ZERO.after(time.into())
    }
}
