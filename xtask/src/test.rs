//! `cargo xtask test`: fetches the models, builds everything and runs every test, end to end ones
//! included.

use crate::failure::{self, Failure};
use crate::shim_python::{INTERPRETER, Package};
use crate::{models, venv, workspace};
use std::process::{Command, Stdio};

/// Names the folder of binaries to the end-to-end tests.
pub(crate) const BIN_DIR: &str = "GPUMUX_BIN_DIR";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run only the tests in Rust whose name contains this
    filter: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    models::run()?;
    let binaries = workspace::build()?;
    let package = Package::prepare(&binaries)?;
    // What the newcomer of the book installs; the network is not asked in the midst of a test.
    venv::fetch()?;
    let mut tests = workspace::cargo();
    if has_nextest() {
        tests.args(["nextest", "run", "--no-fail-fast"]);
    } else {
        tests.args(["test", "--no-fail-fast"]);
    }
    tests.args(["--release", "--workspace", "--all-targets"]).args(&arguments.filter);
    tests.env(BIN_DIR, &binaries).env(INTERPRETER, package.interpreter());
    failure::run(&mut tests, "pass the tests")?;
    let mut examples = workspace::cargo();
    examples.args(["test", "--release", "--workspace", "--doc"]);
    failure::run(examples.env(BIN_DIR, &binaries), "pass the examples in the documentation")?;
    match arguments.filter {
        Some(_) => Ok(()),
        None => package.check(&[]),
    }
}

/// A program of the tests, as its command: everything is built, and it finds the other binaries.
pub(crate) fn program(name: &str) -> Result<Command, Failure> {
    let binaries = workspace::build()?;
    let mut program = Command::new(binaries.join(name));
    program.env(BIN_DIR, &binaries);
    Ok(program)
}

/// Whether cargo-nextest is here: it runs test binaries side by side. Cargo's own runner will do.
fn has_nextest() -> bool {
    Command::new("cargo-nextest")
        .args(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
