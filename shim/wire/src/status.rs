//! What the admin socket tells an operator: the document behind `gpumux status --json`.
//!
//! Fields are only ever added. Spans of time say their unit in their name, counters run since the
//! daemon's start unless the field says otherwise. What a worker counted since it was last asked, a
//! second or two, is lost with it when it dies; no counter ever goes back while the daemon lives.
//! The schema is `docs/reference/status.schema.json`.

use crate::signature::Signature;
use serde::{Deserialize, Serialize};

mod distribution;

pub use distribution::{Attainment, BATCH_BOUNDS, DURATION_BOUNDS_NS, Distribution};

/// The whole document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// Who connected, and who was turned away.
    pub connections: ConnectionStatus,
    /// One for each tenant.
    #[serde(default)]
    pub tenants: Vec<TenantStatus>,
}

/// Peers that came, whatever became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConnectionStatus {
    /// Sessions that began.
    pub accepted: u64,
    /// Connections that were turned away, by reason.
    pub refused: Vec<RefusalCount>,
    /// Functions that were not opened, by reason.
    pub opens_refused: Vec<RefusalCount>,
    /// Sessions that ended because their peer broke the protocol.
    pub violations: u64,
    /// Channels that are open.
    pub channels: u32,
    /// Bytes that all peers together have mapped.
    pub mapped_bytes: u64,
    /// Bytes that they may map.
    pub mapped_bytes_max: u64,
}

/// A tenant: what it has, what it may have, and what it was refused since it was configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TenantStatus {
    /// Its name.
    pub name: String,
    /// Functions that it may open, as the configuration names them.
    pub functions: Vec<String>,
    /// Sessions of its peers.
    pub sessions: u32,
    /// Most of them.
    pub sessions_max: u32,
    /// Channels of its peers.
    pub channels: u32,
    /// Most of them.
    pub channels_max: u32,
    /// Bytes of its channels.
    pub mapped_bytes: u64,
    /// Most of them.
    pub mapped_bytes_max: u64,
    /// Most requests of it that wait or run on one device.
    pub queue_max: u32,
    /// Most requests a second that one device takes of it; 0 is no limit.
    pub requests_per_s: u32,
    /// Connections that were refused.
    pub refused_connections: u64,
    /// Channels that were refused.
    pub refused_opens: u64,
    /// Lines of the audit that were left out because there were too many.
    pub audit_left_out: u64,
}

/// A device and the worker that owns it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// What they are used for, as long as a worker says so.
    pub memory: MemoryStatus,
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

/// What a worker's memory is used for. On the device, `weights`, `batches` and what is free make up
/// the reservation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MemoryStatus {
    /// Bytes on the device for weights and for what prepared plans keep there.
    pub weights_bytes: u64,
    /// Bytes on the device that the lanes' batches run in.
    pub batches_bytes: u64,
    /// Bytes of pinned memory of the host through which inputs and results travel.
    pub staging_bytes: u64,
}

/// A lane of a device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LaneStatus {
    /// SMs it may use.
    pub sms: u32,
    /// Which they are, as measured: `all`, or ranges as in `0-7`.
    pub granted: String,
    /// Batches that it ran.
    pub batches: u64,
    /// SMs that a batch holds now: all of the lane's or none.
    pub held_sms: u32,
    /// Nanoseconds for which batches have held it; a batch counts when it ends.
    pub busy_ns: u64,
}

/// A function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FunctionStatus {
    /// Its name.
    pub name: String,
    /// Its model, as `function.toml` names it.
    pub model: String,
    /// The latency that it is owed, as `function.toml` says it.
    pub objective: Option<String>,
    /// Whether it got that so far; absent without an objective.
    pub attainment: Option<Attainment>,
    /// What it takes and gives; absent until its worker has loaded it.
    pub signature: Option<Signature>,
    /// Open channels.
    pub channels: u32,
    /// Requests that wait.
    pub queued: u32,
    /// Most requests that may wait.
    pub queue_max: u32,
    /// Most requests in a batch.
    pub max_batch: u32,
    /// Requests read in each second, over the last ten or so.
    pub rate_per_s: f64,
    /// Requests read from slots.
    pub arrived: u64,
    /// Requests by how they ended.
    pub outcomes: OutcomeCounts,
    /// Refusals by reason.
    pub refusals: Vec<RefusalCount>,
    /// Requests that came with a budget, by what became of it.
    pub deadlines: DeadlineCounts,
    /// Batches that ran.
    pub batches: u64,
    /// Requests in each batch, by the bounds 1, 2, 4 … 1024.
    pub batch_sizes: Distribution,
    /// Elements that requests brought, along their length.
    pub own_elements: u64,
    /// Elements that were computed beside them.
    pub padded_elements: u64,
    /// Elements of padding for each element of its own that a request brought; 0 without padding.
    pub padding_share: f64,
    /// From being read to the completion, of requests that were done since the worker's start.
    pub latency_us: Quantiles,
    /// Where that time went, and all of it.
    pub stages: Vec<StageStatus>,
    /// SMs times nanoseconds for which its batches held them; a batch counts when it ends.
    pub sm_ns: u64,
    /// Each tenant's part of it.
    pub tenants: Vec<TenantUse>,
    /// Why it is served no more until it is cleared; absent when it is served.
    pub quarantined: Option<String>,
    /// The device that serves it.
    pub device: u32,
}

