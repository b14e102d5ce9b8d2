//! The one door to time of this crate: everything else takes spans.

use std::time::{Duration, Instant};

/// A clock that starts at zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the OS clock")]
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Since the start. Never smaller than an earlier answer.
    pub(crate) fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}
