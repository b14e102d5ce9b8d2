//! The one door to time of this crate: everything else takes spans.

use nix::time::{ClockId, clock_gettime};
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

/// The time since the machine started, which all of its processes read alike, so that those of one
/// measurement begin together.
///
/// # Errors
/// What the kernel says.
pub(crate) fn since_boot() -> std::io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into())
}
