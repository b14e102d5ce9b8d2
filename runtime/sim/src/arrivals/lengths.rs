//! Lengths of requests.

use crate::file::{FileError, Source};
use crate::random::{Purpose, Random, stream};
use rand::RngExt;
use rand_distr::Distribution;
use rand_distr::weighted::WeightedAliasIndex;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// How long requests are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum LengthRule {
    /// All of one length.
    Fixed(u32),
    /// Any from the first to the second, alike often.
    Uniform(u32, u32),
    /// As often as a file says: `LENGTH COUNT` a line; from the scenario's folder where the path is
    /// relative.
    Histogram(PathBuf),
}

/// Lengths, lazily and without end.
#[derive(Debug)]
pub struct Lengths {
    kind: Kind,
    longest: u32,
    random: Random,
}

#[derive(Clone, Debug)]
enum Kind {
    Fixed(u32),
    Uniform(u32, u32),
    Histogram { lengths: Vec<u32>, counts: WeightedAliasIndex<f64> },
}

impl LengthRule {
    /// What is wrong with the rule's numbers, if anything.
    ///
    /// # Errors
    /// What to write instead.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Fixed(0) | Self::Uniform(0, _) => Err("lengths from 1 on".to_owned()),
            Self::Uniform(least, most) if least > most => {
                Err(format!("uniform lengths from the least to the most, not {least} to {most}"))
            }
            Self::Fixed(_) | Self::Uniform(..) | Self::Histogram(_) => Ok(()),
        }
    }

    /// The lengths of a seed. `index` tells the functions of one scenario apart; files are looked for
    /// from `folder`.
    ///
    /// # Errors
    /// [`FileError`]: a file that cannot be read, or a line of it that is not what it should be.
    pub fn lengths(&self, folder: &Path, seed: u64, index: u64) -> Result<Lengths, FileError> {
        let (kind, longest) = match self {
            Self::Fixed(length) => (Kind::Fixed(*length), *length),
            Self::Uniform(least, most) => (Kind::Uniform(*least, *most), *most),
            Self::Histogram(path) => read(&folder.join(path))?,
        };
        Ok(Lengths { kind, longest, random: stream(seed, Purpose::Lengths, index) })
    }
}

fn read(path: &Path) -> Result<(Kind, u32), FileError> {
    let source = Source::read(path)?;
    let (mut lengths, mut counts) = (Vec::new(), Vec::new());
    for (number, line) in source.lines() {
        let mut words = line.split_whitespace();
        let length = words.next().and_then(|word| word.parse().ok()).filter(|it| *it > 0u32);
        let count = words.next().and_then(|word| word.parse::<u32>().ok());
        let (Some(length), Some(count), None) = (length, count, words.next()) else {
            let what = format!("`{line}`: write LENGTH COUNT, lengths from 1 on");
            return Err(source.wrong_on(number, what));
        };
        lengths.push(length);
        counts.push(f64::from(count));
    }
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let counts = WeightedAliasIndex::new(counts)
        .map_err(|_| source.wrong("no length with a count above 0 is in it"))?;
    Ok((Kind::Histogram { lengths, counts }, longest))
}

impl Lengths {
    /// None is longer.
    pub fn longest(&self) -> u32 {
        self.longest
    }

    /// The next.
    pub fn draw(&mut self) -> u32 {
        match &self.kind {
            Kind::Fixed(length) => *length,
            Kind::Uniform(least, most) => self.random.random_range(*least..=*most),
            Kind::Histogram { lengths, counts } => lengths[counts.sample(&mut self.random)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_as_often_as_the_rule_says() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("h"), "# tokens count\n3 1\n9 0\n7 3\n").unwrap();
        let draw = |rule: LengthRule| {
            let mut lengths = rule.lengths(folder.path(), 5, 0).unwrap();
            let drawn: Vec<u32> = (0..40_000).map(|_| lengths.draw()).collect();
            assert!(drawn.iter().all(|length| *length <= lengths.longest()));
            move |length| drawn.iter().filter(|drawn| **drawn == length).count()
        };
        assert_eq!(draw(LengthRule::Fixed(4))(4), 40_000);
        let uniform = draw(LengthRule::Uniform(2, 5));
        assert!((2..=5).all(|length| (9_500..10_500).contains(&uniform(length))));
        let histogram = draw(LengthRule::Histogram("h".into()));
        assert!((9_500..10_500).contains(&histogram(3)) && histogram(9) == 0);
        assert_eq!(histogram(3) + histogram(7), 40_000);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        assert!(LengthRule::Fixed(0).check().is_err());
        assert!(LengthRule::Uniform(5, 2).check().is_err());
        let folder = tempfile::tempdir().unwrap();
        for (text, expected) in [
            ("3 1\n4\n", "h:2: `4`: write LENGTH COUNT"),
            ("0 1\n", "h:1: `0 1`"),
            ("3 1 1\n", "h:1"),
            ("3 0\n", "h: no length with a count"),
            ("", "h: no length with a count"),
        ] {
            std::fs::write(folder.path().join("h"), text).unwrap();
            let rule = LengthRule::Histogram("h".into());
            let error = rule.lengths(folder.path(), 0, 0).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
