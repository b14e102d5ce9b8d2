//! Channel memory as a descriptor: the peer makes and seals it, the daemon vets what it was given.

use crate::geometry::Geometry;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{SFlag, fstat};
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::unistd::ftruncate;
use std::os::fd::{AsFd, OwnedFd};
use thiserror::Error;

/// A descriptor that the daemon does not accept as channel memory.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BadMemory {
    /// Not a memfd in ordinary memory.
    #[error("the descriptor is not a memfd on tmpfs: pass the memfd that the channel was made in")]
    NotMemfd,
    /// The sealing is not exactly what a channel needs.
    #[error("the memfd's seals are not SHRINK, GROW and SEAL alone: seal it before passing it")]
    Seals,
    /// Shorter than the channel.
    #[error("the memfd holds {held} bytes, the channel needs {needed}")]
    TooSmall {
        /// Its size.
        held: u64,
        /// What the channel's geometry adds up to.
        needed: u64,
    },
    /// The kernel would not tell.
    #[error("the memfd could not be examined: {0}")]
    Os(nix::errno::Errno),
}

/// Makes zeroed channel memory and seals its size.
///
/// # Errors
/// What the kernel says: out of descriptors or of memory.
pub fn create(geometry: &Geometry) -> std::io::Result<OwnedFd> {
    let memfd =
        memfd_create(c"gpumux-channel", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let bytes = i64::try_from(geometry.total_bytes()).map_err(std::io::Error::other)?;
    ftruncate(&memfd, bytes)?;
    fcntl(&memfd, FcntlArg::F_ADD_SEALS(seals()))?;
    Ok(memfd)
}

/// Checks a stranger's descriptor: a memfd on tmpfs, its size sealed and large enough, and still
/// writable, so that no later seal can stop a completion.
///
/// # Errors
/// [`BadMemory`] says what is wrong and what to pass instead.
pub fn vet(memfd: &impl AsFd, geometry: &Geometry) -> Result<(), BadMemory> {
    // The seals come first: they are the one question that no file system is asked. Another may be a
    // peer's own, in user space, and would answer when it likes.
    // An ordinary file on tmpfs answers SEAL alone, for ever; files elsewhere have no seals at all.
    let sealed = fcntl(memfd, FcntlArg::F_GET_SEALS).map_err(|_| BadMemory::NotMemfd)?;
    let stat = fstat(memfd).map_err(BadMemory::Os)?;
    let regular = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    if !regular || fstatfs(memfd).map_err(BadMemory::Os)?.filesystem_type() != TMPFS_MAGIC {
        return Err(BadMemory::NotMemfd);
    }
    if SealFlag::from_bits_retain(sealed) != seals() {
        return Err(BadMemory::Seals);
    }
    let needed = geometry.total_bytes();
    let held = u64::try_from(stat.st_size).unwrap_or(0);
    if held < needed { Err(BadMemory::TooSmall { held, needed }) } else { Ok(()) }
}

fn seals() -> SealFlag {
    SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::ChannelSize;

    fn geometry(arena_bytes: u64) -> Geometry {
        Geometry::new(ChannelSize { slots: 2, arena_bytes }).unwrap()
    }

    fn raw_memfd(bytes: i64, seals: SealFlag) -> OwnedFd {
        let memfd = memfd_create(c"test", MFdFlags::MFD_ALLOW_SEALING).unwrap();
        ftruncate(&memfd, bytes).unwrap();
        fcntl(&memfd, FcntlArg::F_ADD_SEALS(seals)).unwrap();
        memfd
    }

    #[test]
    fn what_the_shim_makes_is_accepted() {
        assert_eq!(vet(&create(&geometry(4096)).unwrap(), &geometry(4096)), Ok(()));
    }

    #[test]
    fn everything_else_is_refused_by_cause() {
        let needed = geometry(4096).total_bytes();
        let bytes = i64::try_from(needed).unwrap();
        let cases: [(OwnedFd, BadMemory); 6] = [
            (raw_memfd(bytes, SealFlag::empty()), BadMemory::Seals),
            (raw_memfd(bytes, SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW), BadMemory::Seals),
            (raw_memfd(bytes, seals() | SealFlag::F_SEAL_FUTURE_WRITE), BadMemory::Seals),
            (raw_memfd(4096, seals()), BadMemory::TooSmall { held: 4096, needed }),
            (std::fs::File::open("/dev/null").unwrap().into(), BadMemory::NotMemfd),
            (nix::unistd::pipe().unwrap().0, BadMemory::NotMemfd),
        ];
        for (fd, expected) in cases {
            assert_eq!(vet(&fd, &geometry(4096)), Err(expected));
        }
    }

    #[test]
    fn an_ordinary_file_is_refused_on_tmpfs_too() {
        for folder in ["/dev/shm", env!("CARGO_MANIFEST_DIR")] {
            let name = format!("gpumux-test-{}", std::process::id());
            let path = std::path::Path::new(folder).join(name);
            let file = std::fs::File::create(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            let refusal = vet(&file, &geometry(4096)).unwrap_err();
            assert!(
                matches!(refusal, BadMemory::Seals | BadMemory::NotMemfd),
                "{folder}: {refusal}"
            );
        }
    }
}
