//! `cargo xtask venv FOLDER`: a Python environment to try gpumux in: the Python package, `onnx` to make
//! models with, and the programs in its `bin`.

use crate::cache::CacheFolder;
use crate::failure::{self, Failure, Step};
use crate::test::BIN_DIR;
use crate::{shim_python, workspace};
use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is put in `bin`. Each finds the others of its build where the link leads.
const PROGRAMS: [&str; 2] = ["gpumux", "gpumuxd"];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where to make it; one that is there is renewed
    folder: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let binaries = binaries()?;
    let wheel = shim_python::wheel(&binaries)?;
    let fetched = fetch()?;
    let folder = std::path::absolute(&arguments.folder).step(|| "find the folder".to_owned())?;
    let python = make(&folder)?;
    failure::run(
        pip(&python)
            .args(["install", "--no-compile", "--force-reinstall", "--no-index", "--find-links"])
            .arg(&fetched.path)
            .arg(&wheel)
            .arg("onnx"),
        "install the packages",
    )?;
    for program in PROGRAMS {
        let link = folder.join("bin").join(program);
        if link.is_symlink() {
            fs::remove_file(&link).step(|| format!("replace {}", link.display()))?;
        }
        symlink(binaries.join(program), &link).step(|| format!("make {}", link.display()))?;
    }
    // As Python does from 3.13 on: nothing of it is anybody's to commit.
    let ignored = folder.join(".gitignore");
    fs::write(&ignored, "*\n").step(|| format!("write {}", ignored.display()))?;
    println!("{}: python with gpumux and onnx, gpumux, gpumuxd", folder.join("bin").display());
    Ok(())
}

/// The folder of binaries, with the wheel beside them: those that are named as built, or built now.
fn binaries() -> Result<PathBuf, Failure> {
    if let Some(built) = env::var_os(BIN_DIR) {
        return Ok(built.into());
    }
    let binaries = workspace::build()?;
    shim_python::Package::prepare(&binaries)?;
    Ok(binaries)
}

/// The packages that the environment is made of, fetched by name, version and hash unless they are there.
pub(crate) fn fetch() -> Result<CacheFolder, Failure> {
    let requirements = shim_python::requirements();
    let pinned =
        fs::read_to_string(&requirements).step(|| format!("read {}", requirements.display()))?;
    let version = failure::output(Command::new("python3").arg("--version"), "ask for Python 3")?;
    let wanted = format!("{version}{pinned}");
    let folder = CacheFolder::open("wheels")?;
    // Written last, so that a folder cut short is not taken for a whole one.
    let stamp = folder.path.join("requirements.fetched");
    if fs::read_to_string(&stamp).unwrap_or_default() == wanted {
        return Ok(folder);
    }
    let scratch = tempfile::tempdir().step(|| "make a folder to fetch with".to_owned())?;
    let python = make(&scratch.path().join("venv"))?;
    failure::run(
        pip(&python)
            .args(["download", "--require-hashes", "--no-deps", "--only-binary", ":all:", "--dest"])
            .arg(&folder.path)
            .arg("--requirement")
            .arg(&requirements),
        &format!("fetch the packages of {}", requirements.display()),
    )?;
    fs::write(&stamp, wanted).step(|| format!("write {}", stamp.display()))?;
    Ok(folder)
}

/// Makes an environment, and returns its interpreter.
fn make(folder: &Path) -> Result<PathBuf, Failure> {
    failure::run(
        Command::new("python3").args(["-m", "venv"]).arg(folder),
        "create a Python environment (Python 3 with venv and pip is needed)",
    )?;
    Ok(folder.join("bin/python"))
}

/// The environment's own pip.
fn pip(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.args(["-m", "pip", "--quiet", "--disable-pip-version-check"]);
    command
}
