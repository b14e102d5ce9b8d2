//! The cache folder: what chores fetch or make, outside the tree, kept between runs.
//!
//! `GPUMUX_CACHE` names it; otherwise it is `gpumux` in the user's cache folder, as the XDG base
//! directory specification finds that.

use crate::failure::{Failure, Step};
use std::env;
use std::fs::{self, File};
use std::path::PathBuf;

/// A folder in the cache that nobody else changes as long as this value lives.
pub(crate) struct CacheFolder {
    pub(crate) path: PathBuf,
    /// Released by the kernel when the process ends, however it ends.
    _lock: File,
}

impl CacheFolder {
    /// Opens the folder `name`, made when it is not there; waits while another chore holds it.
    pub(crate) fn open(name: &str) -> Result<Self, Failure> {
        let path = root()?.join(name);
        fs::create_dir_all(&path).step(|| format!("create {}", path.display()))?;
        let lock_path = path.with_extension("lock");
        let lock = File::create(&lock_path).step(|| format!("create {}", lock_path.display()))?;
        lock.lock().step(|| format!("lock {}", lock_path.display()))?;
        Ok(Self { path, _lock: lock })
    }
}

/// The cache folder itself.
pub(crate) fn root() -> Result<PathBuf, Failure> {
    let named = |variable| env::var_os(variable).filter(|value| !value.is_empty());
    if let Some(path) = named("GPUMUX_CACHE") {
        return Ok(path.into());
    }
    // The specification has a relative path ignored.
    if let Some(path) = named("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute())
    {
        return Ok(path.join("gpumux"));
    }
    match named("HOME") {
        Some(home) => Ok(PathBuf::from(home).join(".cache/gpumux")),
        None => Err(Failure::new("find the cache folder", "set GPUMUX_CACHE to a folder")),
    }
}