impl FunctionStatus {
    /// Adds what was counted of the same function before.
    pub fn add(&mut self, before: &Self) {
        self.arrived += before.arrived;
        self.outcomes.add(before.outcomes);
        for refusal in &before.refusals {
            RefusalCount::add(&mut self.refusals, &refusal.reason, refusal.count);
        }
        self.deadlines.add(before.deadlines);
        self.batches += before.batches;
        self.batch_sizes.add(&before.batch_sizes);
        self.own_elements += before.own_elements;
        self.padded_elements += before.padded_elements;
        self.padding_share = share(self.padded_elements, self.own_elements);
        match (&mut self.attainment, &before.attainment) {
            (Some(attainment), Some(before)) => attainment.add(before),
            (none, before) => *none = none.or(*before),
        }
        for stage in &before.stages {
            match self.stages.iter_mut().find(|other| other.stage == stage.stage) {
                Some(other) => other.distribution.add(&stage.distribution),
                None => {
                    let latency_us = Quantiles::default();
                    self.stages.push(StageStatus { latency_us, ..stage.clone() });
                }
            }
        }
        self.sm_ns += before.sm_ns;
        for of_tenant in &before.tenants {
            match self.tenants.iter_mut().find(|other| other.tenant == of_tenant.tenant) {
                Some(other) => {
                    other.outcomes.add(of_tenant.outcomes);
                    other.sm_ns += of_tenant.sm_ns;
                }
                None => self.tenants.push(of_tenant.clone()),
            }
        }
    }
}

/// A part for each whole of it; 0 of nothing.
pub fn share(part: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a share does not need all 64 bits")]
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A part of the way of requests that were done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StageStatus {
    /// `queue`: read from its slot until its batch begins. `copy`: until the batch's inputs are
    /// gathered in pinned memory. `device`: until the last segment is seen to have retired, the
    /// transfers included. `return`: until the completion is published, the copy into the arena
    /// included. `total`: all four.
    pub stage: String,
    /// Since the worker's start.
    pub latency_us: Quantiles,
    /// In nanoseconds, by the bounds 2¹⁰, 2¹¹ … 2³⁴.
    pub distribution: Distribution,
}

/// What a tenant had of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TenantUse {
    /// The tenant.
    pub tenant: String,
    /// Its requests by how they ended.
    pub outcomes: OutcomeCounts,
    /// Its part of the function's SM time: of each batch by its requests' part of the lengths.
    pub sm_ns: u64,
}

/// Requests with a budget. Those that were refused or cancelled are in none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeadlineCounts {
    /// Their results were published within the budget.
    pub met: u64,
    /// They began within it and were done after it.
    pub late: u64,
    /// They had not begun when it passed, and did not run.
    pub missed: u64,
}

/// Requests by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

impl OutcomeCounts {
    /// Adds what was counted before.
    pub fn add(&mut self, before: Self) {
        self.done += before.done;
        self.refused += before.refused;
        self.deadline_missed += before.deadline_missed;
        self.cancelled += before.cancelled;
    }
}

impl DeadlineCounts {
    /// Adds what was counted before.
    pub fn add(&mut self, before: Self) {
        self.met += before.met;
        self.late += before.late;
        self.missed += before.missed;
    }
}

/// Refusals for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RefusalCount {
    /// The reason's label.
    pub reason: String,
    /// How many.
    pub count: u64,
}

impl RefusalCount {
    /// Adds `count` refusals for a reason to a list of them.
    pub fn add(list: &mut Vec<Self>, reason: &str, count: u64) {
        match list.iter_mut().find(|other| other.reason == reason) {
            Some(other) => other.count += count,
            None => list.push(Self { reason: reason.to_owned(), count }),
        }
    }
}

/// A latency distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Quantiles {
    /// Half are below.
    pub p50: u64,
    /// 99 of 100 are below.
    pub p99: u64,
    /// The largest.
    pub max: u64,
}

/// A connected peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionStatus {
    /// A number that is not used again.
    pub id: u64,
    /// The peer's process, as the kernel says; 0 when it is in another namespace.
    pub pid: i32,
    /// The peer's user.
    pub uid: u32,
    /// Its tenant.
    #[serde(default)]
    pub tenant: String,
    /// Functions that it has open.
    pub functions: Vec<String>,
    /// Bytes of its channels.
    pub mapped_bytes: u64,
}
