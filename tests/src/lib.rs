//! What the end-to-end tests stand on: the folder of binaries, a daemon of their own, and peers that
//! are processes.

#![forbid(unsafe_code)]

mod binaries;
mod daemon;
mod peer;
pub mod raw;

pub use binaries::{BIN_DIR, binary};
pub use daemon::{Daemon, Options, models};
pub use peer::Peer;
