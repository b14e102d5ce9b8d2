//! The one door to time: what a request's budget and a reconnection's patience are measured by.

use std::time::Instant;

/// The current moment on this process's monotonic clock.
#[expect(clippy::disallowed_methods, reason = "this is the file that reads the OS clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
