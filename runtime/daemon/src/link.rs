//! What supervisor and worker say to each other, over the socket that the worker has as its standard
//! input. Both are ours: a message that does not parse is a bug and ends the worker.

use crate::config::FunctionConfig;
use gpumux_wire::geometry::ChannelSize;
use gpumux_wire::signature::Signature;
use gpumux_wire::status::{DeviceStatus, FunctionStatus};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Open requests of a worker, all channels together.
pub(crate) const REQUESTS_MAX: u32 = 8192;

/// Names a channel between supervisor and worker; not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Attachment(pub(crate) u64);

/// An imported model on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlanFiles {
    /// The plan.
    pub(crate) plan: PathBuf,
    /// The weights.
    pub(crate) weights: PathBuf,
}

/// What a worker holds a tenant to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TenantLimits {
    /// The tenant's name.
    pub(crate) tenant: String,
    /// Most requests of it that wait or run.
    pub(crate) queue_max: u32,
    /// Most requests of it a second; 0 is no limit.
    pub(crate) requests_per_s: u32,
}

/// From supervisor to worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ToWorker {
    /// One function to load.
    Load {
        /// Its name.
        name: String,
        /// Its file.
        config: Box<FunctionConfig>,
        /// Its model's plan, where it is not built in.
        plan: Option<PlanFiles>,
        /// It has killed workers: what it is asked is refused.
        quarantined: bool,
    },
    /// Every function was named: get ready.
    Start {
        /// Which worker of its device this is, from 1.
        incarnation: u32,
    },
    /// Serve a channel. Its memfd, the worker's end of its wake-up channel and its ledger travel
    /// beside.
    Attach {
        /// Its name from here on.
        attachment: Attachment,
        /// Whose it is.
        limits: TenantLimits,
        /// The function's name.
        function: String,
        /// What the memfd was made for; it was vetted.
        size: ChannelSize,
        /// Another worker served it: it is served after [`ToWorker::Resume`].
        resumes: bool,
    },
    /// Hold a tenant to these from now on.
    Limit(TenantLimits),
    /// Every channel that another worker served was named: take up what it had accepted.
    Resume,
    /// Serve a function again that was quarantined.
    Clear {
        /// Its name.
        function: String,
    },
    /// Say that you live.
    Ping,
    /// Leave a channel: what it holds is cancelled.
    Detach {
        /// The channel.
        attachment: Attachment,
    },
    /// Read nothing more that is asked of these functions, finish what was accepted of them, and say
    /// so: another worker has other functions in their place.
    Retire {
        /// Their names.
        functions: Vec<String>,
    },
    /// Send figures.
    Report,
    /// Admit nothing more, finish what was admitted, and say so.
    Drain,
}

/// From worker to supervisor.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum FromWorker {
    /// A function is loaded.
    Loaded {
        /// Its name.
        name: String,
        /// What it takes and gives.
        signature: Signature,
    },
    /// The device is ours and every function is loaded.
    Ready,
    /// The worker cannot serve, and ends.
    Unfit {
        /// Why, and what to do.
        what: String,
    },
    /// A channel is served.
    Attached {
        /// The channel.
        attachment: Attachment,
    },
    /// A channel is not served.
    NotAttached {
        /// The channel.
        attachment: Attachment,
        /// Why.
        what: String,
    },
    /// A peer broke the protocol in shared memory; its channel is not served any more.
    Violation {
        /// The channel.
        attachment: Attachment,
        /// What it did.
        what: String,
    },
    /// The function is served again: what is asked of it from now on is not refused.
    Cleared {
        /// Its name.
        function: String,
    },
    /// The worker lives, and its dispatch thread does.
    Pong,
    /// Figures of one function.
    FunctionReport(Box<FunctionStatus>),
    /// Figures of the device; ends a report.
    DeviceReport(DeviceStatus),
    /// Nothing is admitted, waits or runs.
    Drained,
    /// What was accepted of the functions that retire has ended.
    Retired,
    /// A channel is left: this worker has no hand in its memory any more.
    Left {
        /// The channel.
        attachment: Attachment,
    },
}
