//! `gpumux sim compare`: policies side by side.

use super::{Change, Shown, bar, json, page, schema, show, unusable};
use crate::clock::Clock;
use crate::failure::Failure;
use clap::Args;
use gpumux_sim::Scenario;
use gpumux_sim::arrivals::GapRule;
use gpumux_sim::compare::{CompareOptions, Comparison, compare};
use std::path::PathBuf;

/// What to compare.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// A file with the gap before each request, in seconds, one a line; requests fall on the
    /// scenario's functions at random, by their weights. Its own arrivals when absent
    #[arg(long, value_name = "FILE")]
    arrivals: Option<PathBuf>,
    /// How many times as fast as they were written the arrivals come
    #[arg(long, requires = "arrivals", default_value_t = 1.0)]
    speed: f64,
    /// The scenario, a TOML file; the example, whose profiles are made up, when absent
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Policies, by their names; all there are when absent
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    policies: Vec<String>,
    /// How many seeds each policy runs with
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    seeds: u32,
    /// The first of the seeds; the others follow it
    #[arg(long, env = "GPUMUX_SEED", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    shown: Shown,
}

/// Runs them and shows a table.
///
/// # Errors
/// [`Failure`]: a scenario that is none, or a policy that is not there.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if options.shown.schema {
        return show(&schema::<Comparison>()?);
    }
    let mut scenario = match &options.scenario {
        Some(path) => Scenario::read(path),
        None => Scenario::example(),
    }
    .map_err(Failure::arguments)?;
    if let Some(path) = &options.arrivals {
        // From where the command runs, not from the scenario's folder.
        let path = std::path::absolute(path)?;
        let rule = GapRule::File { path, speed: options.speed };
        let wrong = |what| Failure::arguments(format!("--arrivals: {what}"));
        scenario = scenario.with_arrivals(rule).map_err(wrong)?;
    }
    let all = || gpumux_sim::POLICIES.iter().map(|name| (*name).to_owned()).collect();
    let asked = CompareOptions {
        policies: if options.policies.is_empty() { all() } else { options.policies.clone() },
        first_seed: options.seed,
        seeds: options.seeds,
        requests: options.change.requests,
        objective: options.change.slo.map(Into::into),
    };
    let (clock, bar) = (Clock::start(), bar(None));
    let compared = compare(&scenario, &asked, |arrived| bar.set_position(arrived));
    let comparison = compared.map_err(unusable)?;
    bar.finish_and_clear();
    if options.shown.json {
        return show(&json(&comparison)?);
    }
    let reports = || comparison.policies.iter().flat_map(|row| &row.reports);
    let arrivals = reports().map(|report| report.all.arrivals).sum();
    let events = reports().map(|report| report.events).sum();
    eprintln!("{}", page::pace(arrivals, events, clock.now()));
    show(&page::comparison(&comparison))
}
