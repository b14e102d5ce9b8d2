//! What the shim makes of a daemon's death, against a daemon that this file plays, which can answer
//! as no real one does on demand.

#![allow(clippy::unwrap_used, reason = "what the played daemon's helpers do is part of the test")]

use gpumux_shim::{
    ChannelSize, Function, OpenError, OpenRefusal, Outcome, Pending, Reason, Refusal, ReopenError,
    Session, SessionOptions, SubmitError, SubmitOptions,
};
use gpumux_wire::channel::{Mapping, WorkerSide};
use gpumux_wire::control::{ChannelId, ToDaemon, ToPeer};
use gpumux_wire::geometry::{ChannelSize as Size, Geometry};
use gpumux_wire::packet::{self, PacketError};
use gpumux_wire::record::{Entry, ResponseRecord, SubmissionKind};
use gpumux_wire::signature::{Dim, ElementType, Signature, TensorSpec};
use gpumux_wire::{PROTOCOL_VERSION, memfd, wake};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, accept4, bind, listen, socket,
};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

const SIZE: ChannelSize = ChannelSize { slots: 8, arena_bytes: 4096 };
const RESTARTED: Outcome = Outcome::Refused(Refusal::because(Reason::Restarted));

fn signature(length_max: u32) -> Signature {
    let dims = vec![Dim::Length];
    let data = TensorSpec { name: "data".to_owned(), element: ElementType::U8, dims };
    Signature { inputs: vec![data.clone()], outputs: vec![data], length_max }
}

/// A place where daemons listen, one after the other.
struct Place(TempDir);

/// One daemon's listening socket.
struct Fake(OwnedFd);

/// A peer's connection to it.
struct Connection(OwnedFd);

/// A question to open.
struct Asked {
    channel: ChannelId,
    function: String,
    size: Size,
    memory: OwnedFd,
}

/// The worker's end of a channel.
struct Worker {
    side: WorkerSide,
    wake: OwnedFd,
    signature: Signature,
}

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("gpumuxd.sock")
    }

    fn listen(&self) -> Fake {
        let _none = std::fs::remove_file(self.path());
        let flags = SockFlag::SOCK_CLOEXEC;
        let listener = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).unwrap();
        bind(listener.as_raw_fd(), &UnixAddr::new(&self.path()).unwrap()).unwrap();
        listen(&listener, Backlog::new(8).unwrap()).unwrap();
        Fake(listener)
    }
}

impl Fake {
    fn accept(&self, version: u32) -> Connection {
        let raw = accept4(self.0.as_raw_fd(), SockFlag::SOCK_CLOEXEC).unwrap();
        // SAFETY: the kernel has just made this descriptor for us.
        let connection = Connection(unsafe { OwnedFd::from_raw_fd(raw) });
        let (hello, _) = packet::receive::<ToDaemon>(&connection.0, 0).unwrap();
        assert_eq!(hello, ToDaemon::Hello { version: PROTOCOL_VERSION });
        packet::send(&connection.0, &ToPeer::Welcome { version }, &[]).unwrap();
        connection
    }

    fn welcome(&self) -> Connection {
        self.accept(PROTOCOL_VERSION)
    }

    fn is_asked(&self) -> bool {
        let mut ends = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        poll(&mut ends, PollTimeout::ZERO).unwrap() > 0
    }
}

impl Connection {
    fn asked(&self) -> Asked {
        match packet::receive(&self.0, 1).unwrap() {
            (ToDaemon::Open { channel, function, size }, mut memory) => {
                Asked { channel, function, size, memory: memory.pop().unwrap() }
            }
            (other, _) => panic!("asked {other:?}"),
        }
    }

    /// The channel that the peer has no use for any more.
    fn closed(&self) -> ChannelId {
        match packet::receive(&self.0, 1).unwrap() {
            (ToDaemon::Close { channel }, _) => channel,
            (other, _) => panic!("asked {other:?}"),
        }
    }

