//! A session: one control connection, over which functions are opened.

use crate::channel::Channel;
use crate::error::{ConnectError, OpenError};
use crate::fork::ForkMark;
use crate::function::Function;
use gpumux_wire::PROTOCOL_VERSION;
use gpumux_wire::channel::Mapping;
use gpumux_wire::control::{ChannelId, ToDaemon, ToPeer};
use gpumux_wire::geometry::{ChannelSize, Geometry};
use gpumux_wire::memfd;
use gpumux_wire::outcome::Reason;
use gpumux_wire::packet;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// A connection to the daemon. Functions that were opened over it keep it alive.
#[derive(Clone, Debug)]
pub struct Session(Arc<Control>);

/// The control socket and what is shared by the session's channels.
#[derive(Debug)]
pub(crate) struct Control {
    socket: OwnedFd,
    /// Held over a question and its answer, so that answers are not mixed.
    next_channel: Mutex<u32>,
    pub(crate) fork: ForkMark,
}

impl Session {
    /// Connects to the daemon's socket and greets it.
    ///
    /// # Errors
    /// [`ConnectError`]: nobody there, another version, or a refusal.
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, ConnectError> {
        let path = path.as_ref();
        let address = UnixAddr::new(path)
            .map_err(|source| ConnectError::BadPath { path: path.to_owned(), source })?;
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)
            .map_err(std::io::Error::from)?;
        connect(socket.as_raw_fd(), &address)
            .map_err(|source| ConnectError::DaemonAbsent { path: path.to_owned(), source })?;
        packet::send(&socket, &ToDaemon::Hello { version: PROTOCOL_VERSION }, &[])?;
        match packet::receive(&socket, 0)?.0 {
            ToPeer::Welcome { version: PROTOCOL_VERSION } => (),
            ToPeer::Welcome { version } => {
                return Err(ConnectError::Version { daemon: version, shim: PROTOCOL_VERSION });
            }
            ToPeer::Violation { what } => return Err(ConnectError::Refused(what)),
            other @ (ToPeer::Opened { .. } | ToPeer::NotOpened { .. }) => {
                return Err(ConnectError::Refused(format!("unexpected answer {other:?}")));
            }
        }
        let control = Control { socket, next_channel: Mutex::new(0), fork: ForkMark::new()? };
        Ok(Self(Arc::new(control)))
    }

    /// Opens a function: makes a channel of the given size and passes it to the daemon.
    ///
    /// # Errors
    /// [`OpenError`]: a refusal with its reason, or the session is over.
    pub fn open(&self, function: &str, size: ChannelSize) -> Result<Function, OpenError> {
        if self.0.fork.forked() {
            return Err(OpenError::Forked);
        }
        let geometry = Geometry::new(size)?;
        let memory = memfd::create(&geometry)?;
        let mapping = Mapping::new(&memory, geometry)?;
        let (id, signature, wake) = self.0.ask_to_open(function, size, &memory)?;
        let control = Arc::clone(&self.0);
        Ok(Function::new(Arc::new(Channel::new(control, id, signature, &mapping, wake))))
    }
}

impl Control {
    fn ask_to_open(
        &self,
        function: &str,
        size: ChannelSize,
        memory: &OwnedFd,
    ) -> Result<(ChannelId, gpumux_wire::signature::Signature, OwnedFd), OpenError> {
        let mut next = self.next_channel.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = ChannelId(*next);
        *next = next.wrapping_add(1);
        let question = ToDaemon::Open { channel, function: function.to_owned(), size };
        packet::send(&self.socket, &question, &[memory.as_fd()])?;
        let (answer, mut descriptors) = packet::receive(&self.socket, 1)?;
        match (answer, descriptors.pop()) {
            (ToPeer::Opened { channel: answered, signature }, Some(wake))
                if answered == channel =>
            {
                Ok((channel, signature, wake))
            }
            (ToPeer::NotOpened { channel: answered, refusal }, _) if answered == channel => {
                Err(refusal.into())
            }
            (ToPeer::Violation { what }, _) => Err(OpenError::Violation(what)),
            (other, _) => Err(OpenError::Violation(format!("the daemon answered {other:?}"))),
        }
    }

    /// Tells the daemon that a channel is not needed any more. A daemon that is gone needs no telling.
    pub(crate) fn close(&self, channel: ChannelId) {
        if !self.fork.forked() {
            let _gone = packet::send(&self.socket, &ToDaemon::Close { channel }, &[]);
        }
    }

    /// Why a channel's worker end closed: with the daemon, or alone.
    pub(crate) fn cause_of_loss(&self) -> Reason {
        let _answers = self.next_channel.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ready = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        // Outside a question the daemon speaks only to end the session.
        match poll(&mut ready, PollTimeout::ZERO) {
            Ok(0) => Reason::WorkerLost,
            Ok(_) | Err(_) => Reason::DaemonLost,
        }
    }
}
