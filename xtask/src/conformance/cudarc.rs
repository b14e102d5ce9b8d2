//! cudarc's own tests: the crate that gpumux reaches drivers through, at the level that it uses.
//!
//! Cargo has the crate's source, so its tests are built from there. The compiler that they call and
//! its headers are fetched as Python packages.

use super::cudarc_run::{Outcome, Program};
use crate::failure::{Failure, Step};
use crate::links;
use crate::python::Environment;
use crate::tree;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Which tests may fail, and why: a line for each, `fails NAME: WHY` or `varies NAME: WHY`.
const LIST: &str = "ffi/emulator/conformance/cudarc.txt";
/// The compiler and its headers.
const REQUIREMENTS: &str = "ffi/emulator/conformance/cudarc-requirements.txt";

/// What is expected of a listed test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// It fails.
    Fails,
    /// It may do either, as it compares times.
    Varies,
}

pub(super) fn run(library: &Path) -> Result<(), Failure> {
    let root = tree::root();
    let listed = read(&root.join(LIST))?;
    let environment = Environment::prepare("conformance-cudarc", &root.join(REQUIREMENTS))?;
    let links = links::make(library, &environment.scratch()?)?;
    let packages = environment.packages()?.join("nvidia");
    let program = Program::build(&links, &packages)?;
    let outcomes = program.run_all()?;
    report(&judge(&outcomes, &listed), &outcomes, &listed)
}

fn read(path: &Path) -> Result<BTreeMap<String, Expected>, Failure> {
    let text = fs::read_to_string(path).step(|| format!("read {}", path.display()))?;
    parse(&text).map_err(|line| Failure::new(format!("read {}", path.display()), line))
}

fn parse(text: &str) -> Result<BTreeMap<String, Expected>, String> {
    let mut listed = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let parts = line.split_once(' ').and_then(|(kind, rest)| {
            let kind = match kind {
                "fails" => Expected::Fails,
                "varies" => Expected::Varies,
                _ => return None,
            };
            let (name, why) = rest.split_once(": ")?;
            (!why.trim().is_empty()).then_some((name, kind))
        });
        let (name, kind) = parts.ok_or_else(|| format!("not understood: {line}"))?;
        if listed.insert(name.to_owned(), kind).is_some() {
            return Err(format!("listed twice: {name}"));
        }
    }
    Ok(listed)
}

/// What is not as the list has it, in words.
fn judge(outcomes: &BTreeMap<String, Outcome>, listed: &BTreeMap<String, Expected>) -> Vec<String> {
    let mut news = Vec::new();
    for (name, outcome) in outcomes {
        match (outcome, listed.get(name)) {
            (Outcome::Failed, None) => news.push(format!("{name} fails")),
            (Outcome::Passed, Some(Expected::Fails)) => {
                news.push(format!("{name} passes: take it off the list"));
            }
            (Outcome::Passed | Outcome::Failed, _) => {}
        }
    }
    let unknown = listed.keys().filter(|name| !outcomes.contains_key(*name));
    news.extend(unknown.map(|name| format!("{name} is listed and does not exist")));
    news
}

fn report(
    news: &[String],
    outcomes: &BTreeMap<String, Outcome>,
    listed: &BTreeMap<String, Expected>,
) -> Result<(), Failure> {
    let passed = outcomes.values().filter(|outcome| **outcome == Outcome::Passed).count();
    println!("cudarc: {passed} of {} tests pass; {} are listed", outcomes.len(), listed.len());
    if news.is_empty() {
        return Ok(());
    }
    Err(Failure::new("pass cudarc's tests", news.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_list_is_understood() {
        assert!(read(&tree::root().join(LIST)).is_ok_and(|listed| !listed.is_empty()));
    }

    #[test]
    fn a_line_without_a_reason_is_refused() {
        for text in ["fails a::b", "fails a::b: ", "sometimes a::b: why", "a::b: why"] {
            assert!(parse(text).is_err(), "{text} was taken");
        }
    }

    #[test]
    fn only_what_is_news_is_news() {
        let listed = parse("fails old: why\nvaries slow: why\nfails gone: why").unwrap();
        let outcomes = |entries: &[(&str, Outcome)]| {
            entries.iter().map(|(name, outcome)| ((*name).to_owned(), *outcome)).collect()
        };
        use Outcome::{Failed, Passed};
        let as_listed =
            outcomes(&[("good", Passed), ("old", Failed), ("slow", Passed), ("gone", Failed)]);
        assert!(judge(&as_listed, &listed).is_empty());
        let other = outcomes(&[("good", Failed), ("old", Passed), ("slow", Failed)]);
        assert_eq!(judge(&other, &listed).len(), 3, "one fails, one passes, one is gone");
    }
}
