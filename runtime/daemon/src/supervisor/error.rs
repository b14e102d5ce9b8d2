//! Why the daemon does not start, or does not go on. Each is the host's fault and says what to do.

use super::import::ImportError;
use crate::config::ConfigError;
use gpumux_wire::packet::PacketError;
use std::path::PathBuf;
use thiserror::Error;

/// See the file's head.
#[derive(Debug, Error)]
pub(crate) enum SupervisorError {
    /// The configuration is wrong.
    #[error("the configuration is wrong:\n{}", lines(.0))]
    Config(Vec<ConfigError>),
    /// Another daemon has the socket.
    #[error("{} is served by another gpumuxd: stop that one, or give another --socket", .0.display())]
    InUse(PathBuf),
    /// A socket could not be made.
    #[error("{}: {source}: is the folder there, and may this user write to it?", path.display())]
    Socket {
        /// Its path.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A socket that the service manager made is not one that is served.
    #[error("the socket `{name}` that the service manager gave: {what}: see gpumuxd.socket")]
    Given {
        /// The name that it gave.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// The port for metrics could not be had.
    #[error("metrics at {at}: {source}: is the port free? give another --metrics-listen, or none")]
    Port {
        /// The address.
        at: std::net::SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A model cannot be served.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A function is to be served where there is no device.
    #[error(
        "function `{function}` says `device = {device}`, and {count} devices are served: \
         `gpumux doctor` lists them"
    )]
    NoSuchDevice {
        /// The function.
        function: String,
        /// The device that it names.
        device: u32,
        /// Devices that there are.
        count: usize,
    },
    /// The worker cannot serve.
    #[error("the device's worker cannot serve: {0}")]
    Unfit(String),
    /// The worker's socket failed.
    #[error("the worker's socket: {0}")]
    Link(#[from] PacketError),
    /// The kernel refused something.
    #[error(transparent)]
    Os(#[from] std::io::Error),
    /// A part of the daemon ended by itself: a bug.
    #[error("a part of the daemon ended by itself: {0}")]
    Ended(String),
}

impl SupervisorError {
    /// The worker's keeper ended, which it never does by itself.
    pub(super) fn ended(how: Option<Result<(), tokio::task::JoinError>>) -> Self {
        Self::Ended(match how {
            Some(Err(error)) => error.to_string(),
            Some(Ok(())) | None => "a worker's keeper returned".to_owned(),
        })
    }
}

fn lines(errors: &[ConfigError]) -> String {
    errors.iter().map(|error| format!("  {error}")).collect::<Vec<_>>().join("\n")
}
