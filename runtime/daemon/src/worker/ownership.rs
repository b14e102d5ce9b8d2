//! Who owns a device: the process that holds its lock file. A worker whose supervisor died may still be
//! finishing what is on the device when the next daemon's worker starts, which waits for it here.

use crate::options::DeviceChoice;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::File;
use std::path::{Path, PathBuf};
use thiserror::Error;
use tracing::info;

/// A device, and the file that its owner holds locked.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) device: DeviceChoice,
    /// Which of the driver's devices.
    pub(crate) ordinal: u32,
    pub(crate) lock: PathBuf,
}

/// Why a device cannot be owned.
#[derive(Debug, Error)]
pub(crate) enum OwnershipError {
    /// The file cannot be made.
    #[error("{}: {source}: is the folder there, and may this user write to it?", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file cannot be locked.
    #[error("{}: {source}: its file system must have locks", path.display())]
    Lock {
        /// Its path.
        path: PathBuf,
        /// Why not.
        source: Errno,
    },
}

/// Owns the device of this lock file for as long as what is returned lives, and first waits until
/// nobody else does.
pub(super) fn claim(path: &Path) -> Result<Flock<File>, OwnershipError> {
    let named = || path.to_owned();
    let open = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        File::options().create(true).append(true).open(path)
    };
    let mut file = open().map_err(|source| OwnershipError::File { path: named(), source })?;
    let mut how = FlockArg::LockExclusiveNonblock;
    loop {
        match Flock::lock(file, how) {
            Ok(lock) => return Ok(lock),
            Err((again, Errno::EWOULDBLOCK)) => {
                info!(lock = %path.display(), "waiting until the device's last worker is gone");
                (file, how) = (again, FlockArg::LockExclusive);
            }
            Err((again, Errno::EINTR)) => file = again,
            Err((_, source)) => return Err(OwnershipError::Lock { path: named(), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_at_a_time_and_the_next_waits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("not there yet/device.lock");
        let first = claim(&path).unwrap();
        let other = File::options().append(true).open(&path).unwrap();
        assert!(Flock::lock(other, FlockArg::LockExclusiveNonblock).is_err());
        let next = std::thread::spawn(move || claim(&path).map(drop));
        drop(first);
        assert!(next.join().unwrap().is_ok());
    }

    #[test]
    fn a_place_without_a_folder_is_told() {
        let error = claim(Path::new("/proc/none/device.lock")).unwrap_err();
        assert!(matches!(error, OwnershipError::File { .. }), "{error}");
    }
}
