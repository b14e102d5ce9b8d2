//! `cargo xtask python`: builds the wheel of the Python package, checks its types and runs its tests
//! against the real daemon.

use crate::failure::{self, Failure, Step};
use crate::python::Environment;
use crate::test::BIN_DIR;
use crate::{tree, workspace};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Arguments of pytest, such as `-k NAME`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pytest: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    check(&workspace::build()?, &arguments.pytest)
}

/// Checks the package against the binaries in this folder.
pub(crate) fn check(binaries: &Path, pytest: &[String]) -> Result<(), Failure> {
    let package = package();
    let environment = environment()?;
    build(&environment, binaries)?;
    failure::run(
        Command::new(environment.python())
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(["--no-index", "--no-deps", "--force-reinstall"])
            .arg(wheel(binaries)?),
        "install the wheel",
    )?;
    let python = |arguments: &[&str]| {
        let mut command = Command::new(environment.python());
        // What is tested is the wheel, and nothing is left in the tree.
        command.args(["-P", "-B", "-m"]).args(arguments).current_dir(&package);
        command.env(BIN_DIR, binaries);
        command
    };
    let mypy = ["mypy", "--cache-dir=/dev/null", "--package", "gpumux"];
    failure::run(&mut python(&mypy), "check the package's types")?;
    let mypy = ["mypy", "--cache-dir=/dev/null", "tests"];
    failure::run(&mut python(&mypy), "check the types of the package's tests")?;
    let stubtest = [
        "mypy.stubtest",
        "--concise",
        // Which of them is needed depends on the version of Python.
        "--ignore-unused-allowlist",
        "--allowlist",
        "stubtest.txt",
        "gpumux._gpumux",
    ];
    failure::run(&mut python(&stubtest), "compare the native part with its stub")?;
    failure::run(python(&["pytest"]).args(pytest), "pass the Python package's tests")
}

/// Where the package is.
fn package() -> PathBuf {
    tree::root().join("shim/python")
}

/// What the package and its tests need, pinned by hash.
pub(crate) fn requirements() -> PathBuf {
    package().join("requirements.txt")
}

/// The environment that the package is built and tested in.
fn environment() -> Result<Environment, Failure> {
    Environment::prepare("python", &requirements())
}

/// Builds the wheel, for whoever looks for it beside these binaries.
pub(crate) fn prepare(binaries: &Path) -> Result<(), Failure> {
    build(&environment()?, binaries)
}

/// The folder of the wheel that was built beside these binaries.
fn wheels(binaries: &Path) -> PathBuf {
    binaries.join("python/wheel")
}

/// The wheel that was built beside these binaries.
pub(crate) fn wheel(binaries: &Path) -> Result<PathBuf, Failure> {
    let wheels = wheels(binaries);
    let step = || format!("find the wheel in {} (`cargo xtask python` makes it)", wheels.display());
    let mut wheel = None;
    for entry in fs::read_dir(&wheels).step(step)? {
        let path = entry.step(step)?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            wheel = Some(path);
        }
    }
    wheel.ok_or_else(|| Failure::new(step(), "there is none"))
}

/// Builds the wheel, in a folder that is emptied for the next.
fn build(environment: &Environment, binaries: &Path) -> Result<(), Failure> {
    let wheels = wheels(binaries);
    if wheels.exists() {
        fs::remove_dir_all(&wheels).step(|| format!("empty {}", wheels.display()))?;
    }
    failure::run(
        Command::new(environment.python())
            .args(["-m", "maturin", "build", "--quiet", "--release", "--locked", "--offline"])
            // The machine that it was built on is the one that it runs on.
            .args(["--compatibility", "linux", "--manifest-path"])
            .arg(package().join("Cargo.toml"))
            // A folder of its own: maturin's settings would have cargo build what it shares with the
            // workspace again each time that they alternate.
            .arg("--target-dir")
            .arg(binaries.join("python"))
            .arg("--interpreter")
            .arg(environment.python())
            .arg("--out")
            .arg(&wheels)
            .env("PATH", cargo_first()?),
        "build the wheel",
    )
}

/// The search path with the cargo that runs this chore at its head: maturin starts `cargo` by name.
fn cargo_first() -> Result<OsString, Failure> {
    let path = env::var_os("PATH").unwrap_or_default();
    let cargo = env::var_os("CARGO").map(PathBuf::from);
    let folder = cargo.as_deref().and_then(Path::parent).map(PathBuf::from);
    env::join_paths(folder.into_iter().chain(env::split_paths(&path)))
        .step(|| "put cargo on the search path".to_owned())
}
