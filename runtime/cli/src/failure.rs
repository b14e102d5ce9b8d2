//! Why a command came to nothing, in words for whoever typed it.

use std::path::PathBuf;
use thiserror::Error;

/// See the file's head.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// Nobody answers at the admin socket.
    #[error(
        "no daemon answers at {}: start gpumuxd, or give its --admin-socket ({source})",
        path.display()
    )]
    DaemonAbsent {
        /// The socket's path.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The daemon answered with something else than was asked for.
    #[error("the daemon's answer could not be understood: {0}: is it of this release?")]
    BadAnswer(String),
    /// The terminal or a file could not be written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
