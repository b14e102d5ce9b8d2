//! A latency objective: which share of requests must end within which span.

use super::span::Span;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Written as `p99 < 50ms`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Objective {
    /// In percent, between 0 and 100.
    pub(crate) percentile: f64,
    /// What that share of requests must stay below.
    pub(crate) bound: Span,
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no objective: write it like `p99 < 50ms`");
        let (quantile, bound) = text.split_once('<').ok_or_else(wrong)?;
        let percentile = quantile.trim().strip_prefix('p').ok_or_else(wrong)?;
        let percentile: f64 = percentile.parse().map_err(|_| wrong())?;
        let bound = humantime::parse_duration(bound.trim()).map_err(|_| wrong())?;
        if !(0.0 < percentile && percentile < 100.0) || bound.is_zero() {
            return Err(wrong());
        }
        Ok(Self { percentile, bound: Span(bound) })
    }
}

impl TryFrom<String> for Objective {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{} < {}", self.percentile, humantime::format_duration(self.bound.0))
    }
}

impl From<Objective> for String {
    fn from(objective: Objective) -> Self {
        objective.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_come_back_as_they_were_written() {
        for text in ["p99 < 50ms", "p99.9 < 2s", "p50 < 100us"] {
            let objective: Objective = text.parse().unwrap();
            assert_eq!(objective.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_objective_is_refused_with_an_example() {
        for text in ["", "p99", "99 < 50ms", "p99 < 50", "p0 < 1ms", "p100 < 1ms", "p99 < 0s"] {
            let error = text.parse::<Objective>().unwrap_err();
            assert!(error.contains("p99 < 50ms"), "{text}: {error}");
        }
    }
}
