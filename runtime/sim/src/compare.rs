//! Policies side by side on the same arrivals, over several seeds.

use crate::report::Report;
use crate::scenario::{RunError, RunOptions, Scenario};
use schemars::JsonSchema;
use serde::Serialize;
use std::time::Duration;

/// What to compare.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// Names of policies.
    pub policies: Vec<String>,
    /// Each policy runs with the seeds from here.
    pub first_seed: u64,
    /// How many.
    pub seeds: u32,
    /// How many requests, instead of what the scenario says.
    pub requests: Option<u64>,
    /// The objective of every function, instead of what the scenario says.
    pub objective: Option<Duration>,
}

/// Policies side by side on the same arrivals.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Comparison {
    /// The scenario.
    pub scenario: String,
    /// The first seed.
    pub first_seed: u64,
    /// Seeds from there.
    pub seeds: u32,
    /// A row for each policy, in the order asked for.
    pub policies: Vec<PolicyRow>,
}

/// A policy's figures over the seeds.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct PolicyRow {
    /// The policy's name.
    pub policy: String,
    /// Requests that met their objective, of all that arrived; absent where none has an objective.
    pub attainment: Option<Spread>,
    /// Latency of requests that were done: half are below.
    pub p50_ns: Option<Spread>,
    /// 99 in a hundred are below.
    pub p99_ns: Option<Spread>,
    /// Padding, as a multiple of what was asked for.
    pub padding: Option<Spread>,
    /// SM-seconds for each request that met its objective.
    pub sm_s_per_met: Option<Spread>,
    /// The reports, by seed.
    pub reports: Vec<Report>,
}

/// A figure over several seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Spread {
    /// The mean over seeds.
    pub mean: f64,
    /// The least of them.
    pub least: f64,
    /// The greatest of them.
    pub most: f64,
}

impl Spread {
    /// Of figures that every seed has; none otherwise.
    fn of(figures: impl Iterator<Item = Option<f64>>) -> Option<Self> {
        let figures: Vec<f64> = figures.collect::<Option<_>>()?;
        let count = f64::from(u32::try_from(figures.len()).ok().filter(|count| *count > 0)?);
        Some(Self {
            mean: figures.iter().sum::<f64>() / count,
            least: figures.iter().copied().fold(f64::INFINITY, f64::min),
            most: figures.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

/// Runs every policy with every seed.
///
/// # Errors
/// [`RunError`].
pub fn compare(
    scenario: &Scenario,
    options: &CompareOptions,
    mut progress: impl FnMut(u64),
) -> Result<Comparison, RunError> {
    let mut rows = Vec::new();
    let mut before = 0;
    for policy in &options.policies {
        let mut reports = Vec::new();
        for seed in (options.first_seed..).take(options.seeds as usize) {
            let run = RunOptions {
                seed,
                policy: policy.clone(),
                requests: options.requests,
                objective: options.objective,
            };
            let report = scenario.run(&run, |arrived| progress(before + arrived))?;
            before += report.all.arrivals;
            reports.push(report);
        }
        rows.push(row(policy, reports));
    }
    Ok(Comparison {
        scenario: scenario.name().to_owned(),
        first_seed: options.first_seed,
        seeds: options.seeds,
        policies: rows,
    })
}

#[expect(clippy::cast_precision_loss, reason = "latencies end at an hour: 42 bits")]
fn row(policy: &str, reports: Vec<Report>) -> PolicyRow {
    let all = || reports.iter().map(|report| &report.all);
    PolicyRow {
        policy: policy.to_owned(),
        attainment: Spread::of(all().map(|all| all.attainment)),
        p50_ns: Spread::of(all().map(|all| all.latency.map(|latency| latency.p50_ns as f64))),
        p99_ns: Spread::of(all().map(|all| all.latency.map(|latency| latency.p99_ns as f64))),
        padding: Spread::of(all().map(|all| all.padding)),
        sm_s_per_met: Spread::of(all().map(|all| all.sm_s_per_met)),
        reports,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_sees_the_same_arrivals_of_each_seed() {
        let scenario = Scenario::example().unwrap();
        let fifo = "fifo".to_owned();
        let options = CompareOptions {
            policies: vec![fifo.clone(), fifo],
            first_seed: 5,
            seeds: 3,
            requests: Some(1_000),
            objective: Some(Duration::from_millis(5)),
        };
        let comparison = compare(&scenario, &options, |_| ()).unwrap();
        let [one, other] = comparison.policies.as_slice() else { panic!("two rows") };
        assert_eq!(one, other);
        assert_eq!(one.reports.iter().map(|report| report.seed).collect::<Vec<_>>(), [5, 6, 7]);
        assert_ne!(one.reports[0].all, one.reports[1].all);
        let Spread { mean, least, most } = one.attainment.unwrap();
        assert!(least <= mean && mean <= most && most <= 1.0 && least > 0.0);
    }

    #[test]
    fn a_figure_that_a_seed_lacks_has_no_mean() {
        assert_eq!(Spread::of([Some(1.0), None].into_iter()), None);
        assert_eq!(Spread::of([].into_iter()), None);
        let spread = Spread::of([Some(1.0), Some(3.0), Some(2.0)].into_iter());
        assert_eq!(spread, Some(Spread { mean: 2.0, least: 1.0, most: 3.0 }));
    }
}
