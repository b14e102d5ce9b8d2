//! The one door to time of this crate. Only programs that run for a while, or measure, use it.

use std::time::{Duration, Instant};

/// A clock that starts at zero.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// Starts one.
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the OS clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Since the start.
    pub fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
