//! What an idle daemon costs: sessions that are open and ask nothing.

use super::figures::Figures;
use crate::clock::Clock;
use crate::failure::Failure;
use crate::node::Node;
use gpumux_shim::{ChannelSize, Function, Session};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use serde::Serialize;
use std::time::Duration;

/// Sessions that are open.
pub(super) const SESSIONS: usize = 100;
/// How long they ask nothing.
const IDLE: Duration = Duration::from_secs(10);
/// The most of a core that the daemon may use meanwhile.
const CORE_SHARE_MAX: f64 = 0.01;

/// What the daemon used.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Idle {
    sessions: usize,
    /// Processor time of the supervisor and of all workers.
    used_ns: u64,
    elapsed_ns: u64,
    /// Of one core.
    core_share: f64,
    kept: bool,
}

impl Idle {
    /// Opens a function in each of many sessions and lets them be.
    ///
    /// # Errors
    /// [`Failure`]: the daemon refuses, or is gone.
    pub(super) async fn measure(node: &Node, function: &str) -> Result<Self, Failure> {
        let size = ChannelSize { slots: 4, arena_bytes: 1 << 16 };
        let mut sessions: Vec<(Session, Function)> = Vec::with_capacity(SESSIONS);
        for _ in 0..SESSIONS {
            let session = Session::connect(node.socket())?;
            let function = session.open(function, size)?;
            sessions.push((session, function));
        }
        let processes = node.processes()?;
        let clock = Clock::start();
        let before = used(&processes)?;
        tokio::time::sleep(IDLE).await;
        let (after, elapsed) = (used(&processes)?, clock.now());
        drop(sessions);
        let used = after.saturating_sub(before);
        let core_share = used.as_secs_f64() / elapsed.as_secs_f64();
        Ok(Self {
            sessions: SESSIONS,
            used_ns: Figures::nanos(used),
            elapsed_ns: Figures::nanos(elapsed),
            core_share,
            kept: core_share <= CORE_SHARE_MAX,
        })
    }
}

/// Processor time of processes since they were started.
fn used(processes: &[Pid]) -> Result<Duration, Failure> {
    let mut sum = Duration::ZERO;
    for process in processes {
        let clock: ClockId = clock_getcpuclockid(*process)?;
        sum += Duration::from(clock_gettime(clock)?);
    }
    Ok(sum)
}

impl std::fmt::Display for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sessions, core_share, kept, .. } = self;
        let (share, most) = (core_share * 100.0, CORE_SHARE_MAX * 100.0);
        let kept = if *kept { "kept" } else { "MISSED" };
        write!(f, "{sessions} idle sessions: {share:.2} % of a core, ≤ {most} %: {kept}")
    }
}
