//! The hostile peer's end of a session: every wait is bounded, and every refusal is an answer.

use gpumux_wire::PROTOCOL_VERSION;
use gpumux_wire::channel::{Mapping, PeerSide};
use gpumux_wire::control::{ChannelId, ToDaemon, ToPeer};
use gpumux_wire::geometry::{ChannelSize, Geometry};
use gpumux_wire::record::{Entry, InputRecord, OutputRecord, RequestRecord, SubmissionKind};
use gpumux_wire::{memfd, packet, wake};
use nix::errno::Errno;
use nix::sys::socket::sockopt::{ReceiveTimeout, SendTimeout};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, send, setsockopt, socket,
};
use nix::sys::time::TimeVal;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// How long the hostile peer waits for anything.
const PATIENCE_SECONDS: i64 = 2;

/// Why a behaviour went no further.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The daemon ended it, or the kernel would not. Either is what was to be expected.
    Ended,
    /// Nobody listens at the socket.
    NobodyThere(Errno),
}

impl From<Errno> for Trouble {
    fn from(_: Errno) -> Self {
        Self::Ended
    }
}

impl From<packet::PacketError> for Trouble {
    fn from(_: packet::PacketError) -> Self {
        Self::Ended
    }
}

impl From<std::io::Error> for Trouble {
    fn from(_: std::io::Error) -> Self {
        Self::Ended
    }
}

/// A control connection.
#[derive(Debug)]
pub(super) struct Line(pub(super) OwnedFd);

/// A channel that it opened, and its memory as a file.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) side: PeerSide,
    pub(super) file: File,
    pub(super) geometry: Geometry,
    pub(super) wake: OwnedFd,
    generation: u32,
}

impl Line {
    pub(super) fn connect(path: &Path) -> Result<Self, Trouble> {
        Self::connect_with(path, SockFlag::SOCK_CLOEXEC)
    }

    /// Connects, or gives up at once where the daemon has no room for one that waits.
    pub(super) fn connect_at_once(path: &Path) -> Result<Self, Trouble> {
        Self::connect_with(path, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)
    }

    fn connect_with(path: &Path, flags: SockFlag) -> Result<Self, Trouble> {
        let address = UnixAddr::new(path)?;
        let line = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
        let patience = TimeVal::new(PATIENCE_SECONDS, 0);
        setsockopt(&line, SendTimeout, &patience)?;
        setsockopt(&line, ReceiveTimeout, &patience)?;
        match connect(line.as_raw_fd(), &address) {
            Ok(()) => Ok(Self(line)),
            Err(gone @ (Errno::ECONNREFUSED | Errno::ENOENT)) => Err(Trouble::NobodyThere(gone)),
            Err(_) => Err(Trouble::Ended),
        }
    }

    pub(super) fn greet(&self) -> Result<(), Trouble> {
        self.say(&ToDaemon::Hello { version: PROTOCOL_VERSION }, &[])?;
        self.hear().map(drop)
    }

    pub(super) fn say(&self, message: &ToDaemon, with: &[BorrowedFd<'_>]) -> Result<(), Trouble> {
        Ok(packet::send(&self.0, message, with)?)
    }

    pub(super) fn raw(&self, bytes: &[u8]) -> Result<(), Trouble> {
        send(self.0.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL)?;
        Ok(())
    }

    pub(super) fn hear(&self) -> Result<(ToPeer, Vec<OwnedFd>), Trouble> {
        Ok(packet::receive(&self.0, 1)?)
    }

    /// Asks for a channel with any descriptors beside the message.
    pub(super) fn ask(
        &self,
        channel: u32,
        function: &str,
        size: ChannelSize,
        with: &[BorrowedFd<'_>],
    ) -> Result<(), Trouble> {
        let function = function.to_owned();
        self.say(&ToDaemon::Open { channel: ChannelId(channel), function, size }, with)
    }

    /// Opens a channel as the shim would.
    pub(super) fn open(
        &self,
        channel: u32,
        function: &str,
        size: ChannelSize,
    ) -> Result<Open, Trouble> {
        let geometry = Geometry::new(size).map_err(|_| Trouble::Ended)?;
        let memory = memfd::create(&geometry)?;
        let mapping = Mapping::new(&memory, geometry)?;
        self.ask(channel, function, size, &[memory.as_fd()])?;
        match self.hear()? {
            (ToPeer::Opened { .. }, mut descriptors) => Ok(Open {
                side: PeerSide::new(&mapping),
                file: File::from(memory),
                geometry,
                wake: descriptors.pop().ok_or(Trouble::Ended)?,
                generation: 0,
            }),
            _ => Err(Trouble::Ended),
        }
    }
}

impl Open {
    /// Submits a request that is in order: `length` bytes from the arena's begin, to behind them.
    pub(super) fn submit(&mut self, slot: u32, length: u32) -> Result<(), Trouble> {
        let room = u64::from(length).next_multiple_of(64);
        let mut record = RequestRecord { input_count: 1, output_count: 1, ..Default::default() };
        record.inputs[0] =
            InputRecord { offset: 0, element: 1, rank: 1, dims: [length, 0, 0, 0, 0, 0] };
        record.outputs[0] = OutputRecord { offset: room, capacity: room };
        self.submit_record(slot, record)
    }

    /// Submits any record, in the slot's next use.
    pub(super) fn submit_record(
        &mut self,
        slot: u32,
        mut record: RequestRecord,
    ) -> Result<(), Trouble> {
        self.generation = self.generation.wrapping_add(1);
        record.generation = self.generation;
        self.side.write_request(slot, &record);
        let kind = SubmissionKind::Submit;
        self.push(Entry { slot, kind, generation: self.generation }.encode())
    }

    /// Pushes any word, and wakes the worker whether it sleeps or not.
    pub(super) fn push(&mut self, word: u64) -> Result<(), Trouble> {
        self.side.submissions.push(word).map_err(|_| Trouble::Ended)?;
        self.ring()
    }

    pub(super) fn ring(&self) -> Result<(), Trouble> {
        wake::notify(&self.wake).map_err(|_| Trouble::Ended)
    }
}
