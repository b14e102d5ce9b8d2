//! Tells the types of files through a gpumuxd.

#![forbid(unsafe_code)]

use clap::Parser;
use gpumux_examples::{Classifier, Failure, Label, files_of};
use gpumux_shim::Session;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Tells the types of files.
#[derive(Parser)]
struct Options {
    /// The daemon's socket for peers
    #[arg(long, env = "GPUMUX_SOCKET", default_value = "/run/gpumux/gpumuxd.sock")]
    socket: PathBuf,
    /// The function: `bytes` of a file to `target_label`
    #[arg(long, default_value = "classify")]
    function: String,
    /// The model's config.min.json
    #[arg(long)]
    config: PathBuf,
    /// The folder whose files are told
    folder: PathBuf,
    /// Most files, spread evenly over the folder
    #[arg(long, default_value_t = 200)]
    files: usize,
    /// Show every file, not one of each type
    #[arg(long)]
    all: bool,
    /// Write `progress DONE OF` lines before the result
    #[arg(long)]
    progress: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("gpumux-example-classify: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let all = files_of(&options.folder)?;
    let count = all.len().min(options.files);
    let files: Vec<PathBuf> =
        (0..count).map(|part| all[part * all.len() / count].clone()).collect();
    let session = Session::connect(&options.socket)?;
    let classifier = Classifier::open(&session, &options.function, &options.config)?;
    let told = classifier.classify(&files, options.progress)?;
    let mut out = std::io::stdout().lock();
    if options.all {
        for (path, label) in &told {
            writeln!(out, "  {}", line(path, &options.folder, label))?;
        }
        return Ok(());
    }
    let mut types: BTreeMap<&str, Vec<&(PathBuf, Label)>> = BTreeMap::new();
    for file in &told {
        types.entry(&file.1.name).or_default().push(file);
    }
    writeln!(out, "{} files of {} types, and one of each:\n", told.len(), types.len())?;
    for (name, files) in &types {
        let (path, label) = files[0];
        let line = line(path, &options.folder, label);
        writeln!(out, "  {:>4} {name:14} {line}", files.len())?;
    }
    Ok(())
}

fn line(path: &Path, folder: &Path, label: &Label) -> String {
    let Label { name, score, sure } = label;
    let path = path.strip_prefix(folder).unwrap_or(path).display();
    let doubt = if *sure { "" } else { ", not sure" };
    format!("{path}: {name} ({:.0} %{doubt})", score * 100.0)
}
