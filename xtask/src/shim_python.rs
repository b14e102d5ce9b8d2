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

/// Names the interpreter that has the package to the end-to-end tests.
pub(crate) const INTERPRETER: &str = "GPUMUX_PYTHON";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only build the package and print the interpreter that has it, for GPUMUX_PYTHON
    #[arg(long)]
    prepare: bool,
    /// Arguments of pytest, such as `-k NAME`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pytest: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let package = Package::prepare(&workspace::build()?)?;
    if arguments.prepare {
        println!("{}", package.interpreter().display());
        return Ok(());
    }
    package.check(&arguments.pytest)
}

/// The package, built and installed in an environment that nobody else changes meanwhile.
pub(crate) struct Package {
    environment: Environment,
    sources: PathBuf,
    binaries: PathBuf,
}

impl Package {
    /// Builds the wheel and installs it. `binaries` is the folder of what was built before.
    pub(crate) fn prepare(binaries: &Path) -> Result<Self, Failure> {
        let sources = tree::root().join("shim/python");
        let environment = Environment::prepare("python", &requirements())?;
        build(&environment, &sources, binaries)?;
        failure::run(
            Command::new(environment.python())
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                .args(["--no-index", "--no-deps", "--force-reinstall"])
                .arg(wheel(binaries)?),
            "install the wheel",
        )?;
        Ok(Self { environment, sources, binaries: binaries.to_owned() })
    }

    /// An interpreter that has it.
    pub(crate) fn interpreter(&self) -> PathBuf {
        self.environment.python()
    }

    /// Checks its types, and runs its tests against the binaries.
    pub(crate) fn check(&self, pytest: &[String]) -> Result<(), Failure> {
        let mypy = ["mypy", "--cache-dir=/dev/null", "--package", "gpumux"];
        failure::run(&mut self.python(&mypy), "check the package's types")?;
        let mypy = ["mypy", "--cache-dir=/dev/null", "tests", "../../tests/programs"];
        failure::run(&mut self.python(&mypy), "check the types of the package's tests")?;
        let stubtest = [
            "mypy.stubtest",
            "--concise",
            // Which of them is needed depends on the version of Python.
            "--ignore-unused-allowlist",
            "--allowlist",
            "stubtest.txt",
            "gpumux._gpumux",
        ];
        failure::run(&mut self.python(&stubtest), "compare the native part with its stub")?;
        failure::run(self.python(&["pytest"]).args(pytest), "pass the Python package's tests")
    }

    /// A module of Python, run on it.
    fn python(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.interpreter());
        // What is tested is the wheel, and nothing is left in the tree.
        command.args(["-P", "-B", "-m"]).args(arguments).current_dir(&self.sources);
        command.env(BIN_DIR, &self.binaries);
        command
    }
}

/// What the package and its tests need, pinned by hash.
pub(crate) fn requirements() -> PathBuf {
    tree::root().join("shim/python/requirements.txt")
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
fn build(environment: &Environment, sources: &Path, binaries: &Path) -> Result<(), Failure> {
    let wheels = wheels(binaries);
    if wheels.exists() {
        fs::remove_dir_all(&wheels).step(|| format!("empty {}", wheels.display()))?;
    }
    failure::run(
        Command::new(environment.python())
            .args(["-m", "maturin", "build", "--quiet", "--release", "--locked", "--offline"])
            // The machine that it was built on is the one that it runs on.
            .args(["--compatibility", "linux", "--manifest-path"])
            .arg(sources.join("Cargo.toml"))
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
