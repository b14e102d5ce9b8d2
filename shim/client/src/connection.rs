//! One connection to a daemon: made, greeted, listened to.

use crate::error::ConnectError;
use gpumux_wire::PROTOCOL_VERSION;
use gpumux_wire::control::{ToDaemon, ToPeer};
use gpumux_wire::packet;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// Connects to a daemon's socket and greets it. `ready` is given the socket after the greeting and
/// says whether to take the answer, which may take until the daemon has loaded its models.
pub(crate) fn greet(
    path: &Path,
    ready: impl FnOnce(&OwnedFd) -> bool,
) -> Result<OwnedFd, ConnectError> {
    let address = UnixAddr::new(path)
        .map_err(|source| ConnectError::BadPath { path: path.to_owned(), source })?;
    // It does not block before it is connected: a daemon that accepts nobody fills its queue.
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)
        .map_err(std::io::Error::from)?;
    connect(socket.as_raw_fd(), &address)
        .map_err(|source| ConnectError::DaemonAbsent { path: path.to_owned(), source })?;
    fcntl(&socket, FcntlArg::F_SETFL(OFlag::empty())).map_err(std::io::Error::from)?;
    packet::send(&socket, &ToDaemon::Hello { version: PROTOCOL_VERSION }, &[])?;
    if !ready(&socket) {
        return Err(ConnectError::Refused("it did not answer in time".to_owned()));
    }
    match packet::receive(&socket, 0)?.0 {
        ToPeer::Welcome { version: PROTOCOL_VERSION } => Ok(socket),
        ToPeer::Welcome { version } => {
            Err(ConnectError::Version { daemon: version, shim: PROTOCOL_VERSION })
        }
        ToPeer::Violation { what } => Err(ConnectError::Refused(what)),
        other @ (ToPeer::Opened { .. } | ToPeer::NotOpened { .. }) => {
            Err(ConnectError::Refused(format!("unexpected answer {other:?}")))
        }
    }
}

/// What a connection says when nobody has asked anything.
#[derive(Debug)]
pub(crate) enum Word {
    /// Nothing: the daemon is there.
    Silence,
    /// It is closed.
    Closed,
    /// The daemon ended the session, and why.
    Violation(String),
}

/// Listens, without waiting. Outside a question the daemon speaks only to end the session.
pub(crate) fn listen(socket: &OwnedFd) -> Word {
    let mut ends = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    if poll(&mut ends, PollTimeout::ZERO) == Ok(0) {
        return Word::Silence;
    }
    match packet::receive(socket, 1) {
        Ok((ToPeer::Violation { what }, _)) => Word::Violation(what),
        Ok((ToPeer::Welcome { .. } | ToPeer::Opened { .. } | ToPeer::NotOpened { .. }, _))
        | Err(_) => Word::Closed,
    }
}
