//! What the end-to-end tests stand on: the folder of binaries, a daemon of their own, and peers that
//! are processes, of other languages too.

#![forbid(unsafe_code)]

mod binaries;
pub mod clock;
mod daemon;
pub mod drill;
pub mod footprint;
pub mod golden;
pub mod hostile;
mod peer;
pub mod programs;
pub mod raw;

pub use binaries::{BIN_DIR, binary, shared_state};
pub use daemon::{Daemon, Options};
pub use peer::Peer;
