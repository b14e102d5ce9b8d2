//! Gaps between arrivals, in seconds.
//!
//! Every process is given by its mean rate, so that they can be exchanged for each other:
//! *poisson* has exponential gaps; *gamma* has gaps of a Gamma distribution with a coefficient of
//! variation, above 1 more bursty than Poisson, below 1 more regular; *mmpp2* is a Poisson process
//! whose rate is one of two and changes between them after exponential times.

use crate::file::{FileError, Source};
use crate::random::{Purpose, Random, stream};
use rand_distr::{Distribution, Exp, Gamma};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// No gap is longer, in seconds: thirty years, far below what simulated time can hold.
const GAP_S_MAX: f64 = 1e9;
/// No rate is higher: below a nanosecond gaps have no meaning.
const PER_S_MAX: f64 = 1e8;

/// How arrivals come.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "process", rename_all = "lowercase", deny_unknown_fields)]
pub enum GapRule {
    /// Exponential gaps.
    Poisson {
        /// Arrivals a second.
        per_s: f64,
    },
    /// A Poisson process whose rate is one of two.
    Mmpp2 {
        /// Arrivals a second in each of the two.
        per_s: [f64; 2],
        /// How often a second each of the two is left.
        leave_per_s: [f64; 2],
    },
    /// Gaps of a Gamma distribution.
    Gamma {
        /// Arrivals a second.
        per_s: f64,
        /// Standard deviation of a gap, as a multiple of its mean.
        cv: f64,
    },
    /// A file with one gap in seconds a line.
    File {
        /// The file; from the scenario's folder where it is relative.
        path: PathBuf,
        /// How many times as fast as it was written.
        #[serde(default = "as_written")]
        speed: f64,
    },
}

fn as_written() -> f64 {
    1.0
}

/// Gaps, lazily. A file's end; a process's do not.
#[derive(Debug)]
pub struct Gaps {
    process: Process,
    random: Random,
}

#[derive(Clone, Debug)]
enum Process {
    Poisson(Exp<f64>),
    Gamma(Gamma<f64>),
    Mmpp2 { per_s: [f64; 2], leave_per_s: [f64; 2], state: usize },
    File(std::vec::IntoIter<f64>),
}

impl GapRule {
    /// Whether arrivals end by themselves.
    pub fn ends(&self) -> bool {
        matches!(self, Self::File { .. })
    }

    /// What is wrong with the rule's numbers, if anything.
    ///
    /// # Errors
    /// What to write instead.
    pub fn check(&self) -> Result<(), String> {
        let rate = |per_s: f64| {
            let sane = per_s > 0.0 && per_s <= PER_S_MAX;
            sane.then_some(()).ok_or_else(|| {
                format!("a rate above 0 and up to {PER_S_MAX} a second, not {per_s}")
            })
        };
        match self {
            Self::Poisson { per_s } => rate(*per_s),
            Self::Mmpp2 { per_s, leave_per_s } => {
                // One of the two may be silent.
                rate(per_s[0].max(per_s[1]))?;
                rate(per_s[0].min(per_s[1]).max(f64::MIN_POSITIVE))?;
                leave_per_s.iter().try_for_each(|leave| rate(*leave))
            }
            Self::Gamma { per_s, cv } => {
                rate(*per_s)?;
                let sane = (0.01..=100.0).contains(cv);
                sane.then_some(()).ok_or_else(|| format!("a `cv` from 0.01 to 100, not {cv}"))
            }
            Self::File { speed, .. } => {
                let sane = *speed > 0.0 && *speed <= 1e6;
                sane.then_some(())
                    .ok_or_else(|| format!("a `speed` above 0 and up to 1e6, not {speed}"))
            }
        }
    }

    /// The gaps of a seed. `index` tells the sources of one scenario apart; files are looked for from
    /// `folder`.
    ///
    /// # Errors
    /// [`FileError`]: a file that cannot be read, or a line of it that is no gap.
    ///
    /// # Panics
    /// On a rule that [`GapRule::check`] refuses.
    pub fn gaps(&self, folder: &Path, seed: u64, index: u64) -> Result<Gaps, FileError> {
        let checked = "the rule was checked";
        let process = match self {
            Self::Poisson { per_s } => Process::Poisson(Exp::new(*per_s).expect(checked)),
            Self::Mmpp2 { per_s, leave_per_s } => {
                Process::Mmpp2 { per_s: *per_s, leave_per_s: *leave_per_s, state: 0 }
            }
            Self::Gamma { per_s, cv } => {
                let shape = 1.0 / (cv * cv);
                Process::Gamma(Gamma::new(shape, 1.0 / (per_s * shape)).expect(checked))
            }
            Self::File { path, speed } => {
                let gaps = read(&folder.join(path))?;
                let faster: Vec<f64> = gaps.into_iter().map(|gap| gap / speed).collect();
                Process::File(faster.into_iter())
            }
        };
        Ok(Gaps { process, random: stream(seed, Purpose::Gaps, index) })
    }
}

