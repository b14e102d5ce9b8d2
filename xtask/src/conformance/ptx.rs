//! The corpus of ordinary CUDA C++, compiled by each NVRTC that the emulator's compiler is for, run on
//! the emulator and compared with the host's arithmetic.

use crate::failure::{self, Failure, Step};
use crate::python::Environment;
use crate::{tree, workspace};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The versions of NVRTC: the oldest CUDA that gpumux supports, the last of 12, and a 13.
const VERSIONS: [&str; 3] = ["12.0", "12.8", "13.5"];

/// Compiles the corpus with every version and runs all that comes of it.
pub(super) fn run() -> Result<(), Failure> {
    let corpus = tree::root().join("ffi/emulator/tests/corpus");
    let mut made = None;
    for version in VERSIONS {
        let requirements = corpus.join(format!("requirements-{version}.txt"));
        let environment =
            Environment::prepare(&format!("conformance-nvrtc-{version}"), &requirements)?;
        let folder = match made.take() {
            Some(folder) => folder,
            // What all versions make lies in the first one's scratch folder.
            None => environment.scratch()?,
        };
        compile(&environment, &corpus, &corpus, &folder)?;
        compile(&environment, &corpus, &corpus.join("refused"), &folder.join("refused"))?;
        made = Some(folder);
    }
    let Some(made) = made else { return Ok(()) };
    let texts = fs::read_dir(&made).step(|| format!("list {}", made.display()))?.count() - 1;
    workspace::build()?;
    failure::run(
        workspace::cargo()
            .args(["test", "--release", "--workspace", "--test", "abi", "corpus::"])
            .env("GPUMUX_CORPUS", &made),
        "run the corpus on the emulator",
    )?;
    println!("{texts} texts of NVRTC {} load and compute what they should", VERSIONS.join(", "));
    Ok(())
}

/// Compiles every source of a folder to another.
fn compile(
    environment: &Environment,
    corpus: &Path,
    sources: &Path,
    folder: &Path,
) -> Result<(), Failure> {
    fs::create_dir_all(folder).step(|| format!("create {}", folder.display()))?;
    failure::run(
        Command::new(environment.python()).arg(corpus.join("compile.py")).arg(sources).arg(folder),
        &format!("compile {} with NVRTC", sources.display()),
    )
}
