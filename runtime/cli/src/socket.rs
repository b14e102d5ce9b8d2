//! Where peers find the daemon.

use clap::Args;
use std::path::PathBuf;

/// The socket that peers connect to.
#[derive(Clone, Debug, Args)]
pub(crate) struct PeerSocket {
    /// The daemon's socket for peers
    #[arg(
        id = "socket",
        long = "socket",
        env = "GPUMUX_SOCKET",
        default_value = "/run/gpumux/gpumuxd.sock"
    )]
    pub(crate) path: PathBuf,
}
