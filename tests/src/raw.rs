//! A peer without the shim: it speaks the wire itself, and so can say what the shim never would.

use gpumux_wire::channel::{Mapping, PeerSide};
use gpumux_wire::control::{ChannelId, ToDaemon, ToPeer};
use gpumux_wire::geometry::{ChannelSize, Geometry};
use gpumux_wire::outcome::Outcome;
use gpumux_wire::packet;
use gpumux_wire::record::{Entry, RequestRecord, ResponseRecord, SubmissionKind};
use gpumux_wire::signature::Signature;
use gpumux_wire::{PROTOCOL_VERSION, memfd, wake};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// A control connection that has said hello.
#[derive(Debug)]
pub struct RawSession {
    socket: OwnedFd,
}

/// A channel that it opened.
#[derive(Debug)]
pub struct RawChannel {
    /// What the function takes and gives.
    pub signature: Signature,
    /// The peer's side of the memory.
    pub side: PeerSide,
    wake: OwnedFd,
}

impl RawSession {
    /// Connects and greets.
    ///
    /// # Panics
    /// When the daemon does not greet back.
    pub fn connect(path: &Path) -> Self {
        let address = UnixAddr::new(path).expect("a short path");
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket =
            socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).expect("a socket");
        connect(socket.as_raw_fd(), &address).expect("the daemon listens");
        let session = Self { socket };
        session.say(&ToDaemon::Hello { version: PROTOCOL_VERSION }, None);
        match session.hear() {
            Some((ToPeer::Welcome { .. }, _)) => session,
            other => panic!("no welcome but {other:?}"),
        }
    }

    /// Says one message, with at most one descriptor beside it.
    pub fn say(&self, message: &ToDaemon, descriptor: Option<&OwnedFd>) {
        let descriptors: Vec<_> = descriptor.iter().map(|fd| fd.as_fd()).collect();
        packet::send(&self.socket, message, &descriptors).expect("the daemon listens");
    }

    /// The daemon's next message; none when it closed the session.
    pub fn hear(&self) -> Option<(ToPeer, Vec<OwnedFd>)> {
        packet::receive(&self.socket, 1).ok()
    }

    /// Asks to open a function with any descriptor as its memory.
    pub fn ask(&self, function: &str, size: ChannelSize, memory: Option<&OwnedFd>) -> ToPeer {
        let open = ToDaemon::Open { channel: ChannelId(7), function: function.to_owned(), size };
        self.say(&open, memory);
        self.hear().expect("an answer").0
    }

    /// Opens a function as the shim would.
    ///
    /// # Panics
    /// When the daemon refuses.
    pub fn open(&self, function: &str, size: ChannelSize) -> RawChannel {
        let geometry = Geometry::new(size).expect("a possible size");
        let memory = memfd::create(&geometry).expect("a memfd");
        let mapping = Mapping::new(&memory, geometry).expect("a mapping");
        let open = ToDaemon::Open { channel: ChannelId(1), function: function.to_owned(), size };
        self.say(&open, Some(&memory));
        match self.hear() {
            Some((ToPeer::Opened { signature, .. }, mut descriptors)) => RawChannel {
                signature,
                side: PeerSide::new(&mapping),
                wake: descriptors.pop().expect("the peer's end of the wake-up channel"),
            },
            other => panic!("not opened: {other:?}"),
        }
    }
}

impl RawChannel {
    /// Fills a slot with any record and submits it.
    pub fn submit(&mut self, slot: u32, record: &RequestRecord) {
        self.side.write_request(slot, record);
        let kind = SubmissionKind::Submit;
        self.push(Entry { slot, kind, generation: record.generation }.encode());
    }

    /// Pushes any word on the submission ring.
    pub fn push(&mut self, word: u64) {
        self.side.submissions.push(word).expect("room in the ring");
        if self.side.submissions.take_wake_duty() {
            let _gone = wake::notify(&self.wake);
        }
    }

    /// Waits for the next completion; none when the worker let the channel go.
    pub fn completion(&mut self) -> Option<(ResponseRecord, Outcome)> {
        loop {
            if let Some(word) = self.side.completions.pop().expect("an honest worker") {
                let entry = Entry::decode(word, u32::MAX).expect("an honest worker");
                let response = self.side.read_response(entry.slot);
                return Some((response, response.outcome().expect("a known outcome")));
            }
            self.side.completions.announce_sleep();
            if self.side.completions.pending() == Ok(0) {
                let mut ends = [PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
                poll(&mut ends, PollTimeout::NONE).expect("a poll");
                if wake::drain(&self.wake).is_err() && self.side.completions.pending() == Ok(0) {
                    return None;
                }
            }
            self.side.completions.withdraw_sleep();
        }
    }
}
