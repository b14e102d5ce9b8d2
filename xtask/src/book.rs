//! `cargo xtask book`: the pages of `docs/` as HTML, beside the binaries.

use crate::failure::{self, Failure};
use crate::{cache, tree, workspace};
use std::path::PathBuf;
use std::process::Command;

/// The version that `.ci/run` installs.
const MDBOOK: &str = "cargo install mdbook --version 0.5.4 --locked --no-default-features";

pub(crate) fn run() -> Result<(), Failure> {
    let out = workspace::bin_dir()?.with_file_name("book");
    failure::run(
        Command::new(mdbook()?)
            .arg("build")
            .arg(tree::root().join("docs"))
            .arg("--dest-dir")
            .arg(&out),
        "make the book",
    )?;
    println!("{}", out.join("index.html").display());
    Ok(())
}

/// The one that `.ci/run` installs, or the user's own.
fn mdbook() -> Result<PathBuf, Failure> {
    let ours = cache::root()?.join("tools/bin/mdbook");
    if ours.exists() {
        return Ok(ours);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("mdbook"));
    found
        .into_iter()
        .find(|path| path.exists())
        .ok_or_else(|| Failure::new("find mdbook", format!("run `{MDBOOK}`")))
}
