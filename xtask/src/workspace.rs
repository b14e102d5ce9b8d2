//! The workspace as one build: one profile, every target, one folder of binaries.

use crate::failure::{self, Failure, Step};
use crate::tree;
use std::env;
use std::path::PathBuf;
use std::process::Command;

/// Builds every target of the workspace and returns the folder that the binaries are in.
///
/// All at once, because a build of one package resolves features for it alone and so compiles what
/// it shares with the others again.
pub(crate) fn build() -> Result<PathBuf, Failure> {
    failure::run(
        cargo().args(["build", "--release", "--workspace", "--all-targets"]),
        "build the workspace",
    )?;
    bin_dir()
}

/// The cargo that runs this chore, at the root of the tree.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(tree::root());
    command
}

/// Chores are built by the same profile, so the binaries lie beside this one.
pub(crate) fn bin_dir() -> Result<PathBuf, Failure> {
    let this = env::current_exe().step(|| "find the folder of binaries".to_owned())?;
    let folder = this.parent().map(PathBuf::from);
    folder.ok_or_else(|| Failure::new("find the folder of binaries", "xtask has no folder"))
}
