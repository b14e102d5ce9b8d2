//! The messages of a session's control socket. They are few and rare; requests and results never
//! pass here. That a worker is gone is not told here either: its end of the wake-up channel closes.

use crate::geometry::ChannelSize;
use crate::signature::Signature;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Names a channel within its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelId(pub u32);

/// From peer to daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToDaemon {
    /// The first message of a session.
    Hello {
        /// The shim's `PROTOCOL_VERSION`.
        version: u32,
    },
    /// Opens a function. The channel's memfd travels beside it.
    Open {
        /// The channel's name in this session: the peer's choice, not in use.
        channel: ChannelId,
        /// The function's name.
        function: String,
        /// What the memfd was made for.
        size: ChannelSize,
    },
    /// Ends a channel and cancels what it holds.
    Close {
        /// The channel.
        channel: ChannelId,
    },
}

/// From daemon to peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToPeer {
    /// The answer to `Hello`.
    Welcome {
        /// The daemon's `PROTOCOL_VERSION`.
        version: u32,
    },
    /// The function is open. The peer's end of the wake-up channel travels beside it.
    Opened {
        /// The channel.
        channel: ChannelId,
        /// What the function takes and gives.
        signature: Signature,
    },
    /// The function is not open.
    NotOpened {
        /// The channel.
        channel: ChannelId,
        /// Why.
        refusal: OpenRefusal,
    },
    /// The session ends, because the peer broke the protocol.
    Violation {
        /// What it did.
        what: String,
    },
}

/// Why a function was not opened, and what would help.
#[derive(Clone, Debug, Error, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum OpenRefusal {
    /// No function of that name for this tenant.
    #[error("there is no function `{name}`{}: see `gpumux status` for the names",
        .nearest.as_ref().map(|near| format!("; the nearest is `{near}`")).unwrap_or_default())]
    UnknownFunction {
        /// The name asked for.
        name: String,
        /// The name most like it, where one is close.
        nearest: Option<String>,
    },
    /// The function exists and cannot serve now.
    #[error("function `{name}` cannot serve now: {why}")]
    Unavailable {
        /// The name.
        name: String,
        /// The cause, and what to do.
        why: String,
    },
    /// The descriptor is not channel memory.
    #[error("the channel's memory is refused: {what}")]
    BadMemory {
        /// What is wrong with it.
        what: String,
    },
    /// The channel would exceed a limit.
    #[error("the channel is refused: {what}")]
    OverLimit {
        /// Which limit, and its value.
        what: String,
    },
    /// The daemon is stopping.
    #[error("the daemon is stopping: try again when it is back, or another node")]
    Draining,
}
