//! What a peer's requests came to, and its one line of text.

use gpumux_shim::Outcome;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Requests by how they ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests submitted.
    pub submitted: u64,
    /// By outcome; refusals by their reason.
    pub ended: BTreeMap<String, u64>,
}

impl Tally {
    /// One request ended.
    pub fn count(&mut self, outcome: Outcome) {
        let label = match outcome {
            Outcome::Refused(refusal) => refusal.reason.label(),
            other => other.label(),
        };
        *self.ended.entry(label.to_owned()).or_default() += 1;
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.submitted += other.submitted;
        for (label, count) in &other.ended {
            *self.ended.entry(label.clone()).or_default() += count;
        }
    }

    /// Requests that ended.
    pub fn outcomes(&self) -> u64 {
        self.ended.values().sum()
    }

    /// Requests that ended in another way than these.
    pub fn other_than(&self, labels: &[&str]) -> u64 {
        let others = self.ended.iter().filter(|(label, _)| !labels.contains(&label.as_str()));
        others.map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "submitted={}", self.submitted)?;
        self.ended.iter().try_for_each(|(label, count)| write!(out, " {label}={count}"))
    }
}

impl FromStr for Tally {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut tally = Self::default();
        for part in text.split_whitespace() {
            let wrong = || format!("a peer said {text:?}");
            let (label, count) = part.split_once('=').ok_or_else(wrong)?;
            let count = count.parse().map_err(|_| wrong())?;
            match label {
                "submitted" => tally.submitted = count,
                label => drop(tally.ended.insert(label.to_owned(), count)),
            }
        }
        Ok(tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpumux_shim::{Reason, Refusal};

    #[test]
    fn a_tally_survives_its_line() {
        let mut tally = Tally { submitted: 3, ..Tally::default() };
        tally.count(Outcome::Done);
        tally.count(Outcome::Done);
        tally.count(Outcome::Refused(Refusal::because(Reason::Poison)));
        assert_eq!(tally.to_string().parse(), Ok(tally.clone()));
        assert_eq!((tally.outcomes(), tally.other_than(&["done"])), (3, 1));
        assert!("done".parse::<Tally>().is_err());
    }
}
