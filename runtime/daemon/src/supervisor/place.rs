//! A path in the file system that one daemon serves.

use super::SupervisorError;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A socket's path, ours until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// Whether the socket is ours too, and goes with us.
    made_here: bool,
    _lock: Flock<File>,
}

impl Place {
    /// Claims the path, for a socket that is made there. One that a dead daemon left is removed.
    pub(super) fn claim(path: &Path) -> Result<Self, SupervisorError> {
        let mut place = Self::hold(path)?;
        place.made_here = true;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(place.fail(error)),
            Ok(()) | Err(_) => Ok(place),
        }
    }

    /// Claims the path, for a socket that somebody else has made there and keeps: the lock file
    /// beside it is held by whoever serves it.
    pub(super) fn hold(path: &Path) -> Result<Self, SupervisorError> {
        let fail = |source| SupervisorError::Socket { path: path.to_owned(), source };
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        let file = File::options().create(true).append(true).open(lock).map_err(fail)?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|_| SupervisorError::InUse(path.to_owned()))?;
        Ok(Self { path: path.to_owned(), made_here: false, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Says who may connect.
    pub(super) fn permit(&self, mode: u32) -> Result<(), SupervisorError> {
        std::fs::set_permissions(&self.path, Permissions::from_mode(mode))
            .map_err(|source| self.fail(source))
    }

    pub(super) fn fail(&self, source: std::io::Error) -> SupervisorError {
        SupervisorError::Socket { path: self.path.clone(), source }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.made_here {
            // One that is gone already is as good as removed.
            let _removed = std::fs::remove_file(&self.path);
        }
    }
}
