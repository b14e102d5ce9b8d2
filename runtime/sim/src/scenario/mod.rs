//! Scenarios: a device, functions and arrivals, as a file, and a run of one.
//!
//! - `document`: the file; `requests`: what arrives; `example`: one that is part of the program.

mod document;
mod example;
mod requests;

pub use document::VERSION;
pub use example::{EXAMPLE_FILES, write_example};

use crate::arrivals::{GapRule, LengthRule};
use crate::device::{Timing, Work};
use crate::file::{FileError, Source};
use crate::profile::{Profile, Shape};
use crate::report::{Recorder, Report};
use crate::simulation::{Simulation, UnknownPolicy, World};
use gpumux_core::{FunctionId, FunctionSpec};
use requests::Requests;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// See the file's head.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub(crate) name: String,
    pub(crate) lanes: Vec<u32>,
    pub(crate) run_ahead: u32,
    pub(crate) functions: Vec<Function>,
    sources: Vec<ArrivalSource>,
    requests: Option<u64>,
    /// Where files are looked for.
    folder: PathBuf,
}

/// A function of a scenario.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) spec: FunctionSpec,
    pub(crate) profile: Profile,
    /// Latency that is meant to be kept.
    pub(crate) objective: Option<Duration>,
    budget: Option<Duration>,
    lengths: LengthRule,
    /// Of arrivals that are for several functions.
    weight: f64,
}

/// Arrivals, and the functions that they fall on.
#[derive(Clone, Debug)]
struct ArrivalSource {
    gaps: GapRule,
    functions: Vec<FunctionId>,
}

/// Why a scenario did not run.
#[derive(Debug, Error)]
pub enum RunError {
    /// A file that it names.
    #[error(transparent)]
    File(#[from] FileError),
    /// No such policy.
    #[error(transparent)]
    Policy(#[from] UnknownPolicy),
    /// It would not end.
    #[error("{0}: `requests` is missing, and its arrivals have no end: say how many")]
    Endless(String),
}

/// How a run is to go.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// What arrivals and lengths are drawn from.
    pub seed: u64,
    /// The policy's name.
    pub policy: String,
    /// How many requests, instead of what the scenario says.
    pub requests: Option<u64>,
    /// The objective of every function, instead of what the scenario says.
    pub objective: Option<Duration>,
}

impl Scenario {
    /// Reads and checks a scenario and the profiles that it names.
    ///
    /// # Errors
    /// [`FileError`]: what is wrong, in which file, on which line.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        document::read(&Source::read(path)?, &|path| Source::read(path))
    }

    /// The example that is part of the program. Its profiles are made up.
    ///
    /// # Errors
    /// None, as a test shows.
    pub fn example() -> Result<Self, FileError> {
        example::read()
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same with other arrivals, which fall on all functions by their weights.
    ///
    /// # Errors
    /// What is wrong with the rule.
    pub fn with_arrivals(mut self, gaps: GapRule) -> Result<Self, String> {
        gaps.check()?;
        let functions = (0u16..).zip(&self.functions).map(|(index, _)| FunctionId(index)).collect();
        if gaps.ends() {
            self.requests = None;
        }
        self.sources = vec![ArrivalSource { gaps, functions }];
        Ok(self)
    }

    /// How many requests will come, where that is known before.
    pub fn requests(&self, options: &RunOptions) -> Option<u64> {
        options.requests.or(self.requests)
    }

    /// Runs it. Every now and then `progress` hears how many requests have arrived.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn run(
        &self,
        options: &RunOptions,
        mut progress: impl FnMut(u64),
    ) -> Result<Report, RunError> {
        const STEPS_BETWEEN: u32 = 1 << 16;
        let requests = self.requests(options);
        if requests.is_none() && !self.sources.iter().all(|source| source.gaps.ends()) {
            return Err(RunError::Endless(self.name.clone()));
        }
        let world = self.world(&options.policy);
        let incidents = Requests::new(self, options.seed, requests.unwrap_or(u64::MAX))?;
        let recorder = Recorder::new(self, options.objective);
        let mut simulation = Simulation::new(&world, self, incidents, None, recorder)?;
        let mut steps = 0u32;
        while simulation.step() {
            steps = steps.wrapping_add(1);
            if steps.is_multiple_of(STEPS_BETWEEN) {
                progress(simulation.arrivals());
            }
        }
        let (ended, recorder) = simulation.finish();
        Ok(recorder.report(self, options, ended))
    }

    fn world(&self, policy: &str) -> World {
        World {
            functions: self.functions.iter().map(|function| function.spec.clone()).collect(),
            lanes: self.lanes.clone(),
            run_ahead: self.run_ahead,
            inherited: 0,
            policy: policy.to_owned(),
        }
    }
}

impl Timing for Scenario {
    fn work(&self, function: FunctionId, batch: u32, length: u32, sms: u32) -> Work {
        let profile = &self.functions[function.index()].profile;
        let shape = Shape { sms, batch, length };
        let known = "the profile reaches as far as the scenario asks: its reader looked";
        let nanos = profile.nanos(shape).expect(known);
        let on_most = profile.nanos_on_most(shape).expect(known);
        let (copy_in, copy_out) = profile.copy_nanos();
        Work {
            segments: segments(nanos / profile.segment_nanos()),
            nanos,
            bandwidth_share: profile.bandwidth_share() * on_most / nanos,
            copy_in_nanos: copy_in * f64::from(batch),
            copy_out_nanos: copy_out * f64::from(batch),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the conversion saturates, and it is rounded already"
)]
fn segments(wanted: f64) -> u32 {
    // An hour of segments of a microsecond fits.
    wanted.ceil().max(1.0) as u32
}

#[cfg(test)]
mod tests;
