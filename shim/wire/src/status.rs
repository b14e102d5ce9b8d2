//! What the admin socket tells an operator: the document behind `gpumux status --json`.
//!
//! Fields are only ever added. Times are in microseconds and named so, counters run since the
//! daemon's start unless the field says otherwise.

use crate::signature::Signature;
use serde::{Deserialize, Serialize};

/// The whole document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Since its start, in seconds.
    pub uptime_s: u64,
    /// Whether it is stopping.
    pub draining: bool,
    /// One for each device that it serves.
    pub devices: Vec<DeviceStatus>,
    /// One for each function.
    pub functions: Vec<FunctionStatus>,
    /// One for each connected peer.
    pub sessions: Vec<SessionStatus>,
}

/// A device and the worker that owns it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// The driver's name for it.
    pub name: String,
    /// Which of the driver's devices it is, from 0.
    pub ordinal: u32,
    /// Whether it is emulated on the CPU.
    pub emulated: bool,
    /// Streaming multiprocessors; 0 while its worker starts.
    pub sms: u32,
    /// Bytes of memory that the worker reserved.
    pub memory_bytes: u64,
    /// `starting`, `ready`, `draining`, `silent` when its worker does not answer, or `lost` when its
    /// worker cannot be ended: then nothing is served on it.
    pub state: String,
    /// The worker's process, while it lives.
    pub worker_pid: Option<u32>,
    /// Workers that died.
    pub worker_restarts: u32,
    /// Its lanes.
    pub lanes: Vec<LaneStatus>,
    /// The scheduling policy.
    pub policy: String,
    /// How the device can be divided, and what the probe at the daemon's start saw of it.
    pub partitions: String,
}

/// A lane of a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaneStatus {
    /// SMs it may use.
    pub sms: u32,
    /// Which they are, as measured: `all`, or ranges as in `0-7`.
    pub granted: String,
    /// Batches that it ran since its worker's start.
    pub batches: u64,
}

/// A function. Counters run since its worker's start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FunctionStatus {
    /// Its name.
    pub name: String,
    /// Its model, as `function.toml` names it.
    pub model: String,
    /// The latency that it is owed, as `function.toml` says it.
    pub objective: Option<String>,
    /// What it takes and gives; absent until its worker has loaded it.
    pub signature: Option<Signature>,
    /// Open channels.
    pub channels: u32,
    /// Requests that wait.
    pub queued: u32,
    /// Requests read from slots.
    pub arrived: u64,
    /// Requests by how they ended.
    pub outcomes: OutcomeCounts,
    /// Refusals by reason.
    pub refusals: Vec<RefusalCount>,
    /// Batches that ran.
    pub batches: u64,
    /// Elements of padding for each element of its own that a request brought; 0 without padding.
    pub padding_share: f64,
    /// From being read to the completion, of requests that were done.
    pub latency_us: Quantiles,
    /// Why it is served no more until it is cleared; absent when it is served.
    pub quarantined: Option<String>,
    /// The device that serves it.
    pub device: u32,
}

/// Requests by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeCounts {
    /// With a result.
    pub done: u64,
    /// With a refusal.
    pub refused: u64,
    /// Past their budget.
    pub deadline_missed: u64,
    /// By the peer.
    pub cancelled: u64,
}

/// Refusals for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalCount {
    /// The reason's label.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// A latency distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half are below.
    pub p50: u64,
    /// 99 of 100 are below.
    pub p99: u64,
    /// The largest.
    pub max: u64,
}

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// A number that is not used again.
    pub id: u64,
    /// The peer's process, as the kernel says; 0 when it is in another namespace.
    pub pid: i32,
    /// The peer's user.
    pub uid: u32,
    /// Functions that it has open.
    pub functions: Vec<String>,
    /// Bytes of its channels.
    pub mapped_bytes: u64,
}
