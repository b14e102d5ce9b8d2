//! What the process may still do once it reads a stranger's file: compute, in bounded memory and
//! time, and write the files that are already open.
//!
//! A parser that is led astray can then neither read another file, nor reach a network, nor start
//! anything. What it is not allowed fails with an error and does not kill it, so that a library that
//! merely looks around (for the number of cores, say) goes on without.

use std::collections::BTreeMap;

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use thiserror::Error;

/// How much an import may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of address space.
    pub(crate) memory_bytes: u64,
    /// Seconds of processor time.
    pub(crate) cpu_seconds: u64,
}

/// Why a process could not be confined; it must not read anything then.
#[derive(Debug, Error)]
pub(crate) enum ConfineError {
    /// The system refused a limit.
    #[error("could not limit {0:?}: {1}")]
    Limit(Resource, Errno),
    /// The filter of system calls could not be made or installed.
    #[error("could not filter system calls: {0}")]
    Filter(String),
}

/// The calls that memory, threads' locks, open files and an orderly end need.
const ALLOWED: &[libc::c_long] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_read,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_write,
];

/// Confines this process for good.
pub(crate) fn confine(limits: Limits) -> Result<(), ConfineError> {
    let hold = |resource, to| {
        setrlimit(resource, to, to).map_err(|errno| ConfineError::Limit(resource, errno))
    };
    hold(Resource::RLIMIT_AS, limits.memory_bytes)?;
    hold(Resource::RLIMIT_CPU, limits.cpu_seconds)?;
    // What it writes is about what it read; no core file shows a tenant's weights to anybody.
    hold(Resource::RLIMIT_FSIZE, limits.memory_bytes)?;
    hold(Resource::RLIMIT_CORE, 0)?;
    let filter = filter().map_err(ConfineError::Filter)?;
    seccompiler::apply_filter(&filter).map_err(|error| ConfineError::Filter(error.to_string()))
}

fn filter() -> Result<BpfProgram, String> {
    let rules: BTreeMap<i64, _> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    let target = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let refuse = SeccompAction::Errno(Errno::EPERM as u32);
    let filter = SeccompFilter::new(rules, refuse, SeccompAction::Allow, target);
    let program: Result<BpfProgram, _> = filter.map_err(|error| error.to_string())?.try_into();
    program.map_err(|error: seccompiler::BackendError| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::UdpSocket;
    use std::process::Command;
    use std::thread;

    use super::*;

    #[test]
    fn a_filtered_thread_computes_and_can_neither_open_nor_connect_nor_start_anything() {
        // A filter is its thread's alone, so the other tests go on as they were.
        let confined = thread::spawn(|| {
            seccompiler::apply_filter(&filter().unwrap()).unwrap();
            let grown: Vec<u64> = (0..1_000_000).collect();
            let denied = |error: std::io::Error| error.raw_os_error() == Some(libc::EPERM);
            (
                grown.len() == 1_000_000,
                File::open("/proc/self/status").is_err_and(denied),
                UdpSocket::bind("127.0.0.1:0").is_err_and(denied),
                Command::new("/bin/true").status().is_err(),
            )
        });
        assert_eq!(confined.join().unwrap(), (true, true, true, true));
    }
}
