//! What a daemon holds: descriptors and memory of its processes.

use crate::Daemon;
use nix::unistd::Pid;
use std::fmt;
use std::fs;

/// What one process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Open descriptors.
    pub descriptors: usize,
    /// KiB of memory of its own.
    pub own_kib: u64,
    /// KiB of shared memory that it has touched.
    pub shared_kib: u64,
}

/// What a daemon holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// The supervisor.
    pub supervisor: Held,
    /// The worker of each device.
    pub workers: Vec<Held>,
}

/// How much more than before is a return to it. Allocators keep what they once had: each of the
/// supervisor's answers and each of the worker's channels was allocated. Shared memory has no such
/// excuse but that of a page of another program's library.
const OWN_KIB_MARGIN: u64 = 24 << 10;
const SHARED_KIB_MARGIN: u64 = 512;

impl Held {
    /// What a process holds now.
    ///
    /// # Panics
    /// When it does not live.
    pub fn by(process: Pid) -> Self {
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).expect("it lives").count();
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it lives");
        let kib = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
            number.expect("the kernel tells it")
        };
        Self { descriptors, own_kib: kib("RssAnon:"), shared_kib: kib("RssShmem:") }
    }

    /// Whether this is what it held `before`, within the margins.
    fn is_back_at(&self, before: &Self) -> bool {
        self.descriptors == before.descriptors
            && self.own_kib <= before.own_kib + OWN_KIB_MARGIN
            && self.shared_kib <= before.shared_kib + SHARED_KIB_MARGIN
    }
}

impl Footprint {
    /// What a daemon holds now.
    pub fn of(daemon: &Daemon) -> Self {
        let workers = daemon.workers().into_iter().map(Held::by).collect();
        Self { supervisor: Held::by(daemon.pid()), workers }
    }

    /// Whether this is what it held `before`: as many descriptors, and no more memory than the
    /// margins allow.
    pub fn is_back_at(&self, before: &Self) -> bool {
        let mut workers = self.workers.iter().zip(&before.workers);
        self.workers.len() == before.workers.len()
            && self.supervisor.is_back_at(&before.supervisor)
            && workers.all(|(worker, before)| worker.is_back_at(before))
    }
}

impl fmt::Display for Held {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { descriptors, own_kib, shared_kib } = self;
        write!(out, "{descriptors} descriptors, {own_kib} KiB of its own, {shared_kib} KiB shared")
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "supervisor {}", self.supervisor)?;
        self.workers.iter().try_for_each(|worker| write!(out, "; worker {worker}"))
    }
}
