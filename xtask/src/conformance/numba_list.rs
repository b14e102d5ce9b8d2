//! What is expected of numba-cuda's tests: those that pass, pinned by name, and every other one
//! under its cause. A cause names what the failure has to say, so that no other failure hides
//! behind it.

use crate::failure::{Failure, Step};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Tests that pass: a class and its tests, a line each.
const GREEN: &str = "numba-green.txt";
/// The others: a cause in brackets, what they say, and the tests as above.
const CAUSES: &str = "numba-causes.txt";
/// What all names of tests begin with.
const PREFIX: &str = "numba.cuda.tests.";
/// The part of the tests that has to pass.
const GREEN_PERCENT_MIN: usize = 75;

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It passed.
    Passed,
    /// It was skipped by its own doing, with these words.
    Skipped(String),
    /// It failed with these words.
    Failed(String),
}

/// What became of each test.
#[derive(Default)]
pub(super) struct Outcomes {
    by_test: BTreeMap<String, Outcome>,
    begun: Option<String>,
}

impl Outcomes {
    /// Reads what the runner noted.
    pub(super) fn parse(text: &str) -> Self {
        let mut outcomes = Self::default();
        for line in text.lines() {
            let mut parts = line.splitn(3, '\t');
            let (kind, name) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
            let why = parts.next().unwrap_or("").to_owned();
            match kind {
                "start" => outcomes.begun = Some(name.to_owned()),
                "ok" => outcomes.enter(name, Outcome::Passed),
                "skip" => outcomes.enter(name, Outcome::Skipped(why)),
                "fail" => outcomes.enter(name, Outcome::Failed(why)),
                // A line that was cut off when its process ended.
                _ => {}
            }
        }
        outcomes
    }

    fn enter(&mut self, test: &str, outcome: Outcome) {
        self.begun = None;
        self.by_test.insert(test.strip_prefix(PREFIX).unwrap_or(test).to_owned(), outcome);
    }

    /// The test that began and did not end, by its whole name.
    pub(super) fn begun(&self) -> Option<String> {
        self.begun.clone()
    }

    /// Takes in those of another module.
    pub(super) fn extend(&mut self, other: Self) {
        self.by_test.extend(other.by_test);
    }

    fn green(&self) -> impl Iterator<Item = &String> {
        self.by_test
            .iter()
            .filter(|(_, outcome)| **outcome == Outcome::Passed)
            .map(|(name, _)| name)
    }

    /// Counts in words.
    pub(super) fn summary(&self) -> String {
        let count = |wanted: fn(&Outcome) -> bool| {
            self.by_test.values().filter(|outcome| wanted(outcome)).count()
        };
        let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let (green, all) = (self.green().count(), self.by_test.len());
        format!("{green} of {all} pass, {skipped} are skipped, {failed} fail")
    }

    /// Those that did not pass, and why.
    pub(super) fn not_green(&self) -> String {
        let mut text = String::new();
        for (test, outcome) in &self.by_test {
            if let Outcome::Skipped(why) | Outcome::Failed(why) = outcome {
                writeln!(text, "{test}: {why}").expect("text grows");
            }
        }
        text
    }
}

/// A cause: what it is, what its tests say, and the tests.
#[derive(Debug, Default)]
struct Cause {
    says: Vec<String>,
    tests: BTreeSet<String>,
}

/// The two lists.
pub(super) struct Lists {
    green: BTreeSet<String>,
    causes: BTreeMap<String, Cause>,
}

/// The tests of a line: a class, and names in it.
fn tests(line: &str) -> impl Iterator<Item = String> {
    let mut words = line.split_whitespace();
    let class = words.next().unwrap_or("");
    words.map(move |name| format!("{class}.{name}"))
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn causes(text: &str) -> Result<BTreeMap<String, Cause>, String> {
    let mut causes: BTreeMap<String, Cause> = BTreeMap::new();
    let mut current = String::new();
    for line in lines(text) {
        if let Some(cause) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            current = cause.to_owned();
            continue;
        }
        if current.is_empty() {
            return Err(format!("no cause above: {line}"));
        }
        let cause = causes.entry(current.clone()).or_default();
        match line.strip_prefix("says ") {
            Some(words) => cause.says.push(words.to_owned()),
            None => cause.tests.extend(tests(line)),
        }
    }
    match causes.iter().find(|(_, cause)| cause.says.is_empty()) {
        Some((cause, _)) => Err(format!("a cause without what it says: {cause}")),
        None => Ok(causes),
    }
}

