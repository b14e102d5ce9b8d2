//! `cargo xtask kernels`: CUDA C++ to PTX, with a compiler that is fetched by hash.
//!
//! The PTX is committed, so only whoever changes a kernel runs this. `ptxas` assembles each module
//! for several architectures as a check; its output is thrown away, because a driver assembles the
//! PTX again for the device that it finds.

use crate::failure::{self, Failure, Step};
use crate::python::Environment;
use crate::tree;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The architectures that every module must assemble for: the oldest that gpumux runs on, the
/// common one, and the one with green contexts of 8 SMs.
const ARCHITECTURES: [&str; 3] = ["sm_75", "sm_80", "sm_90"];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Change nothing; fail when the committed PTX is not what the sources give
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let kernels = tree::root().join("kernels");
    let environment = Environment::prepare("kernels", &kernels.join("requirements.txt"))?;
    let made = environment.scratch()?;
    failure::run(
        Command::new(environment.python())
            .arg(kernels.join("compile.py"))
            .arg(kernels.join("src/cuda"))
            .arg(&made),
        "compile the kernels with NVRTC",
    )?;
    let ptxas = environment.packages()?.join("nvidia/cuda_nvcc/bin/ptxas");
    let modules = ptx_files(&made)?;
    for module in &modules {
        for architecture in ARCHITECTURES {
            assemble(&ptxas, module, architecture)?;
        }
    }
    println!("assembled {} modules for {}", modules.len(), ARCHITECTURES.join(", "));
    settle(&modules, &kernels.join("ptx"), arguments.check)
}

fn assemble(ptxas: &Path, module: &Path, architecture: &str) -> Result<(), Failure> {
    failure::run(
        Command::new(ptxas)
            .args(["--gpu-name", architecture, "--output-file", "/dev/null"])
            .arg(module),
        &format!("assemble {} for {architecture}", file_name(module)),
    )
}

/// Brings the committed folder to what was made, or, when only checking, fails where they differ.
fn settle(made: &[PathBuf], committed: &Path, check: bool) -> Result<(), Failure> {
    let mut stale = Vec::new();
    for module in made {
        let text = fs::read(module).step(|| format!("read {}", module.display()))?;
        let target = committed.join(file_name(module));
        // A file that is not there yet differs from every text.
        if fs::read(&target).ok().as_ref() == Some(&text) {
            continue;
        }
        stale.push(file_name(module));
        if !check {
            fs::write(&target, text).step(|| format!("write {}", target.display()))?;
        }
    }
    for module in ptx_files(committed)? {
        if made.iter().any(|other| other.file_name() == module.file_name()) {
            continue;
        }
        stale.push(file_name(&module));
        if !check {
            fs::remove_file(&module).step(|| format!("remove {}", module.display()))?;
        }
    }
    match (stale.is_empty(), check) {
        (true, _) => println!("the committed PTX is what the sources give"),
        (false, false) => println!("changed: {}", stale.join(", ")),
        (false, true) => {
            let why = format!("{}: run `cargo xtask kernels`", stale.join(", "));
            return Err(Failure::new("reproduce the committed PTX", why));
        }
    }
    Ok(())
}

/// The PTX files in `folder`, by name.
fn ptx_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let step = || format!("list {}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).step(step)? {
        let path = entry.step(step)?.path();
        if path.extension().is_some_and(|extension| extension == "ptx") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