    fn say(&self, message: &ToPeer) {
        packet::send(&self.0, message, &[]).unwrap();
    }

    fn refuse(&self, refusal: OpenRefusal) {
        let Asked { channel, .. } = self.asked();
        self.say(&ToPeer::NotOpened { channel, refusal });
    }

    fn open(&self, signature: Signature) -> Worker {
        let Asked { channel, function, size, memory } = self.asked();
        assert_eq!(function, "echo");
        let geometry = Geometry::new(size).unwrap();
        memfd::vet(&memory, &geometry).unwrap();
        let mapping = Mapping::new(&memory, geometry).unwrap();
        let (ours, theirs) = wake::pair().unwrap();
        let opened = ToPeer::Opened { channel, signature: signature.clone() };
        packet::send(&self.0, &opened, &[theirs.as_fd()]).unwrap();
        Worker { side: WorkerSide::new(&mapping), wake: ours, signature }
    }
}

impl Worker {
    /// The next submission: its entry, and its budget.
    fn next(&mut self) -> (Entry, Option<Duration>) {
        loop {
            if let Some(word) = self.side.submissions.pop().unwrap() {
                let entry = Entry::decode(word, SIZE.slots).unwrap();
                assert_eq!(entry.kind, SubmissionKind::Submit);
                let raw = self.side.read_request(entry.slot);
                assert_eq!(raw.generation(), entry.generation);
                let request = raw.check(&self.signature, SIZE.arena_bytes).unwrap();
                let mut data = [0; 5];
                self.side.copy_in(request.inputs()[0], &mut data);
                self.side.copy_out(&data, request.outputs()[0]);
                return (entry, request.budget_us().map(Duration::from_micros));
            }
            std::thread::yield_now();
        }
    }

    fn answer(&mut self, entry: Entry) {
        let done = ResponseRecord::of(entry.generation, Outcome::Done);
        self.side.write_response(entry.slot, &done);
        self.side.completions.push(entry.encode()).unwrap();
        if self.side.completions.take_wake_duty() {
            wake::notify(&self.wake).unwrap();
        }
    }

    fn serve(&mut self, requests: u32) {
        for _ in 0..requests {
            let (entry, _) = self.next();
            self.answer(entry);
        }
    }
}

/// Does what the peer does while the daemon does what it does.
fn both<P: Send, D>(peer: impl FnOnce() -> P + Send, daemon: impl FnOnce() -> D) -> (P, D) {
    std::thread::scope(|scope| {
        let peer = scope.spawn(peer);
        let done = daemon();
        (peer.join().unwrap(), done)
    })
}

/// A session with one open function, and the other side of both.
fn start(place: &Place) -> (Session, Function, Fake, Connection, Worker) {
    let fake = place.listen();
    let peer = || {
        let session = Session::connect(place.path()).unwrap();
        let function = session.open("echo", SIZE).unwrap();
        (session, function)
    };
    let daemon = || {
        let connection = fake.welcome();
        let worker = connection.open(signature(5));
        (connection, worker)
    };
    let ((session, function), (connection, worker)) = both(peer, daemon);
    (session, function, fake, connection, worker)
}

fn submit(function: &Function, byte: u8, budget: Option<Duration>) -> Pending {
    let mut request = function.request(5).unwrap();
    request.input_mut::<u8>("data").unwrap().fill(byte);
    request.submit(SubmitOptions { budget }).unwrap()
}

fn expect_echo(pending: Pending, byte: u8) {
    let reply = pending.wait().unwrap();
    assert_eq!(reply.outcome(), Outcome::Done);
    assert_eq!(reply.output::<u8>("data").unwrap(), [byte; 5]);
}