/// A list of causes without some of its tests.
fn without(text: &str, gone: impl Fn(&str) -> bool) -> String {
    let mut kept = String::new();
    for line in text.lines() {
        let is_tests =
            lines(line).next().is_some() && !line.starts_with('[') && !line.starts_with("says ");
        if !is_tests {
            writeln!(kept, "{line}").expect("text grows");
            continue;
        }
        let left: Vec<_> = tests(line).filter(|test| !gone(test)).collect();
        if let Some((class, _)) = left.first().and_then(|test| test.rsplit_once('.')) {
            let names = left.iter().filter_map(|test| test.rsplit('.').next());
            writeln!(kept, "{class} {}", names.collect::<Vec<_>>().join(" ")).expect("text grows");
        }
    }
    kept
}

impl Lists {
    /// Reads both from a folder.
    pub(super) fn read(folder: &Path) -> Result<Self, Failure> {
        let read =
            |name: &str| fs::read_to_string(folder.join(name)).step(|| format!("read {name}"));
        let green = lines(&read(GREEN)?).flat_map(tests).collect();
        let causes = causes(&read(CAUSES)?).step(|| format!("read {CAUSES}"))?;
        Ok(Self { green, causes })
    }

    /// Writes the tests that passed and takes them out of the causes. Causes of others are written
    /// by hand; those that have none are said.
    pub(super) fn bless(folder: &Path, outcomes: &Outcomes) -> Result<(), Failure> {
        let mut classes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for test in outcomes.green() {
            let (class, name) = test.rsplit_once('.').unwrap_or(("", test));
            classes.entry(class).or_default().push(name);
        }
        let mut text = "# Tests of numba-cuda that pass on the emulator; written by \
                        `cargo xtask conformance numba --bless`.\n"
            .to_owned();
        for (class, names) in classes {
            writeln!(text, "{class} {}", names.join(" ")).expect("text grows");
        }
        fs::write(folder.join(GREEN), text).step(|| format!("write {GREEN}"))?;
        let causes = fs::read_to_string(folder.join(CAUSES)).step(|| format!("read {CAUSES}"))?;
        let passed = |test: &str| outcomes.by_test.get(test) == Some(&Outcome::Passed);
        fs::write(folder.join(CAUSES), without(&causes, passed))
            .step(|| format!("write {CAUSES}"))?;
        Self::read(folder)?.judge(outcomes)
    }

    /// Fails where anything is not as listed.
    pub(super) fn judge(&self, outcomes: &Outcomes) -> Result<(), Failure> {
        let news = self.news(outcomes);
        for line in &news {
            println!("{line}");
        }
        let (green, all) = (outcomes.green().count(), outcomes.by_test.len());
        if green * 100 < GREEN_PERCENT_MIN * all {
            return Err(Failure::new("pass numba-cuda's tests", format!("{green} of {all} pass")));
        }
        match news.len() {
            0 => Ok(()),
            count => Err(Failure::new(
                "find numba-cuda's tests as they are listed",
                format!("{count} differ, named above"),
            )),
        }
    }

