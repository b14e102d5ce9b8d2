//! `gpumux sim run`: one scenario, one policy, one seed.

use super::{Change, Shown, any_seed, bar, json, page, schema, show, unusable};
use crate::clock::Clock;
use crate::failure::Failure;
use clap::Args;
use gpumux_sim::{Report, RunOptions, Scenario};
use std::path::PathBuf;

/// What to run.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The scenario, a TOML file: see `gpumux sim example`
    #[arg(long, value_name = "FILE", required_unless_present = "schema")]
    scenario: Option<PathBuf>,
    /// What arrivals and lengths are drawn from; drawn and printed when absent
    #[arg(long, env = "GPUMUX_SEED")]
    seed: Option<u64>,
    /// The policy, by its name
    #[arg(long, value_name = "NAME", default_value = "fifo")]
    policy: String,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    shown: Shown,
}

/// Runs it and says what came of it.
///
/// # Errors
/// [`Failure`]: a scenario that is none.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let Some(path) = options.scenario.as_ref().filter(|_| !options.shown.schema) else {
        return show(&schema::<Report>()?);
    };
    let scenario = Scenario::read(path).map_err(Failure::arguments)?;
    let run = RunOptions {
        seed: options.seed.unwrap_or_else(any_seed),
        policy: options.policy.clone(),
        requests: options.change.requests,
        objective: options.change.slo.map(Into::into),
    };
    let (clock, bar) = (Clock::start(), bar(scenario.requests(&run)));
    let report = scenario.run(&run, |arrived| bar.set_position(arrived)).map_err(unusable)?;
    bar.finish_and_clear();
    if options.shown.json {
        return show(&json(&report)?);
    }
    eprintln!("{}", page::pace(report.all.arrivals, report.events, clock.now()));
    show(&page::report(&report))
}
