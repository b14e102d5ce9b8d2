//! What arrives in a scenario, in order: the arrivals of all sources merged.

use super::Scenario;
use crate::arrivals::{Gaps, Lengths};
use crate::file::FileError;
use crate::random::{Purpose, Random, stream};
use crate::simulation::Incident;
use gpumux_core::{FunctionId, MonoTime, Past};
use rand_distr::Distribution;
use rand_distr::weighted::WeightedAliasIndex;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// See the file's head.
#[derive(Debug)]
pub(super) struct Requests<'a> {
    scenario: &'a Scenario,
    sources: Vec<Drawn>,
    lengths: Vec<Lengths>,
    /// When each source has its next arrival.
    next: BinaryHeap<Reverse<(MonoTime, usize)>>,
    left: u64,
}

#[derive(Debug)]
struct Drawn {
    gaps: Gaps,
    functions: Vec<FunctionId>,
    weights: WeightedAliasIndex<f64>,
    random: Random,
}

impl<'a> Requests<'a> {
    pub(super) fn new(scenario: &'a Scenario, seed: u64, most: u64) -> Result<Self, FileError> {
        let folder = &scenario.folder;
        let mut sources = Vec::new();
        for (index, source) in (0..).zip(&scenario.sources) {
            let weight = |function: &FunctionId| scenario.functions[function.index()].weight;
            let weights = source.functions.iter().map(weight).collect();
            sources.push(Drawn {
                gaps: source.gaps.gaps(folder, seed, index)?,
                functions: source.functions.clone(),
                weights: WeightedAliasIndex::new(weights).expect("weights are above 0"),
                random: stream(seed, Purpose::Functions, index),
            });
        }
        let lengths = (0..).zip(&scenario.functions);
        let lengths: Result<Vec<Lengths>, FileError> =
            lengths.map(|(index, it)| it.lengths.lengths(folder, seed, index)).collect();
        let next = BinaryHeap::new();
        let mut requests = Self { scenario, sources, lengths: lengths?, next, left: most };
        (0..requests.sources.len()).for_each(|source| requests.expect(source, MonoTime::ZERO));
        Ok(requests)
    }

    /// Draws when a source has its next arrival.
    fn expect(&mut self, source: usize, after: MonoTime) {
        if let Some(gap) = self.sources[source].gaps.next() {
            let gap = Duration::try_from_secs_f64(gap).unwrap_or(Duration::MAX);
            self.next.push(Reverse((after.after(gap), source)));
        }
    }
}

impl Iterator for Requests<'_> {
    type Item = (MonoTime, Incident);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let Reverse((at, source)) = self.next.pop()?;
        self.expect(source, at);
        let Drawn { functions, weights, random, .. } = &mut self.sources[source];
        let function = match functions.as_slice() {
            [only] => *only,
            several => several[weights.sample(random)],
        };
        let length = self.lengths[function.index()].draw();
        let budget = self.scenario.functions[function.index()].budget;
        Some((at, Incident::Arrive { function, length, budget, past: Past::New }))
    }
}
