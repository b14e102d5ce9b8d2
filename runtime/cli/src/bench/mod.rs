//! `gpumux bench`: measures this machine. What is measured says where it is measured, and beside
//! what.
//!
//! - [`path`]: the path of one request, beside a bare ping-pong of the same wake-up primitive;
//! - `leg`: one measurement, made by processes; `peer` and `answerer`: what those processes do;
//! - `report`: latencies on their way between processes; `figures`: what is said of them.

mod answerer;
mod bare;
mod figures;
mod leg;
mod path;
mod peer;
mod report;

use crate::failure::Failure;
use clap::Subcommand;

/// What to measure.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Bench {
    /// The path of one request, in alternation with a bare ping-pong between processes
    Path(path::Options),
    /// A process of a measurement. Started by `bench path`, not by hand
    #[command(hide = true)]
    Peer(peer::Options),
    /// The other side of a bare ping-pong. Started by `bench path`, not by hand
    #[command(hide = true)]
    Answerer(answerer::Options),
}

/// Measures, or takes part in a measurement.
///
/// # Errors
/// [`Failure`]: no daemon, no processes, or an interruption.
pub(crate) fn run(bench: &Bench) -> Result<(), Failure> {
    match bench {
        Bench::Path(options) => path::run(options),
        Bench::Peer(options) => peer::run(options),
        Bench::Answerer(options) => answerer::run(options),
    }
}
