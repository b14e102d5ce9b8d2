//! The program of cudarc's tests: how it is built and run.

use super::CLAIM;
use crate::failure::{self, Failure, Step};
use crate::workspace;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What became of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It passed.
    Passed,
    /// It failed, or took the process along.
    Failed,
}

/// The built tests, and where they find what they load.
pub(super) struct Program {
    executable: PathBuf,
    libraries: Vec<PathBuf>,
    headers: PathBuf,
}

/// Puts the CUDA headers where one of the tests looks for them, for this process alone.
const IN_PLACE: &str = r#"mount --bind "$1" /usr/include && shift && exec "$@""#;

impl Program {
    /// Builds the tests with the features that the workspace uses the crate with.
    pub(super) fn build(links: &Path, packages: &Path) -> Result<Self, Failure> {
        let step = "build cudarc's tests";
        let text = failure::output(
            workspace::cargo()
                .args(["test", "--release", "--package", "cudarc", "--lib", "--no-run"])
                .arg("--message-format=json-render-diagnostics"),
            step,
        )?;
        let executable = super::executable(&text)
            .ok_or_else(|| Failure::new(step, "cargo named no executable"))?;
        Ok(Self {
            executable,
            libraries: vec![links.to_owned(), packages.join("cuda_nvrtc/lib")],
            headers: packages.join("cuda_runtime/include"),
        })
    }

    /// Runs every test: those that any order suits in one process, as the crate's authors do, and
    /// those that must be alone alone.
    pub(super) fn run_all(&self) -> Result<BTreeMap<String, Outcome>, Failure> {
        let all = self.list(&["--list"])?;
        let alone = self.list(&["--list", "--ignored"])?;
        let together: Vec<_> = all.iter().filter(|name| !alone.contains(name)).collect();
        let output = self.run(&["--test-threads=1"])?;
        let mut outcomes = outcomes(&output);
        print!("{}", shown(&output, &outcomes));
        // Where the process died, those that it did not come to are run by themselves.
        for name in together {
            if !outcomes.contains_key(name) {
                outcomes.insert(name.clone(), self.run_alone(name)?);
            }
        }
        for name in &alone {
            outcomes.insert(name.clone(), self.run_alone(name)?);
        }
        Ok(outcomes)
    }

    fn run_alone(&self, name: &str) -> Result<Outcome, Failure> {
        let output = self.run(&["--exact", name, "--include-ignored", "--test-threads=1"])?;
        let outcomes = outcomes(&output);
        print!("{}", shown(&output, &outcomes));
        Ok(outcomes.get(name).copied().unwrap_or(Outcome::Failed))
    }

    fn list(&self, arguments: &[&str]) -> Result<Vec<String>, Failure> {
        let output = self.run(arguments)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let names: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_suffix(": test"))
            .map(str::to_owned)
            .collect();
        if names.is_empty() {
            return Err(Failure::new(
                "list cudarc's tests",
                String::from_utf8_lossy(&output.stderr),
            ));
        }
        Ok(names)
    }

    fn run(&self, arguments: &[&str]) -> Result<Output, Failure> {
        let libraries = std::env::join_paths(&self.libraries).step(|| "name folders".to_owned())?;
        Command::new("unshare")
            .args(["--mount", "--map-root-user", "sh", "-c", IN_PLACE, "sh"])
            .arg(&self.headers)
            .arg(&self.executable)
            .args(arguments)
            // A test leaves files where it runs.
            .current_dir(&self.libraries[0])
            .env("LD_LIBRARY_PATH", libraries)
            .env("GPUMUX_EMULATED", CLAIM)
            .output()
            .step(|| "run cudarc's tests (util-linux's unshare is needed)".to_owned())
    }
}

/// What the test harness says of each test.
fn outcomes(output: &Output) -> BTreeMap<String, Outcome> {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = |line: &str| {
        let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
        let name = name.split(" - ").next()?;
        match outcome.trim() {
            "ok" => Some((name.to_owned(), Outcome::Passed)),
            "FAILED" => Some((name.to_owned(), Outcome::Failed)),
            _ => None,
        }
    };
    text.lines().filter_map(line).collect()
}

/// What there is to say of a run in which not all passed.
fn shown(output: &Output, outcomes: &BTreeMap<String, Outcome>) -> String {
    if output.status.success() && outcomes.values().all(|outcome| *outcome == Outcome::Passed) {
        return String::new();
    }
    let streams = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{}{}ended with {}\n", streams[0], streams[1], output.status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    #[test]
    fn outcomes_are_what_the_harness_says() {
        let text = "running 3 tests\ntest a::b ... ok\ntest c - should panic ... FAILED\n\
                    test d ... ignored, why\ntest e ... ";
        let output =
            Output { status: ExitStatus::from_raw(0), stdout: text.into(), stderr: Vec::new() };
        let expected = [("a::b", Outcome::Passed), ("c", Outcome::Failed)];
        let expected: BTreeMap<_, _> =
            expected.into_iter().map(|(name, outcome)| (name.to_owned(), outcome)).collect();
        assert_eq!(outcomes(&output), expected);
    }
}
