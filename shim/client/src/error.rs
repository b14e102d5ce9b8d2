//! What can go wrong on this side, and what to do about it. What the daemon says of a request is an
//! `Outcome`, not an error.

use gpumux_wire::PROTOCOL_VERSION;
use gpumux_wire::control::OpenRefusal;
use gpumux_wire::geometry::GeometryError;
use gpumux_wire::outcome::{Outcome, Reason, Refusal};
use gpumux_wire::packet::PacketError;
use gpumux_wire::signature::{ElementType, TensorSpec};
use std::path::PathBuf;
use thiserror::Error;

/// Why no session was made.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Nobody listens there.
    #[error(
        "no daemon listens at {}: start gpumuxd, or mount its socket into this container ({source})",
        path.display()
    )]
    DaemonAbsent {
        /// The socket's path.
        path: PathBuf,
        /// What the kernel said.
        source: nix::errno::Errno,
    },
    /// The path cannot be a socket's.
    #[error("{} cannot be a socket's path: {source}", path.display())]
    BadPath {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        source: nix::errno::Errno,
    },
    /// Shim and daemon speak different versions.
    #[error(
        "the daemon speaks protocol {daemon}, this shim {shim}: use the shim of the daemon's release"
    )]
    Version {
        /// The daemon's version.
        daemon: u32,
        /// This shim's version.
        shim: u32,
    },
    /// The daemon refused or broke off.
    #[error("the daemon broke off the greeting: {0}")]
    Greeting(#[from] PacketError),
    /// The daemon answered with something else than a welcome.
    #[error("the daemon refused the session: {0}")]
    Refused(String),
    /// This process is out of memory or descriptors.
    #[error("no session could be set up: {0}")]
    Os(#[from] std::io::Error),
}

/// Why a function was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The daemon said no.
    #[error(transparent)]
    Refused(#[from] OpenRefusal),
    /// No channel can have the size asked for.
    #[error(transparent)]
    Size(#[from] GeometryError),
    /// The session is over.
    #[error("the session is over: connect again ({0})")]
    SessionOver(#[from] PacketError),
    /// The daemon ended the session.
    #[error("the daemon ended the session: {0}")]
    Violation(String),
    /// The daemon was restarted, and the one that runs now does not take the session again.
    #[error("the daemon was restarted and does not take the session again: {0}")]
    Restarted(ReopenError),
    /// This process is out of memory or descriptors.
    #[error("the channel's memory could not be made: {0}")]
    Os(#[from] std::io::Error),
    /// The handle came over a `fork`.
    #[error("this handle belongs to the parent process: connect again after fork")]
    Forked,
}

/// Why a request was not made or not submitted. Nothing of it remains.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SubmitError {
    /// The length is above the function's limit.
    #[error("length {length} is above the function's limit of {max}: shorten the input")]
    TooLong {
        /// Asked for.
        length: u32,
        /// The limit.
        max: u32,
    },
    /// Not a length that a request can have.
    #[error("length {length} is not possible: {why}")]
    BadLength {
        /// Asked for.
        length: u32,
        /// What would be possible.
        why: &'static str,
    },
    /// The arena has no room for the request's tensors now.
    #[error(
        "the arena has no room for {needed} bytes: wait for a reply and drop it, or open with a larger arena"
    )]
    ArenaFull {
        /// Bytes that the request needs.
        needed: u64,
    },
    /// Every slot holds a request or a reply.
    #[error("all {slots} slots are in use: wait for a reply and drop it, or open with more slots")]
    SlotsFull {
        /// Slots of the channel.
        slots: u32,
    },
    /// The function has no input of that name.
    #[error("there is no input `{name}`: the function takes {known}")]
    UnknownInput {
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The function has no input of that index.
    #[error("there is no input {index}: the function takes {count}")]
    NoInput {
        /// The index given.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The input has another element type.
    #[error("input `{name}` is of {expected}, not {given}")]
    WrongType {
        /// The input.
        name: String,
        /// The signature's type.
        expected: ElementType,
        /// What was given.
        given: String,
    },
    /// The input has another shape.
    #[error("input {spec} does not take the shape {given:?} at length {length}")]
    WrongShape {
        /// The input's signature.
        spec: TensorSpec,
        /// What was given.
        given: Vec<u32>,
        /// The request's length.
        length: u32,
    },
    /// An input was never written.
    #[error("input `{name}` was not written: every input is given exactly once")]
    MissingInput {
        /// The input.
        name: String,
    },
    /// The worker or the daemon is gone.
    #[error("the channel is lost ({}): {}", .0.label(), .0.advice())]
    Lost(Reason),
    /// The daemon was restarted or reloaded, and does not take the channel again.
    #[error("the daemon was restarted or reloaded and does not take the channel again: {0}")]
    Restarted(#[from] ReopenError),
    /// The daemon ended the session.
    #[error("the daemon ended the session: {0}")]
    Violation(String),
    /// The handle came over a `fork`.
    #[error("this handle belongs to the parent process: connect again after fork")]
    Forked,
}

/// Why a daemon does not take a channel again that was served: by the one before it, or by itself
/// before a reload.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReopenError {
    /// It does not serve the function, or not this channel.
    #[error(transparent)]
    Refused(#[from] OpenRefusal),
    /// The function takes or gives other tensors than those that this process made.
    #[error("the function's signature has changed: open it again and make its tensors anew")]
    SignatureChanged,
    /// It is of another release than this shim.
    #[error(
        "it speaks protocol {daemon}, this shim {PROTOCOL_VERSION}: use the shim of the daemon's release"
    )]
    Version {
        /// The daemon's version.
        daemon: u32,
    },
}

/// Why nothing more will come of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Who served it is gone, and nobody came after.
    Gone(Reason),
    /// The daemon ended the session.
    Violation(String),
    /// The daemon that there is does not take it again.
    Restarted(ReopenError),
}

impl Loss {
    /// How requests in flight end.
    pub(crate) fn outcome(&self) -> Outcome {
        Outcome::Refused(Refusal::because(match self {
            Self::Gone(reason) => *reason,
            Self::Violation(_) => Reason::DaemonLost,
            Self::Restarted(_) => Reason::Restarted,
        }))
    }

    /// What later requests are told.
    pub(crate) fn error(&self) -> SubmitError {
        match self {
            Self::Gone(reason) => SubmitError::Lost(*reason),
            Self::Violation(what) => SubmitError::Violation(what.clone()),
            Self::Restarted(why) => SubmitError::Restarted(why.clone()),
        }
    }
}

/// Why waiting for a reply came to nothing.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum WaitError {
    /// The handle came over a `fork`.
    #[error("this handle belongs to the parent process: connect again after fork")]
    Forked,
    /// The kernel refused to wait.
    #[error("waiting failed: {0}")]
    Os(nix::errno::Errno),
    /// The reply was taken before.
    #[error("the reply of this request was taken already: each has one")]
    Taken,
    /// The daemon wrote an outcome that this shim does not know.
    #[error("the daemon answered with outcome code {0}: use the shim of the daemon's release")]
    UnknownOutcome(u32),
}

/// Why an output cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum OutputError {
    /// The request did not end with a result.
    #[error("there is no result: the request ended as {0}")]
    NoResult(&'static str),
    /// The function has no output of that name.
    #[error("there is no output `{name}`: the function gives {known}")]
    UnknownOutput {
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The function has no output of that index.
    #[error("there is no output {index}: the function gives {count}")]
    NoOutput {
        /// The index given.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The output has another element type.
    #[error("output `{name}` is of {expected}, not {given}")]
    WrongType {
        /// The output.
        name: String,
        /// The signature's type.
        expected: ElementType,
        /// What was asked for.
        given: &'static str,
    },
}
