//! Why a command came to nothing, in words for whoever typed it, and with a code for scripts.

use crate::node::NodeError;
use crate::npy::NpyError;
use gpumux_shim::{ConnectError, OpenError, OutputError, SubmitError, WaitError};
use nix::errno::Errno;
use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
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
    /// No daemon that serves, for as long as was to be waited.
    #[error("nothing is served after {}: {seen}", humantime::format_duration(*limit))]
    NotServing {
        /// How long that was.
        limit: Duration,
        /// What was seen last.
        seen: String,
    },
    /// The daemon answered with something else than was asked for.
    #[error("the daemon's answer could not be understood: {0}: is it of this release?")]
    BadAnswer(String),
    /// The daemon has nothing of that name.
    #[error("{0}: see `gpumux status` for the names")]
    NotThere(String),
    /// The daemon does not take its new configuration.
    #[error("not reloaded, the configuration before stays:\n  {0}")]
    NotReloaded(String),
    /// No session with the daemon.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The function did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What was given does not fit the function.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The request was submitted and has no result.
    #[error("the request ended without a result: {0}")]
    NoResult(String),
    /// Waiting for the request failed.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// A result could not be read.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A file could not be written.
    #[error("{} could not be written: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// No daemon of this command's own.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A file of a model is not there.
    #[error(
        "{} is not there: run `cargo xtask models` and name the folder that it fills ({source})",
        path.display()
    )]
    ModelAbsent {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A process that this command started, or is one of, did not do its part.
    #[error("a process of this command failed: {0}")]
    Process(String),
    /// A core that this process may not use.
    #[error("core {core} cannot be used: {source}")]
    Core {
        /// The core.
        core: usize,
        /// What the kernel said.
        source: Errno,
    },
    /// Arguments that do not go together, or not with the function.
    #[error("{0}")]
    Arguments(String),
    /// The scheduler broke a rule in a simulation.
    #[error("{0}")]
    RuleBroken(String),
    /// The user, or who stands for one, ended the command.
    #[error("interrupted; everything that was started has ended")]
    Interrupted,
    /// The terminal or another resource of the process failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Io(errno.into())
    }
}

/// Why a request could not be made of what was given. Nothing was submitted.
#[derive(Debug, Error)]
pub(crate) enum InputError {
    /// A file that is no array.
    #[error("{}: {source}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: NpyError,
    },
    /// An array that is not what the function takes.
    #[error("{}: {source}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What the shim says of it.
        source: SubmitError,
    },
    /// A request that the function does not serve.
    #[error(transparent)]
    Request(SubmitError),
    /// A name given more than once.
    #[error("`{name}` is given twice: name each tensor once")]
    Twice {
        /// The name.
        name: String,
    },
    /// No output of that name.
    #[error("there is no output `{name}`: the function gives {}",
        if known.is_empty() { "nothing" } else { known })]
    UnknownOutput {
        /// The name.
        name: String,
        /// Those there are.
        known: String,
    },
}

impl Failure {
    /// A process of this command did not do its part, and why.
    pub(crate) fn process(why: impl Display) -> Self {
        Self::Process(why.to_string())
    }

    /// Arguments that do not go together, or not with the function, and why.
    pub(crate) fn arguments(why: impl Display) -> Self {
        Self::Arguments(why.to_string())
    }

    /// The code that scripts see. `gpumux run --help` lists them.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Arguments(_) => 2,
            Self::DaemonAbsent { .. }
            | Self::NotServing { .. }
            | Self::Connect(ConnectError::DaemonAbsent { .. }) => 3,
            Self::Connect(_) | Self::Open(_) | Self::NotThere(_) => 4,
            Self::Input(_) => 5,
            Self::NoResult(_) | Self::Wait(_) => 6,
            // As a shell says of a command that SIGINT ended.
            Self::Interrupted => 130,
            Self::NotReloaded(_)
            | Self::BadAnswer(_)
            | Self::Output(_)
            | Self::Unwritable { .. }
            | Self::Node(_)
            | Self::ModelAbsent { .. }
            | Self::Process(_)
            | Self::RuleBroken(_)
            | Self::Core { .. }
            | Self::Io(_) => 1,
        })
    }
}
