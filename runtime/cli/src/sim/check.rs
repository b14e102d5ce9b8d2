//! `gpumux sim check`: the scheduler's rules in random worlds; a seed that fails is named with the
//! command that runs it again.

use super::show;
use crate::failure::Failure;
use clap::Args;
use gpumux_sim::seeds::{self, Checked};

/// Which worlds to check.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The first seed, and the only one unless --seeds says more; 0 when absent
    #[arg(long, env = "GPUMUX_SEED")]
    seed: Option<u64>,
    /// How many seeds from there; 1 with --seed, else 2000
    #[arg(long)]
    seeds: Option<u64>,
    /// The policy, by its name
    #[arg(long, value_name = "NAME", default_value = "fifo")]
    policy: String,
}

/// Checks them.
///
/// # Errors
/// [`Failure::RuleBroken`] names the seeds in which a rule was broken.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let Options { seed, seeds, policy } = options;
    let count = seeds.unwrap_or(if seed.is_some() { 1 } else { 2_000 });
    let (mut sum, mut broken) = (Checked::default(), Vec::new());
    for seed in (seed.unwrap_or(0)..=u64::MAX).take(usize::try_from(count).unwrap_or(usize::MAX)) {
        match seeds::check(seed, policy) {
            Ok(checked) => sum += checked,
            Err(seeds::SeedFailure::Policy(error)) => return Err(Failure::arguments(error)),
            Err(failure) => broken.push(format!(
                "seed {seed}: {failure}\n  again: gpumux sim check --policy {policy} --seed {seed}"
            )),
        }
    }
    if broken.is_empty() {
        let Checked { arrivals, events, .. } = sum;
        return show(&format!(
            "no rule was broken under {policy} in {count} worlds: {arrivals} requests, {events} events"
        ));
    }
    let (failed, first) = (broken.len(), broken[..broken.len().min(5)].join("\n"));
    Err(Failure::RuleBroken(format!("rules were broken in {failed} of {count} worlds:\n{first}")))
}
