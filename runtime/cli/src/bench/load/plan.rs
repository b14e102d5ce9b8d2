//! What every peer of a run is told: all that its arrivals and requests follow from.

use super::lengths::LengthRule;
use super::values::NamedRange;
use crate::given::NamedFile;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// See the file's head.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) socket: PathBuf,
    pub(super) function: String,
    pub(super) seed: u64,
    pub(super) peers: u32,
    pub(super) arrivals: Arrivals,
    pub(super) lengths: LengthRule,
    pub(super) budget: Option<Duration>,
    pub(super) warm_up: Duration,
    /// How long arrivals are measured; as long as there are any when absent.
    pub(super) duration: Option<Duration>,
    /// How many are measured in all; as many as there are when absent.
    pub(super) requests: Option<u64>,
    pub(super) drain: Duration,
    /// Requests that a peer may have in flight.
    pub(super) slots: u32,
    pub(super) inputs: Vec<NamedFile>,
    pub(super) ranges: Vec<NamedRange>,
    pub(super) spin: Duration,
}

/// When requests come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Arrivals {
    /// By themselves, with exponential gaps.
    Poisson { requests_per_s: f64 },
    /// By themselves, with the gaps of a file.
    Trace { path: PathBuf, speed: f64 },
    /// When one is back.
    Closed { concurrency: u32 },
}

impl Plan {
    /// The moment after which nothing is measured, if time ends the run.
    pub(super) fn end(&self) -> Option<Duration> {
        self.duration.map(|duration| self.warm_up.saturating_add(duration))
    }

    /// How the arrivals come, in a few words.
    pub(super) fn arrivals_text(&self) -> String {
        match &self.arrivals {
            Arrivals::Poisson { requests_per_s } => {
                format!("open loop, Poisson arrivals at {requests_per_s} requests/s")
            }
            Arrivals::Trace { path, speed } => {
                format!("open loop, arrivals of {} at {speed} times its speed", path.display())
            }
            Arrivals::Closed { concurrency } => {
                format!("closed loop, {concurrency} requests in flight a peer")
            }
        }
    }
}
