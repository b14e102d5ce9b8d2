//! What the process may still do once it reads a stranger's file: compute, in bounded memory and
//! time, and write the files that are already open.
//!
//! A parser that is led astray can then neither read another file, nor reach a network, nor start
//! anything. What it is not allowed fails with an error and does not kill it, so that a library that
//! merely looks around (for the number of cores, say) goes on without.

use std::collections::BTreeMap;

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
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
    libc::SYS_write,
];

/// Confines this process for good.
pub(crate) fn confine(limits: Limits) -> Result<(), ConfineError> {
    let hold = |resource, to| {
        setrlimit(resource, to, to).map_err(|errno| ConfineError::Limit(resource, errno))
    };
    hold(Resource::RLIMIT_AS, limits.memory_bytes)?;
    // The first signal is this process's to answer, in words; the second is nobody's.
    let (soft, hard) = (limits.cpu_seconds, limits.cpu_seconds.saturating_add(1));
    setrlimit(Resource::RLIMIT_CPU, soft, hard)
        .map_err(|errno| ConfineError::Limit(Resource::RLIMIT_CPU, errno))?;
    // What it writes is about what it read; no core file shows a tenant's weights to anybody.
    hold(Resource::RLIMIT_FSIZE, limits.memory_bytes)?;
    hold(Resource::RLIMIT_CORE, 0)?;
    // What is open stays open, and nothing else can be.
    hold(Resource::RLIMIT_NOFILE, 0)?;
    let filter = filter().map_err(ConfineError::Filter)?;
    // It sets no-new-privileges first, and binds every thread that there is.
    seccompiler::apply_filter_all_threads(&filter)
        .map_err(|error| ConfineError::Filter(error.to_string()))
}

fn filter() -> Result<BpfProgram, String> {
    let mut rules: BTreeMap<i64, _> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    // A process that gives up signals itself; nobody else is its to signal.
    let itself = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::Eq,
        u64::from(std::process::id()),
    );
    let itself = itself.and_then(|itself| SeccompRule::new(vec![itself]));
    rules.insert(libc::SYS_tgkill, vec![itself.map_err(|error| error.to_string())?]);
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
    use std::sync::mpsc::channel;
    use std::thread;

    use nix::unistd::gettid;

    use super::*;

    #[test]
    fn a_filtered_thread_computes_and_can_neither_open_nor_connect_nor_start_anything() {
        let (tell, told) = channel();
        let (done, awaited) = channel::<()>();
        // A filter is its thread's alone, so the other tests go on as they were.
        let confined = thread::spawn(move || {
            seccompiler::apply_filter(&filter().unwrap()).unwrap();
            tell.send(gettid()).unwrap();
            awaited.recv().unwrap();
            let grown: Vec<u64> = (0..1_000_000).collect();
            let denied = |error: std::io::Error| error.raw_os_error() == Some(libc::EPERM);
            (
                grown.len() == 1_000_000,
                File::open("/proc/self/status").is_err_and(denied),
                UdpSocket::bind("127.0.0.1:0").is_err_and(denied),
                Command::new("/bin/true").status().is_err(),
            )
        });
        let status = format!("/proc/self/task/{}/status", told.recv().unwrap());
        let status = std::fs::read_to_string(status).unwrap();
        for line in ["NoNewPrivs:\t1", "Seccomp:\t2"] {
            assert!(status.contains(line), "{line}: {status}");
        }
        done.send(()).unwrap();
        assert_eq!(confined.join().unwrap(), (true, true, true, true));
    }

    /// Set where this test is run again, as the process that is confined.
    const CHILD: &str = "GPUMUX_TEST_CONFINED";

    #[test]
    fn a_confined_process_can_do_nothing_but_compute_and_write() {
        if std::env::var_os(CHILD).is_some() {
            confine(Limits { memory_bytes: 256 << 20, cpu_seconds: 60 }).unwrap();
            let parent = nix::unistd::Pid::from_raw(std::env::var(CHILD).unwrap().parse().unwrap());
            let mut escapes = Vec::new();
            let mut attempt = |what: &'static str, done: bool| {
                if done {
                    escapes.push(what);
                }
            };
            attempt("a file", File::open("/etc/passwd").is_ok());
            attempt(
                "a new file",
                File::create(std::env::temp_dir().join("gpumux-escaped")).is_ok(),
            );
            attempt("a datagram socket", UdpSocket::bind("127.0.0.1:0").is_ok());
            attempt("a stream socket", std::net::TcpListener::bind("127.0.0.1:0").is_ok());
            attempt("a local socket", std::os::unix::net::UnixDatagram::unbound().is_ok());
            attempt("a process", Command::new("/bin/true").status().is_ok());
            attempt("a thread", thread::Builder::new().spawn(|| ()).is_ok());
            attempt("a signal", nix::sys::signal::kill(parent, None).is_ok());
            attempt("more memory", Vec::<u8>::new().try_reserve(512 << 20).is_ok());
            attempt("a higher limit", setrlimit(Resource::RLIMIT_AS, 1 << 40, 1 << 40).is_ok());
            println!("escapes: {escapes:?};");
            return;
        }
        let this = std::env::current_exe().unwrap();
        let test = "confine::tests::a_confined_process_can_do_nothing_but_compute_and_write";
        let output = Command::new(this)
            .args(["--exact", test, "--nocapture"])
            .env(CHILD, std::process::id().to_string())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("escapes: [];"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    }
}
