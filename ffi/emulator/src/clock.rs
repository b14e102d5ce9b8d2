//! The one door to time: events' timestamps and the slices that virtual SMs take in turn.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A moment on the process's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Duration);

impl Moment {
    /// Time from `earlier` to here, negative when `earlier` is later.
    pub(crate) fn millis_since(self, earlier: Moment) -> f32 {
        let span = self.0.as_secs_f64() - earlier.0.as_secs_f64();
        narrowed(span * 1e3)
    }

    /// Time from `earlier` to here, zero when `earlier` is later.
    pub(crate) fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The driver's interface counts milliseconds in `float`.
#[expect(clippy::cast_possible_truncation, reason = "the ABI's type is float; precision may go")]
fn narrowed(millis: f64) -> f32 {
    millis as f32
}

/// The current moment.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn now() -> Moment {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = *START.get_or_init(Instant::now);
    Moment(start.elapsed())
}