#[test]
fn refusals_that_may_pass_are_outwaited() {
    let place = Place::new();
    let (_session, function, fake, connection, mut worker) = start(&place);
    let first = submit(&function, 1, None);
    let second = submit(&function, 2, None);
    // The first is answered just before the death, the second was only read.
    worker.serve(1);
    worker.next();
    drop((fake, connection, worker));
    let fake = place.listen();
    let daemon = || {
        let connection = fake.welcome();
        let why = || "its device's worker is starting".to_owned();
        for _ in 0..3 {
            connection.refuse(OpenRefusal::Unavailable { name: "echo".to_owned(), why: why() });
        }
        let mut worker = connection.open(signature(5));
        let (entry, budget) = worker.next();
        assert_eq!(budget, None);
        worker.answer(entry);
        assert_eq!(worker.side.submissions.pop(), Ok(None), "the first is not presented again");
        (connection, worker)
    };
    let peer = || {
        expect_echo(second, 2);
        expect_echo(first, 1);
    };
    let ((), (_connection, mut worker)) = both(peer, daemon);
    both(|| expect_echo(submit(&function, 3, None), 3), || worker.serve(1));
}

#[test]
fn what_is_left_of_a_budget_goes_to_the_next_daemon() {
    let place = Place::new();
    let (_session, function, fake, connection, mut worker) = start(&place);
    let hour = Duration::from_secs(3600);
    let pending = submit(&function, 1, Some(hour));
    assert_eq!(worker.next().1, Some(hour));
    drop((fake, connection, worker));
    let fake = place.listen();
    let daemon = || {
        let connection = fake.welcome();
        let mut worker = connection.open(signature(5));
        let (entry, budget) = worker.next();
        assert!(budget.is_some_and(|left| left < hour), "{budget:?}");
        worker.answer(entry);
    };
    both(|| expect_echo(pending, 1), daemon);
}

#[test]
fn a_daemon_that_dies_before_it_answers_is_followed_by_the_next() {
    let place = Place::new();
    let (session, function, fake, connection, worker) = start(&place);
    let pending = submit(&function, 1, None);
    drop((fake, connection, worker));
    let daemon = || {
        for _ in 0..3 {
            let fake = place.listen();
            let connection = fake.welcome();
            drop(connection.asked());
        }
        let fake = place.listen();
        let connection = fake.welcome();
        connection.open(signature(5)).serve(1);
    };
    both(|| expect_echo(pending, 1), daemon);
    drop((session, function));
}

#[test]
fn refusals_that_do_not_pass_end_the_channel() {
    let what = "one peer may map 7 bytes".to_owned();
    for refusal in [OpenRefusal::OverLimit { what }, OpenRefusal::Draining] {
        let place = Place::new();
        let (_session, function, fake, connection, worker) = start(&place);
        let pending = submit(&function, 1, None);
        let unsent = function.request(5).unwrap();
        drop((fake, connection, worker));
        let fake = place.listen();
        let daemon = || {
            let connection = fake.welcome();
            connection.refuse(refusal.clone());
            connection
        };
        let (reply, _connection) = both(|| pending.wait().unwrap(), daemon);
        assert_eq!(reply.outcome(), RESTARTED);
        let error = SubmitError::Restarted(ReopenError::Refused(refusal.clone()));
        assert_eq!(function.request(5).unwrap_err(), error);
        drop(unsent);
    }
}

#[test]
fn a_daemon_of_another_release_ends_the_session() {
    let place = Place::new();
    let (session, function, fake, connection, worker) = start(&place);
    let pending = submit(&function, 1, None);
    drop((fake, connection, worker));
    let fake = place.listen();
    let daemon = PROTOCOL_VERSION + 1;
    let (reply, _connection) = both(|| pending.wait().unwrap(), || fake.accept(daemon));
    assert_eq!(reply.outcome(), RESTARTED);
    let error = ReopenError::Version { daemon };
    assert_eq!(function.request(5).unwrap_err(), SubmitError::Restarted(error.clone()));
    let refused = session.open("echo", SIZE);
    assert!(matches!(refused, Err(OpenError::Restarted(it)) if it == error));
}

