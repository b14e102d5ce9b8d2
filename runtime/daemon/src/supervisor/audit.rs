//! A line for each connection, function and session that a peer was refused. Who causes them is not
//! trusted, so each tenant's lines are bounded, and what was left out is counted in the next one; what
//! a peer chose is in fields alone, which every format of the log quotes.

use super::identity::Identity;
use crate::clock::Clock;
use crate::pace::Pace;
use gpumux_core::MonoTime;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tracing::warn;

/// A line a second, ten at once.
const LINES: Pace = Pace { interval: Duration::from_secs(1), burst: Duration::from_secs(10) };
/// What stands for the tenant of those who have none.
const NOBODY: &str = "(none)";

/// What a peer did not get, or no longer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What<'a> {
    /// A session.
    Connection,
    /// The function of this name.
    Function(&'a str),
    /// The session that it had: it broke the protocol.
    Session,
}

/// A refusal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused<'a> {
    pub(super) what: What<'a>,
    /// The word for it in metrics.
    pub(super) reason: &'static str,
    /// What the peer is told.
    pub(super) why: &'a str,
}

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct Audit(Mutex<HashMap<String, Lines>>);

/// The lines of one tenant.
#[derive(Clone, Copy, Debug)]
struct Lines {
    remembered: MonoTime,
    left_out: u64,
    all_left_out: u64,
}

impl Lines {
    const NONE: Self = Self { remembered: MonoTime::ZERO, left_out: 0, all_left_out: 0 };

    /// Whether a line may be written now, and how many were left out before it.
    fn next(&mut self, now: MonoTime) -> Option<u64> {
        match LINES.take(self.remembered, now) {
            Ok(remembered) => {
                self.remembered = remembered;
                Some(std::mem::take(&mut self.left_out))
            }
            Err(_) => {
                self.left_out += 1;
                self.all_left_out += 1;
                None
            }
        }
    }
}

impl Audit {
    /// Notes that something was refused to a peer.
    pub(super) fn refused(&self, tenant: Option<&str>, peer: &Identity, refused: Refused<'_>) {
        let name = tenant.unwrap_or(NOBODY);
        let line = {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lines.entry(name.to_owned()).or_insert(Lines::NONE).next(Clock.now())
        };
        let Some(left_out) = line else { return };
        let (Identity { pid, uid, gid, cgroup }, Refused { what, reason, why }) = (peer, refused);
        let (what, function) = match what {
            What::Connection => ("connection", None),
            What::Function(function) => ("function", Some(function)),
            What::Session => ("session", None),
        };
        warn!(
            target: "gpumux::audit",
            tenant = name, pid, uid, gid, cgroup, what, function, reason, why, left_out,
            "refused"
        );
    }

    /// Lines of a tenant that were left out since the daemon's start.
    pub(super) fn left_out(&self, tenant: &str) -> u64 {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.get(tenant).map_or(0, |lines| lines.all_left_out)
    }

    /// What it holds for tenants that are no more is forgotten, so that reloads do not pile up.
    pub(super) fn keep(&self, is_there: impl Fn(&str) -> bool) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.retain(|name, _| name == NOBODY || is_there(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_counted_in_the_next_line() {
        let mut lines = Lines::NONE;
        let now = MonoTime::ZERO.after(Duration::from_secs(100));
        let written = (0..1000).filter(|_| lines.next(now).is_some()).count();
        assert_eq!(written, 10);
        assert_eq!(lines.next(now.after(Duration::from_secs(2))), Some(990));
        assert_eq!(lines.next(now.after(Duration::from_secs(2))), Some(0));
        assert_eq!(lines.all_left_out, 990);
    }
}
