//! The emulator under the names by which programs look for a driver.

use crate::failure::{Failure, Step};
use crate::workspace;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// What programs ask the loader for.
const NAMES: [&str; 6] = [
    "libcuda.so",
    "libcuda.so.1",
    "libcublas.so",
    "libcublas.so.12",
    "libcublasLt.so",
    "libcublasLt.so.12",
];

/// The emulator: the one that was named, or the one of this tree, which is built for it.
pub(crate) fn library(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => workspace::build()?.join("libgpumux_emulator.so"),
    };
    path.canonicalize().step(|| format!("find the emulator {}", path.display()))
}

/// Makes a folder of links to the emulator in `scratch`.
pub(crate) fn make(library: &Path, scratch: &Path) -> Result<PathBuf, Failure> {
    let folder = scratch.join("links");
    fs::create_dir(&folder).step(|| format!("create {}", folder.display()))?;
    for name in NAMES {
        let link = folder.join(name);
        symlink(library, &link).step(|| format!("link {}", link.display()))?;
    }
    Ok(folder)
}
