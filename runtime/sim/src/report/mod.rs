//! What came of a run: outcomes, latencies, objectives, padding, and what it took of the device.
//!
//! The fields are those of the JSON document; units are in their names. An objective is met by a
//! request that is done within it, counted from its arrival; whatever else becomes of a request, a
//! refusal too, is a miss.

mod recorder;

pub(crate) use recorder::Recorder;

use schemars::JsonSchema;
use serde::Serialize;

/// What came of a run of a scenario.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Report {
    /// The scenario.
    pub scenario: String,
    /// The policy's name.
    pub policy: String,
    /// What arrivals and lengths were drawn from.
    pub seed: u64,
    /// Simulated time from the beginning to the last event.
    pub simulated_s: f64,
    /// Events that the scheduler was told of.
    pub events: u64,
    /// SM-seconds that the lanes hold in that time.
    pub reserved_sm_s: f64,
    /// Of all functions.
    pub all: Figures,
    /// Of each function.
    pub functions: Vec<FunctionReport>,
    /// Of each lane.
    pub lanes: Vec<LaneReport>,
    /// What durations come from.
    pub profiles: Vec<ProfileReport>,
}

/// A function's part.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct FunctionReport {
    /// The function.
    pub function: String,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// A lane's part.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct LaneReport {
    /// Its SMs.
    pub sms: u32,
    /// The share of the time in which a batch held it.
    pub occupied: f64,
    /// Batches that it ran.
    pub batches: u64,
}

/// What a profile says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ProfileReport {
    /// The function that runs by it.
    pub function: String,
    /// The model, as the profile calls it.
    pub profile: String,
    /// What it was measured on.
    pub device: String,
    /// Whether that is an emulated device.
    pub emulated: bool,
    /// The worst relative error of its interpolation at a point left out; absent where none can be.
    pub interpolation_error_worst: Option<f64>,
    /// The mean of those errors.
    pub interpolation_error_mean: Option<f64>,
}

/// Figures of one function or of all.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Figures {
    /// Requests that arrived.
    pub arrivals: u64,
    /// Requests that were done.
    pub done: u64,
    /// Requests whose budget passed before their batch began.
    pub deadline_missed: u64,
    /// Requests that a full queue refused.
    pub refused_queue_full: u64,
    /// Requests of functions that have an objective.
    pub with_objective: u64,
    /// Requests that met their objective.
    pub met: u64,
    /// `met` of `with_objective`; absent where no request had one.
    pub attainment: Option<f64>,
    /// From arrival to the end, of requests that were done; absent where none was.
    pub latency: Option<Quantiles>,
    /// Batches that ended.
    pub batches: u64,
    /// Requests in a batch, on the mean; absent where none ended.
    pub batch_mean: Option<f64>,
    /// Length that batches were padded with, as a multiple of the length that was asked for: each
    /// request is as long as the longest of its batch. Zero for functions that share equal lengths.
    pub padding: Option<f64>,
    /// SMs of the lane times the time it was held, summed over batches.
    pub sm_s: f64,
    /// The same for each request that met its objective; absent where none did.
    pub sm_s_per_met: Option<f64>,
}

/// Quantiles of a latency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Quantiles {
    /// The mean.
    pub mean_ns: f64,
    /// Half are below.
    pub p50_ns: u64,
    /// Nine in ten are below.
    pub p90_ns: u64,
    /// 99 in a hundred are below.
    pub p99_ns: u64,
    /// 999 in a thousand are below.
    pub p99_9_ns: u64,
    /// The longest.
    pub max_ns: u64,
}
