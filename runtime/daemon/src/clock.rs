//! The one door to time. Everything else takes `now` as an argument.

use gpumux_core::MonoTime;
use std::time::Instant;

/// The process's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the OS clock")]
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// The current moment. Never smaller than an earlier answer.
    pub(crate) fn now(&self) -> MonoTime {
        MonoTime::ZERO.after(self.origin.elapsed())
    }
}
