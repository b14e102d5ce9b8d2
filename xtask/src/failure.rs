//! How a chore fails: which step, and why, in words for the person who ran it.

use std::fmt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};

/// A step that did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    step: String,
    why: String,
}

impl Failure {
    /// `step` is what was attempted, as in "create the Python environment".
    pub(crate) fn new(step: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { step: step.into(), why: why.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "could not {}: {}", self.step, self.why)
    }
}

/// Says which step an error belongs to.
pub(crate) trait Step<T> {
    /// Names the step; `step` is called only when it failed.
    fn step(self, step: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> Step<T> for Result<T, E> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(step(), error))
    }
}

/// Runs `command`, its output shown as it comes, and fails unless it exits with 0.
pub(crate) fn run(command: &mut Command, step: &str) -> Result<(), Failure> {
    let status = command.status().step(|| format!("{step} (start {})", name(command)))?;
    check(status, command, step)
}

/// Becomes `command`, so that a Ctrl-C is its own affair and nobody above it is gone before it has
/// cleaned up. Returns only when it could not be started.
pub(crate) fn hand_over(command: &mut Command, step: &str) -> Failure {
    let error = command.exec();
    Failure::new(format!("{step} (start {})", name(command)), error)
}

/// Runs `command` and returns what it printed.
pub(crate) fn output(command: &mut Command, step: &str) -> Result<String, Failure> {
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .step(|| format!("{step} (start {})", name(command)))?;
    check(output.status, command, step)?;
    String::from_utf8(output.stdout).step(|| step.to_owned())
}

fn check(status: ExitStatus, command: &Command, step: &str) -> Result<(), Failure> {
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(step, format!("{} ended with {status}", name(command))))
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}
