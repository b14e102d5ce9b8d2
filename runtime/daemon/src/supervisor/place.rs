//! A path in the file system that one daemon's socket holds.

use super::SupervisorError;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A socket's path, ours until this is dropped. A socket that a dead daemon left there is removed.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Place {
    /// Claims the path: the lock file beside it is held by whoever serves it.
    pub(super) fn claim(path: &Path) -> Result<Self, SupervisorError> {
        let fail = |source| SupervisorError::Socket { path: path.to_owned(), source };
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        let file = File::options().create(true).append(true).open(lock).map_err(fail)?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|_| SupervisorError::InUse(path.to_owned()))?;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail(error)),
            Ok(()) | Err(_) => (),
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
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
        // One that is gone already is as good as removed.
        let _removed = std::fs::remove_file(&self.path);
    }
}
