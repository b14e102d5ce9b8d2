//! How many descriptors a process of the daemon may have open.

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What the most sessions, or the most channels, need, and what else there is.
const NEEDED: u64 = 2048;

/// Raises the limit to the highest that the system grants. The usual one is half of what a daemon
/// with all its peers needs, and what a peer opens must never be what ends the others.
///
/// # Errors
/// What the kernel says.
pub(crate) fn raise_limit() -> Result<(), Errno> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if hard < NEEDED {
        tracing::warn!(
            hard,
            "fewer descriptors than the most peers need ({NEEDED}): raise the unit's LimitNOFILE"
        );
    }
    if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) }
}
