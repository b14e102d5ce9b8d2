//! When requests of an open loop come, to which peer, how long: a function of the plan alone.
//!
//! Every peer computes the whole schedule and takes its own part of it, so that any number of peers
//! together sees the arrivals of one seed. Nothing here knows of a clock.

use super::lengths::Lengths;
use super::lines;
use super::plan::{Arrivals, Plan};
use crate::failure::Failure;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Exp};
use std::time::Duration;

/// One arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    /// When it is to come, from the beginning.
    pub(super) at: Duration,
    /// The peer that makes it.
    pub(super) peer: u32,
    pub(super) length: u32,
    /// Whether it comes after the warm-up.
    pub(super) measured: bool,
}

/// The arrivals of a run, in order.
#[derive(Debug)]
pub(super) struct Schedule {
    gaps: Gaps,
    lengths: Lengths,
    random: StdRng,
    /// Apart, so that the arrivals do not depend on the lengths.
    random_lengths: StdRng,
    peers: u32,
    warm_up: Duration,
    end: Option<Duration>,
    /// Measured arrivals that are left.
    left: u64,
    at: Duration,
    number: u64,
}

#[derive(Clone, Debug)]
enum Gaps {
    Exponential(Exp<f64>),
    Listed { gaps: std::vec::IntoIter<f64>, speed: f64 },
}

impl Schedule {
    /// # Errors
    /// [`Failure`]: the trace cannot be read.
    pub(super) fn new(plan: &Plan, lengths: Lengths) -> Result<Option<Self>, Failure> {
        let gaps = match &plan.arrivals {
            Arrivals::Closed { .. } => return Ok(None),
            Arrivals::Poisson { requests_per_s } => {
                let drawn = Exp::new(*requests_per_s);
                Gaps::Exponential(drawn.map_err(|error| Failure::arguments(error.to_string()))?)
            }
            Arrivals::Trace { path, speed } => {
                let gap =
                    |line: &str| line.parse::<f64>().ok().filter(|gap| (0.0..=1e9).contains(gap));
                let gaps = lines::read(path, "a gap in seconds", gap)?;
                Gaps::Listed { gaps: gaps.into_iter(), speed: *speed }
            }
        };
        Ok(Some(Self {
            gaps,
            lengths,
            random: StdRng::seed_from_u64(plan.seed),
            random_lengths: StdRng::seed_from_u64(!plan.seed),
            peers: plan.peers,
            warm_up: plan.warm_up,
            end: plan.end(),
            left: plan.requests.unwrap_or(u64::MAX),
            at: Duration::ZERO,
            number: 0,
        }))
    }
}

impl Iterator for Schedule {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        if self.left == 0 {
            return None;
        }
        let gap = match &mut self.gaps {
            Gaps::Exponential(drawn) => drawn.sample(&mut self.random),
            Gaps::Listed { gaps, speed } => gaps.next()? / *speed,
        };
        // Rates and speeds are bounded where they are typed, so that this is never out of range.
        self.at = self.at.saturating_add(Duration::try_from_secs_f64(gap).unwrap_or(Duration::MAX));
        if self.end.is_some_and(|end| end <= self.at) {
            self.left = 0;
            return None;
        }
        let measured = self.warm_up <= self.at;
        self.left -= u64::from(measured);
        let peer = self.random.random_range(0..self.peers);
        let length = self.lengths.draw(self.number, &mut self.random_lengths);
        self.number += 1;
        Some(Arrival { at: self.at, peer, length, measured })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bench::load::lengths::LengthRule;
    use std::path::PathBuf;

    pub(in crate::bench::load) fn plan(arrivals: Arrivals) -> Plan {
        Plan {
            socket: PathBuf::new(),
            function: "echo".to_owned(),
            seed: 11,
            peers: 4,
            arrivals,
            lengths: LengthRule::Longest,
            budget: None,
            warm_up: Duration::from_secs(1),
            duration: Some(Duration::from_secs(20)),
            requests: None,
            drain: Duration::ZERO,
            slots: 1,
            inputs: vec![],
            ranges: vec![],
            spin: Duration::ZERO,
        }
    }

    fn arrivals(plan: &Plan) -> Vec<Arrival> {
        let lengths = Lengths::new(&"uniform:1-9".parse().unwrap(), 9).unwrap();
        Schedule::new(plan, lengths).unwrap().unwrap().collect()
    }

    #[test]
    fn a_seed_gives_one_schedule_and_another_seed_another() {
        let poisson = plan(Arrivals::Poisson { requests_per_s: 500.0 });
        let once = arrivals(&poisson);
        assert_eq!(once, arrivals(&poisson));
        assert_ne!(once, arrivals(&Plan { seed: 12, ..poisson }));
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread_of_such() {
        let poisson = plan(Arrivals::Poisson { requests_per_s: 500.0 });
        let all = arrivals(&poisson);
        // 21 s at 500/s; the standard deviation of the count is its root, about 102.
        assert!((10_090..=10_910).contains(&all.len()), "{}", all.len());
        let warm = all.iter().filter(|arrival| !arrival.measured).count();
        assert!((410..=590).contains(&warm), "{warm}");
        assert!(all.iter().all(|arrival| arrival.measured == (arrival.at >= poisson.warm_up)));
        let gaps: Vec<f64> =
            all.windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs_f64()).collect();
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        let count = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / count;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
        assert!((mean - 0.002).abs() < 0.0001, "{mean}");
        // Of an exponential distribution the deviation is the mean.
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.05, "{variance}");
        for peer in 0..4 {
            let own = all.iter().filter(|arrival| arrival.peer == peer).count();
            assert!((2400..=2850).contains(&own), "peer {peer}: {own}");
        }
    }

    #[test]
    fn so_many_are_measured_and_no_more() {
        let poisson = plan(Arrivals::Poisson { requests_per_s: 500.0 });
        let all = arrivals(&Plan { requests: Some(100), duration: None, ..poisson });
        assert_eq!(all.iter().filter(|arrival| arrival.measured).count(), 100);
        assert!(all.last().unwrap().measured);
    }

    #[test]
    fn a_trace_is_played_at_its_speed_to_its_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0.5\n0\n1.5\n# the end\n").unwrap();
        let trace = |speed| plan(Arrivals::Trace { path: file.path().to_owned(), speed });
        let times = |plan: &Plan| -> Vec<u128> {
            arrivals(plan).iter().map(|arrival| arrival.at.as_millis()).collect()
        };
        assert_eq!(times(&trace(1.0)), [500, 500, 2000]);
        assert_eq!(times(&trace(10.0)), [50, 50, 200]);
        assert_eq!(
            times(&Plan { duration: Some(Duration::from_millis(500)), ..trace(1.0) }),
            [500, 500]
        );
        std::fs::write(file.path(), "0.5\n-1\n").unwrap();
        let wrong = Schedule::new(&trace(1.0), Lengths::fixed(9)).unwrap_err().to_string();
        assert!(wrong.contains("line 2: `-1`"), "{wrong}");
    }
}
