//! What is found when a node's devices are looked at: the document that `gpumuxd probe` writes, and
//! the one around it behind `gpumux doctor --json`.
//!
//! Fields are only ever added. Times are in microseconds and named so. What could not be found out is
//! absent, or says why; it is never a figure that looks measured.

use serde::{Deserialize, Serialize};

/// The whole of `gpumux doctor --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DoctorReport {
    /// The version of `gpumux`.
    pub version: String,
    /// The worst of the findings, which is also the exit code.
    pub verdict: Verdict,
    /// What was found, and what to do about it; those of the host first.
    pub findings: Vec<Finding>,
    /// What may be claimed of each device.
    pub claims: Vec<Claim>,
    /// The foreign processes on the GPUs, as the management library tells.
    pub occupants: Occupants,
    /// What the probe saw. Absent when it could not be run, which is then a finding.
    pub probe: Option<ProbeReport>,
}

/// How the node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing stands in the way. Exit code 0.
    Well,
    /// It serves, and not as well or as safely as it could. Exit code 1.
    Degraded,
    /// It cannot serve. Exit code 2.
    CannotServe,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How grave it is.
    pub level: Level,
    /// Where: `driver`, `device 0`, `limits` and the like.
    pub place: String,
    /// What was found.
    pub what: String,
    /// What to do, where there is something to do.
    pub remedy: Option<String>,
}

/// What may be claimed of a device's division.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The device's place in the driver's order.
    pub device: u32,
    /// `partitioned by green contexts`, `partitioned by stream masks`, `undivided`, `shared with others`
    /// when a foreign process is on the device, or `unusable`.
    pub claim: String,
    /// Whether the device is emulated.
    pub emulated: bool,
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing is wrong.
    Note,
    /// It degrades the service.
    Warning,
    /// It keeps the node from serving.
    Fault,
}

/// Who else is on the GPUs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "known")]
pub enum Occupants {
    /// The management library lists these.
    Listed {
        /// One for each process and device.
        processes: Vec<Occupant>,
    },
    /// Nobody could be asked.
    Unknown {
        /// Why not.
        why: String,
    },
}

/// A process that has a GPU open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occupant {
    /// The GPU's uuid.
    pub device: String,
    /// Its process id, as the management library sees it.
    pub pid: u32,
    /// Its command, where this host's process table has it.
    pub command: Option<String>,
    /// Bytes of device memory that it holds, where that is told.
    pub memory_bytes: Option<u64>,
}

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// What a daemon needs before it serves: devices, backends, self-tests, lanes.
    Short,
    /// Also what an operator wants to know: handshake, isolation, latencies, registered memory.
    Full,
}

/// What `gpumuxd probe` writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// The version of `gpumuxd`.
    pub version: String,
    /// How much was looked at.
    pub form: Form,
    /// How long it took.
    pub took_us: u64,
    /// The driver; absent where none works.
    pub driver: Option<DriverReport>,
    /// Why there is no device to look at. Absent where there is one.
    pub unusable: Option<Unusable>,
    /// The devices that the driver finds, in its order.
    pub devices: Vec<DeviceReport>,
}

/// Why no device can be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unusable {
    /// What was wrong.
    pub what: String,
    /// Whether the machine has no GPU or no driver, as opposed to one that does not work.
    pub absent: bool,
}

/// The driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverReport {
    /// The CUDA version that it is for, as in `12.8`.
    pub version: String,
    /// The file that it was loaded from, links followed.
    pub library: String,
    /// Whether it is gpumux's own, which emulates a device on the CPU.
    pub emulated: bool,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Its place in the driver's order.
    pub ordinal: u32,
    /// The driver's name for it.
    pub name: String,
    /// Its uuid as the vendor's tools print it, where the driver tells.
    pub uuid: Option<String>,
    /// Where it sits, as in `0000:3B:00.0`, where the driver tells.
    pub pci: Option<String>,
    /// As in `9.0`.
    pub compute_capability: String,
    /// Streaming multiprocessors.
    pub sms: u32,
    /// Who may make a context.
    pub compute_mode: ComputeMode,
    /// Why it could not be opened. What follows is then absent or empty.
    pub fault: Option<String>,
    /// Bytes of memory in all.
    pub memory_bytes: Option<u64>,
    /// Bytes that were free while the probe had it open.
    pub memory_free_bytes: Option<u64>,
    /// What multiplies matrices: a library's file, or `own kernel`.
    pub products: Option<String>,
    /// How a lane tells how far it is: `stream writes`, or `kernels`.
    pub marks: Option<String>,
    /// Whether and how it is divided.
    pub partitions: Option<PartitionReport>,
    /// Tests that ran in a process of their own, because they may end it.
    pub self_tests: Vec<SelfTest>,
    /// Whether memory that peers share can be registered with the driver. Full form.
    pub registered_memory: Option<Checked>,
    /// What a launch and a copy take. Full form.
    pub latencies: Vec<Latency>,
}

