//! `gpumux sim run`: one scenario, one policy, one seed.

use super::{any_seed, bar, json, page, schema, show, unusable};
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
    /// How many requests arrive, instead of what the scenario says
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// The latency that every function is to keep, instead of what the scenario says, as in `50ms`
    #[arg(long, value_name = "LATENCY")]
    slo: Option<humantime::Duration>,
    /// Print the figures as JSON, whose names carry their units
    #[arg(long)]
    json: bool,
    /// Print the JSON schema of the document instead; nothing is run
    #[arg(long)]
    schema: bool,
}

/// Runs it and says what came of it.
///
/// # Errors
/// [`Failure`]: a scenario that is none.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let Some(path) = options.scenario.as_ref().filter(|_| !options.schema) else {
        return show(&schema::<Report>()?);
    };
    let scenario = Scenario::read(path).map_err(Failure::arguments)?;
    let run = RunOptions {
        seed: options.seed.unwrap_or_else(any_seed),
        policy: options.policy.clone(),
        requests: options.requests,
        objective: options.slo.map(Into::into),
    };
    let (clock, bar) = (Clock::start(), bar(scenario.requests(&run)));
    let report = scenario.run(&run, |arrived| bar.set_position(arrived)).map_err(unusable)?;
    bar.finish_and_clear();
    if options.json {
        return show(&json(&report)?);
    }
    eprintln!("{}", page::pace(report.all.arrivals, report.events, clock.now()));
    show(&page::report(&report))
}
