//! `gpumux bench FUNCTION`: a function under load; beside it, what a developer measures of this
//! project on this machine.
//!
//! - [`load`]: peers that ask a function by a plan, and what they saw;
//! - [`path`]: the path of one request, beside a bare ping-pong of the same wake-up primitive, in
//!   the manners of `scene`; `idle`: what an idle daemon costs;
//! - `leg`: one measurement, made by processes; `peer` and `answerer`: what those processes do;
//! - `report`: latencies on their way between processes; `figures`: what is said of them.

mod answerer;
mod bare;
mod figures;
mod idle;
mod leg;
mod load;
mod path;
mod peer;
mod report;
mod scene;

use crate::failure::Failure;
use clap::{Args, Subcommand};

/// What to measure: a function, or one of this project's own figures.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(override_usage = "gpumux bench [OPTIONS] <FUNCTION>")]
pub(crate) struct Bench {
    #[command(subcommand)]
    own: Option<Own>,
    #[command(flatten)]
    load: load::Options,
}

/// Figures of the project, and the processes that measure them. `cargo xtask bench` starts them.
#[derive(Clone, Debug, Subcommand)]
enum Own {
    /// The path of one request, in alternation with a bare ping-pong between processes
    #[command(hide = true)]
    Path(path::Options),
    /// A process of a measurement. Started by `bench path`, not by hand
    #[command(hide = true)]
    Peer(peer::Options),
    /// The other side of a bare ping-pong. Started by `bench path`, not by hand
    #[command(hide = true)]
    Answerer(answerer::Options),
    /// A peer that puts a function under load. Started by `bench FUNCTION`, not by hand
    #[command(hide = true)]
    LoadPeer(load::PeerOptions),
}

/// Measures, or takes part in a measurement.
///
/// # Errors
/// [`Failure`]: no daemon, no processes, or an interruption.
pub(crate) fn run(bench: &Bench) -> Result<(), Failure> {
    match &bench.own {
        None => load::run(&bench.load),
        Some(Own::Path(options)) => path::run(options),
        Some(Own::Peer(options)) => peer::run(options),
        Some(Own::Answerer(options)) => answerer::run(options),
        Some(Own::LoadPeer(options)) => load::run_peer(options),
    }
}
