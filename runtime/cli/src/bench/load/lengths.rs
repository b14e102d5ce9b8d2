//! How long requests are: a rule as it is typed, and the lengths that it draws.

use super::lines;
use crate::failure::Failure;
use rand::RngExt;
use rand::rngs::StdRng;
use rand_distr::{Distribution, LogNormal};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::str::FromStr;

/// How many standard deviations above its mean the 99th percentile of a normal distribution lies.
const P99_DEVIATIONS: f64 = 2.326_347_874_040_841;

/// A rule, as it is typed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum LengthRule {
    /// The longest that the function takes.
    Longest,
    Fixed(u32),
    Uniform {
        least: u32,
        most: u32,
    },
    LogNormal {
        median: f64,
        p99: f64,
    },
    File(PathBuf),
}

impl FromStr for LengthRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let whole = |text: &str| text.parse::<u32>().ok().filter(|length| *length > 0);
        let (kind, rule) = text.split_once(':').unwrap_or(("fixed", text));
        let parsed = match kind {
            "fixed" => whole(rule).map(Self::Fixed),
            "uniform" => rule.split_once('-').and_then(|(least, most)| {
                let (least, most) = (whole(least)?, whole(most)?);
                (least <= most).then_some(Self::Uniform { least, most })
            }),
            "lognormal" => rule.split_once(',').and_then(|(median, p99)| {
                let (median, p99): (f64, f64) = (median.parse().ok()?, p99.parse().ok()?);
                let sane = median >= 1.0 && median <= p99 && p99.is_finite();
                sane.then_some(Self::LogNormal { median, p99 })
            }),
            "file" => (!rule.is_empty()).then(|| Self::File(rule.into())),
            _ => None,
        };
        parsed.ok_or_else(|| {
            "write N, uniform:LEAST-MOST, lognormal:MEDIAN,P99 (1 <= MEDIAN <= P99) or file:PATH; \
             lengths start at 1"
                .to_owned()
        })
    }
}

/// Lengths of one run.
#[derive(Clone, Debug)]
pub(super) struct Lengths {
    kind: Kind,
    most: u32,
}

#[derive(Clone, Debug)]
enum Kind {
    Fixed(u32),
    Uniform { least: u32, most: u32 },
    LogNormal(LogNormal<f64>),
    Listed(Vec<u32>),
}

impl Lengths {
    /// # Errors
    /// [`Failure`]: a rule that asks for what the function does not serve, or a bad file.
    pub(super) fn new(rule: &LengthRule, most: u32) -> Result<Self, Failure> {
        let kind = match rule {
            LengthRule::Longest => Kind::Fixed(most),
            LengthRule::Fixed(length) => Kind::Fixed(*length),
            LengthRule::Uniform { least, most } => Kind::Uniform { least: *least, most: *most },
            LengthRule::LogNormal { median, p99 } => {
                let deviation = (p99.ln() - median.ln()) / P99_DEVIATIONS;
                let drawn = LogNormal::new(median.ln(), deviation);
                Kind::LogNormal(drawn.map_err(|error| Failure::arguments(error.to_string()))?)
            }
            LengthRule::File(path) => {
                let length = |line: &str| line.parse::<u32>().ok().filter(|length| *length > 0);
                Kind::Listed(lines::read(path, "a length from 1 on", length)?)
            }
        };
        let asked = match &kind {
            Kind::Fixed(length) => *length,
            Kind::Uniform { most, .. } => *most,
            Kind::Listed(lengths) => lengths.iter().copied().max().unwrap_or(0),
            Kind::LogNormal(_) => 1,
        };
        if asked > most {
            return Err(Failure::arguments(format!(
                "--length asks for {asked}, and the function takes at most {most}"
            )));
        }
        Ok(Self { kind, most })
    }

    /// One length for all.
    pub(super) fn fixed(length: u32) -> Self {
        Self { kind: Kind::Fixed(length), most: length }
    }

    /// The longest that may be drawn.
    pub(super) fn longest(&self) -> u32 {
        match &self.kind {
            Kind::Fixed(length) => *length,
            Kind::Uniform { most, .. } => *most,
            Kind::Listed(lengths) => lengths.iter().copied().max().unwrap_or(1),
            Kind::LogNormal(_) => self.most,
        }
    }

    /// The length of the request of this number, from 0 on.
    pub(super) fn draw(&self, number: u64, random: &mut StdRng) -> u32 {
        match &self.kind {
            Kind::Fixed(length) => *length,
            Kind::Uniform { least, most } => random.random_range(*least..=*most),
            Kind::LogNormal(drawn) => self.nearest(drawn.sample(random)),
            Kind::Listed(lengths) => {
                let turn = number % lengths.len() as u64;
                lengths[usize::try_from(turn).expect("it is below a length")]
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped")]
    fn nearest(&self, drawn: f64) -> u32 {
        drawn.round().clamp(1.0, f64::from(self.most)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn drawn(rule: &str, most: u32, count: u64) -> Vec<u32> {
        let lengths = Lengths::new(&rule.parse().unwrap(), most).unwrap();
        let mut random = StdRng::seed_from_u64(7);
        let drawn: Vec<u32> = (0..count).map(|number| lengths.draw(number, &mut random)).collect();
        assert!(drawn.iter().all(|length| (1..=lengths.longest()).contains(length)));
        drawn
    }

    #[test]
    fn rules_draw_what_they_say() {
        assert_eq!(drawn("7", 7, 3), [7, 7, 7]);
        let mut uniform = drawn("uniform:3-5", 128, 1000);
        uniform.sort_unstable();
        uniform.dedup();
        assert_eq!(uniform, [3, 4, 5]);
        let mut normal = drawn("lognormal:20,100", 1000, 20_000);
        normal.sort_unstable();
        assert!((19..=21).contains(&normal[10_000]), "{}", normal[10_000]);
        assert!((90..=110).contains(&normal[19_800]), "{}", normal[19_800]);
        assert!(drawn("lognormal:20,100", 30, 1000).contains(&30));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "# three\n3\n\n1\n2\n").unwrap();
        assert_eq!(drawn(&format!("file:{}", file.path().display()), 3, 5), [3, 1, 2, 3, 1]);
    }

    #[test]
    fn what_is_no_rule_or_too_long_is_refused() {
        for rule in ["0", "x", "uniform:5-3", "uniform:0-3", "lognormal:9,3", "normal:1", "file:"] {
            assert!(rule.parse::<LengthRule>().is_err(), "{rule}");
        }
        for rule in ["9", "uniform:1-9"] {
            assert!(Lengths::new(&rule.parse().unwrap(), 8).is_err(), "{rule}");
        }
    }
}
