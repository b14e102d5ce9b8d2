//! How often values fell between fixed bounds: what can be added up over workers and scrapes.

use serde::{Deserialize, Serialize};

/// Bounds of durations: 2¹⁰ ns, about a microsecond, to 2³⁴ ns, about 17 seconds.
pub const DURATION_BOUNDS_NS: [u64; 25] = powers(10);
/// Bounds of batches, in requests: 1 to 1024, the most that a batch may hold.
pub const BATCH_BOUNDS: [u64; 11] = powers(0);

const fn powers<const N: usize>(first: u32) -> [u64; N] {
    let mut bounds = [0; N];
    let (mut index, mut bound) = (0, 1 << first);
    while index < N {
        bounds[index] = bound;
        bound *= 2;
        index += 1;
    }
    bounds
}

/// See the file's head.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Distribution {
    /// How many values were at most each bound and above the one before; the last, above all.
    pub counts: Vec<u64>,
    /// All values together.
    pub sum: u64,
}

impl Distribution {
    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds another of the same bounds.
    pub fn add(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum += other.sum;
    }

    /// Their mean; 0 of none.
    pub fn mean(&self) -> f64 {
        super::share(self.sum, self.count())
    }
}

/// Whether a function gets the latency that it is owed. Requests that were done or missed their
/// deadline count; those that were refused or cancelled do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Attainment {
    /// The share of requests that is to be within the bound.
    pub owed: f64,
    /// Requests that were done within it.
    pub within: u64,
    /// Requests that were not.
    pub beyond: u64,
}

impl Attainment {
    /// The share of requests that was within the bound; absent without any.
    pub fn share(&self) -> Option<f64> {
        let all = self.within + self.beyond;
        (all > 0).then(|| super::share(self.within, all))
    }

    /// Whether the objective is met; absent without requests.
    pub fn is_met(&self) -> Option<bool> {
        self.share().map(|share| share >= self.owed)
    }

    /// Adds what was counted before.
    pub fn add(&mut self, before: &Self) {
        self.within += before.within;
        self.beyond += before.beyond;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double() {
        assert_eq!(DURATION_BOUNDS_NS[0], 1024);
        assert_eq!(DURATION_BOUNDS_NS[24], 1 << 34);
        assert_eq!(BATCH_BOUNDS, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]);
    }

    #[test]
    fn distributions_add_up_whichever_was_empty() {
        let some = Distribution { counts: vec![1, 0, 2], sum: 9 };
        let mut sum = Distribution::default();
        sum.add(&some);
        assert_eq!(sum, some);
        sum.add(&some);
        assert_eq!((sum.count(), sum.sum, sum.mean()), (6, 18, 3.0));
        assert_eq!(Distribution::default().mean(), 0.0);
    }

    #[test]
    fn an_objective_is_met_by_the_share_that_it_names() {
        let attainment = |within, beyond| Attainment { owed: 0.99, within, beyond };
        assert_eq!(attainment(0, 0).is_met(), None);
        assert_eq!(attainment(99, 1).is_met(), Some(true));
        assert_eq!(attainment(98, 2).is_met(), Some(false));
    }
}