    fn news(&self, outcomes: &Outcomes) -> Vec<String> {
        let mut news = Vec::new();
        for (test, outcome) in &outcomes.by_test {
            let is_green = self.green.contains(test);
            let cause = self.causes.iter().find(|(_, cause)| cause.tests.contains(test));
            match (outcome, is_green, cause) {
                (Outcome::Passed, true, None) => {}
                (Outcome::Passed, _, _) => news.push(format!("{test} passes and is not listed so")),
                (Outcome::Skipped(why) | Outcome::Failed(why), false, Some((name, cause))) => {
                    if !cause.says.iter().any(|words| why.contains(words.as_str())) {
                        news.push(format!("{test} is listed under `{name}` and says: {why}"));
                    }
                }
                (Outcome::Skipped(why) | Outcome::Failed(why), _, _) => {
                    news.push(format!("{test} does not pass: {why}"));
                }
            }
        }
        let listed = self.green.iter().chain(self.causes.values().flat_map(|cause| &cause.tests));
        let gone = listed.filter(|test| !outcomes.by_test.contains_key(*test));
        news.extend(gone.map(|test| format!("{test} is listed and did not run")));
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    fn lists() -> Lists {
        let text =
            "[printing is refused]\nsays INVALID_PTX\ncudapy.test_print.Test test_a test_b\n";
        let green = ["cudapy.test_lang.Test.test_c".to_owned()].into();
        Lists { green, causes: causes(text).unwrap() }
    }

    fn outcomes(c: &str, a: &str, b: &str) -> Outcomes {
        Outcomes::parse(&format!("start\t{PREFIX}cudapy.test_lang.Test.test_c\n{c}\n{a}\n{b}\n"))
    }

    const C_PASSES: &str = "ok\tnumba.cuda.tests.cudapy.test_lang.Test.test_c\t";
    const A_REFUSED: &str = "fail\tnumba.cuda.tests.cudapy.test_print.Test.test_a\tE: INVALID_PTX";
    const B_REFUSED: &str = "fail\tnumba.cuda.tests.cudapy.test_print.Test.test_b\tE: INVALID_PTX";

    #[test]
    fn what_is_as_listed_is_no_news() {
        assert!(lists().news(&outcomes(C_PASSES, A_REFUSED, B_REFUSED)).is_empty());
    }

    #[test]
    fn a_wrong_result_does_not_hide_behind_a_cause() {
        let wrong = "fail\tnumba.cuda.tests.cudapy.test_print.Test.test_a\tAssertionError: 1 != 2";
        assert_eq!(lists().news(&outcomes(C_PASSES, wrong, B_REFUSED)).len(), 1);
    }

    #[test]
    fn what_passes_must_be_listed_as_passing_and_the_other_way_round() {
        let passes = "ok\tnumba.cuda.tests.cudapy.test_print.Test.test_a\t";
        assert_eq!(lists().news(&outcomes(C_PASSES, passes, B_REFUSED)).len(), 1);
        let fails = "fail\tnumba.cuda.tests.cudapy.test_lang.Test.test_c\tINVALID_PTX";
        assert_eq!(lists().news(&outcomes(fails, A_REFUSED, B_REFUSED)).len(), 1);
    }

    #[test]
    fn tests_are_taken_out_of_the_causes() {
        let text = "# why\n[a cause]\nsays REFUSED\nm.C a b\nm.D a\n";
        let gone = |test: &str| ["m.C.a", "m.D.a"].contains(&test);
        assert_eq!(without(text, gone), "# why\n[a cause]\nsays REFUSED\nm.C b\n");
    }

    #[test]
    fn a_listed_test_that_did_not_run_is_news() {
        assert_eq!(lists().news(&outcomes(C_PASSES, A_REFUSED, "")).len(), 1);
    }

    #[test]
    fn a_test_that_did_not_end_is_known() {
        let begun = Outcomes::parse("start\tnumba.cuda.tests.a.B.c\n");
        assert_eq!(begun.begun().as_deref(), Some("numba.cuda.tests.a.B.c"));
        assert_eq!(outcomes(C_PASSES, "", "").begun(), None);
    }

    #[test]
    fn the_committed_lists_are_understood() {
        let lists = Lists::read(&tree::root().join("ffi/emulator/conformance")).unwrap();
        let both = lists.causes.values().flat_map(|cause| &cause.tests);
        assert!(!lists.green.is_empty() && both.clone().next().is_some());
        assert_eq!(both.filter(|test| lists.green.contains(*test)).count(), 0, "listed as both");
    }
}