/// The gaps in a file.
fn read(path: &Path) -> Result<Vec<f64>, FileError> {
    let source = Source::read(path)?;
    let mut gaps = Vec::new();
    for (number, line) in source.lines() {
        let gap = line.parse().ok().filter(|gap| (0.0..=GAP_S_MAX).contains(gap));
        let wrong = || source.wrong_on(number, format!("`{line}` is no gap in seconds, 0 or more"));
        gaps.push(gap.ok_or_else(wrong)?);
    }
    if gaps.is_empty() {
        return Err(source.wrong("no gap is in it: write one a line, in seconds"));
    }
    Ok(gaps)
}

impl Iterator for Gaps {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        let random = &mut self.random;
        Some(match &mut self.process {
            Process::Poisson(gap) => gap.sample(random),
            Process::Gamma(gap) => gap.sample(random),
            Process::Mmpp2 { per_s, leave_per_s, state } => {
                let mut gap = 0.0;
                loop {
                    let (arrive, leave) = (per_s[*state], leave_per_s[*state]);
                    // Whichever is first: exponential with the sum of the rates, and which of the two
                    // it was does not depend on when.
                    let first: f64 = rand_distr::Exp1.sample(random);
                    gap += first / (arrive + leave);
                    let which: f64 = rand_distr::StandardUniform.sample(random);
                    if which * (arrive + leave) < arrive {
                        break gap;
                    }
                    *state = 1 - *state;
                }
            }
            Process::File(gaps) => return gaps.next(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps(rule: &GapRule, seed: u64, count: usize) -> Vec<f64> {
        rule.check().unwrap();
        rule.gaps(Path::new(""), seed, 0).unwrap().take(count).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "some hundred thousand")]
    fn mean_and_cv(gaps: &[f64]) -> (f64, f64) {
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let squares = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>();
        (mean, (squares / gaps.len() as f64).sqrt() / mean)
    }

    #[test]
    fn a_seed_gives_one_sequence_and_another_seed_another() {
        let rule = GapRule::Poisson { per_s: 10.0 };
        assert_eq!(gaps(&rule, 3, 100), gaps(&rule, 3, 100));
        assert_ne!(gaps(&rule, 3, 100), gaps(&rule, 4, 100));
    }

    #[test]
    fn processes_have_the_rate_and_the_spread_that_they_are_given() {
        for (rule, mean, cv) in [
            (GapRule::Poisson { per_s: 50.0 }, 0.02, 1.0),
            (GapRule::Gamma { per_s: 50.0, cv: 0.5 }, 0.02, 0.5),
            (GapRule::Gamma { per_s: 50.0, cv: 3.0 }, 0.02, 3.0),
            // Of equal rates the switching is not seen.
            (GapRule::Mmpp2 { per_s: [50.0; 2], leave_per_s: [1.0, 2.0] }, 0.02, 1.0),
            // A third of the time at 10, two thirds at 100: 70 a second. By the formula for an
            // MMPP(2), the squared cv is 1 + 2·20·10·90² / (30²·(10·100 + 10·10 + 100·20)).
            (GapRule::Mmpp2 { per_s: [10.0, 100.0], leave_per_s: [20.0, 10.0] }, 1.0 / 70.0, 1.470),
        ] {
            let (seen_mean, seen_cv) = mean_and_cv(&gaps(&rule, 1, 200_000));
            assert!((seen_mean / mean - 1.0).abs() < 0.03, "{rule:?}: mean {seen_mean}");
            assert!((seen_cv / cv - 1.0).abs() < 0.05, "{rule:?}: cv {seen_cv}");
        }
    }

    #[test]
    fn a_file_is_played_to_its_end_and_a_wrong_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |text: &str| std::fs::write(folder.path().join("gaps"), text).unwrap();
        let rule = GapRule::File { path: "gaps".into(), speed: 2.0 };
        let read = || rule.gaps(folder.path(), 0, 0).map(Iterator::collect::<Vec<f64>>);
        write("# gaps\n0.5\n\n 1 \n0\n");
        assert_eq!(read().unwrap(), [0.25, 0.5, 0.0]);
        for (text, expected) in [
            ("0.5\n-1\n", "gaps:2: `-1` is no gap"),
            ("# a\n\nnan", "gaps:3: `nan`"),
            ("1e99", "gaps:1: `1e99`"),
            ("# nothing", "gaps: no gap is in it"),
        ] {
            write(text);
            let error = read().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        std::fs::remove_file(folder.path().join("gaps")).unwrap();
        assert!(matches!(read(), Err(FileError::Unreadable { .. })));
    }

    #[test]
    fn rules_that_mean_nothing_are_refused() {
        for rule in [
            GapRule::Poisson { per_s: 0.0 },
            GapRule::Poisson { per_s: f64::NAN },
            GapRule::Gamma { per_s: 1.0, cv: 0.0 },
            GapRule::Mmpp2 { per_s: [0.0, 0.0], leave_per_s: [1.0, 1.0] },
            GapRule::Mmpp2 { per_s: [-1.0, 5.0], leave_per_s: [1.0, f64::INFINITY] },
            GapRule::File { path: "x".into(), speed: 0.0 },
        ] {
            assert!(rule.check().is_err(), "{rule:?}");
        }
        assert!(GapRule::Mmpp2 { per_s: [0.0, 5.0], leave_per_s: [1.0, 1.0] }.check().is_ok());
    }
}