#[test]
fn a_violation_is_told_and_nobody_is_asked_again() {
    let place = Place::new();
    let (session, function, fake, connection, worker) = start(&place);
    let pending = submit(&function, 1, None);
    let what = "ring entry 0x7 names no slot".to_owned();
    connection.say(&ToPeer::Violation { what: what.clone() });
    drop((connection, worker));
    let lost = Outcome::Refused(Refusal::because(Reason::DaemonLost));
    assert_eq!(pending.wait().unwrap().outcome(), lost);
    assert_eq!(function.request(5).unwrap_err(), SubmitError::Violation(what.clone()));
    let refused = session.open("echo", SIZE);
    assert!(matches!(refused, Err(OpenError::Violation(it)) if it == what));
    assert!(!fake.is_asked());
}

#[test]
fn a_channel_that_a_living_daemon_lets_go_is_presented_to_it_once() {
    let place = Place::new();
    let unknown = OpenRefusal::UnknownFunction { name: "echo".to_owned(), nearest: None };
    let why = "the device is lost".to_owned();
    let unavailable = OpenRefusal::Unavailable { name: "echo".to_owned(), why };
    let lost = Outcome::Refused(Refusal::because(Reason::WorkerLost));
    for (refusal, outcome, error) in [
        (unknown.clone(), RESTARTED, SubmitError::Restarted(unknown.into())),
        (unavailable, lost, SubmitError::Lost(Reason::WorkerLost)),
    ] {
        let (session, function, fake, connection, worker) = start(&place);
        let pending = submit(&function, 1, None);
        drop(worker);
        let daemon = || {
            assert_eq!(connection.closed(), ChannelId(0));
            connection.refuse(refusal);
        };
        let (reply, ()) = both(|| pending.wait().unwrap(), daemon);
        assert_eq!(reply.outcome(), outcome);
        assert_eq!(function.request(5).unwrap_err(), error);
        assert!(!fake.is_asked());
        let daemon = || connection.open(signature(5));
        let (function, mut worker) = both(|| session.open("echo", SIZE).unwrap(), daemon);
        both(|| expect_echo(submit(&function, 2, None), 2), || worker.serve(1));
    }
}

#[test]
fn a_living_daemon_may_take_a_channel_again() {
    let place = Place::new();
    let (_session, function, _fake, connection, worker) = start(&place);
    let pending = submit(&function, 1, None);
    drop(worker);
    let peer = || expect_echo(pending, 1);
    let daemon = || {
        connection.closed();
        let mut worker = connection.open(signature(5));
        worker.serve(1);
        worker
    };
    let ((), mut worker) = both(peer, daemon);
    both(|| expect_echo(submit(&function, 2, None), 2), || worker.serve(1));
}

#[test]
fn a_session_that_nobody_holds_looks_for_no_daemon() {
    let place = Place::new();
    let (session, function, fake, connection, worker) = start(&place);
    drop(submit(&function, 1, None));
    drop((fake, worker));
    // The peer has seen the loss, and lets go while it is looking.
    assert!(matches!(function.request(5).map(drop), Ok(())));
    drop((session, function));
    while !matches!(packet::receive::<ToDaemon>(&connection.0, 1), Err(PacketError::Closed)) {}
}

#[test]
fn without_patience_the_daemons_death_is_told_at_once() {
    let place = Place::new();
    let fake = place.listen();
    let options = SessionOptions { reconnect_for: Duration::ZERO };
    let peer = || {
        let session = Session::connect_with(place.path(), options).unwrap();
        let function = session.open("echo", SIZE).unwrap();
        (session, function)
    };
    let daemon = || {
        let connection = fake.welcome();
        let worker = connection.open(signature(5));
        (connection, worker)
    };
    let ((session, function), other_side) = both(peer, daemon);
    let pending = submit(&function, 1, None);
    drop(other_side);
    let lost = Outcome::Refused(Refusal::because(Reason::DaemonLost));
    assert_eq!(pending.wait().unwrap().outcome(), lost);
    let over = session.open("echo", SIZE);
    assert!(matches!(over, Err(OpenError::SessionOver(PacketError::Closed))));
    assert!(!fake.is_asked());
}
