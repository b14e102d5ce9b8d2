//! Which cores this process may use, and keeping it on one.

use crate::failure::Failure;
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// This process, whatever its id.
const THIS: Pid = Pid::from_raw(0);

/// The cores that this process may use, lowest first.
///
/// # Errors
/// What the kernel says.
pub(crate) fn allowed() -> Result<Vec<usize>, Errno> {
    let set = sched_getaffinity(THIS)?;
    Ok((0..CpuSet::count()).filter(|core| set.is_set(*core) == Ok(true)).collect())
}

/// Keeps the calling thread, and those that it starts, on one core.
///
/// # Errors
/// [`Failure::Core`] when there is no such core for this process.
pub(crate) fn keep_on(core: usize) -> Result<(), Failure> {
    let mut set = CpuSet::new();
    let kept = set.set(core).and_then(|()| sched_setaffinity(THIS, &set));
    kept.map_err(|source| Failure::Core { core, source })
}
