//! Moments. The core never asks for one: `now` is an argument.

use std::time::Duration;

/// A moment on the owner's monotonic clock, in nanoseconds; meaningless outside this boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonoTime(u64);

impl MonoTime {
    /// The clock's origin.
    pub const ZERO: Self = Self(0);
    /// Later than any moment that comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// A moment `nanos` after the clock's origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds after the clock's origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment `span` later; [`MonoTime::NEVER`] when that is out of reach.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The span since `earlier`; none when `earlier` is in fact later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}
