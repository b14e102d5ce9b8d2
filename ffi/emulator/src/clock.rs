//! The one door to time: events' timestamps and the slices that virtual SMs take in turn.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A moment on the process's monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
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

    /// The moment `span` later.
    pub(crate) fn plus(self, span: Duration) -> Moment {
        Moment(self.0.saturating_add(span))
    }

    /// The moment `span` earlier, not before the first.
    pub(crate) fn minus(self, span: Duration) -> Moment {
        Moment(self.0.saturating_sub(span))
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

/// How long the calling thread has had a processor.
pub(crate) fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills the record that it is given, and every Linux has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}