/// Who may make a context on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComputeMode {
    /// Any process.
    Default,
    /// One process at a time.
    ExclusiveProcess,
    /// Nobody.
    Prohibited,
    /// A mode that this release does not know.
    Unknown,
}

/// How a device is divided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionReport {
    /// The backend in force: `green contexts`, `stream masks` or `none`.
    pub backend: String,
    /// What shows that it does what it says, or why there is none.
    pub proof: String,
    /// The smallest part that was made, in SMs. The short form makes those that it looks at.
    pub granularity_sms: u32,
    /// Every backend, best first, and why it is taken or not.
    pub backends: Vec<BackendReport>,
    /// Lanes side by side, and where blocks of them were seen to run.
    pub lanes: Vec<LaneReport>,
    /// Whether two lanes run at the same time. Full form, where there are two.
    pub handshake: Option<Checked>,
    /// Whether a lane keeps its speed beside a busy one. Full form, where there are two.
    pub isolation: Option<Isolation>,
}

/// A way to divide a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendReport {
    /// Its name.
    pub name: String,
    /// Whether it can be used here.
    pub usable: bool,
    /// Why, or why not.
    pub why: String,
}

/// A lane, and where it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneReport {
    /// The SMs that it was granted, as ranges: `0-7,16-23`.
    pub granted: String,
    /// How many these are.
    pub granted_sms: u32,
    /// The SMs that ran blocks of it, and how many blocks each.
    pub seen: Vec<SmBlocks>,
    /// Whether blocks ran on SMs that it was not granted.
    pub strays: bool,
}

/// What an SM ran of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmBlocks {
    /// Which SM, as the device numbers them.
    pub sm: u32,
    /// Blocks that said they ran there.
    pub blocks: u32,
}

/// A check that is passed or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Whether it is passed.
    pub passed: bool,
    /// What was seen.
    pub what: String,
}

/// A test in a process of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfTest {
    /// What was tested: `stream masks`.
    pub of: String,
    /// How it ended.
    pub ended: SelfTestEnded,
}

/// How a self-test ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "how")]
pub enum SelfTestEnded {
    /// What it tests works here.
    Passed {
        /// What was shown.
        what: String,
    },
    /// It ran to its end and found that it does not.
    Failed {
        /// What was seen.
        what: String,
    },
    /// Its process died.
    Died {
        /// Of what: `SIGSEGV`, or an exit code.
        of: String,
    },
    /// It did not end in time and was killed.
    TimedOut {
        /// The limit, in milliseconds.
        limit_ms: u64,
    },
}

/// A lane's speed alone and beside a busy neighbour, taken in turn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Isolation {
    /// SMs of the lane.
    pub sms: u32,
    /// SMs of its neighbour.
    pub neighbour_sms: u32,
    /// The median duration alone.
    pub alone_us: u64,
    /// The median duration beside the neighbour.
    pub beside_us: u64,
    /// The second over the first.
    pub ratio: f64,
    /// What the ratio may be at most.
    pub tolerance: f64,
    /// Pairs of durations that were taken.
    pub pairs: u32,
    /// Whether the device is emulated: then it is the emulator's pacing that was measured.
    pub emulated: bool,
}

/// How long something takes, over repeats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// What: `launch`, `copy in of 4 KiB` and the like, until the host sees it done.
    pub of: String,
    /// How often it was taken.
    pub repeats: u32,
    /// Half took less.
    pub median_us: f64,
    /// 99 of 100 took less.
    pub p99_us: f64,
}

impl DeviceReport {
    /// What `status` shows of the device's partitions: the backend, and what shows that it holds.
    pub fn partitions_shown(&self) -> String {
        match &self.partitions {
            Some(partitions) => format!("{}: {}", partitions.backend, partitions.proof),
            None => "none: the device could not be looked at".to_owned(),
        }
    }
}

/// The name of the backend that is none.
pub const UNDIVIDED: &str = "none";
