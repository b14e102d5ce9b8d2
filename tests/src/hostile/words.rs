//! Harm done on the control socket.

use super::Hostile;
use super::connection::{Line, Trouble};
use gpumux_wire::PROTOCOL_VERSION;
use gpumux_wire::control::{ChannelId, ToDaemon};
use gpumux_wire::geometry::{ChannelSize, Geometry};
use gpumux_wire::{memfd, packet};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rand::RngExt;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

const SIZE: ChannelSize = ChannelSize { slots: 4, arena_bytes: 1 << 16 };
/// Connections that are attempted.
const CONNECTIONS: usize = 10_000;
/// Connections that are held at once, as far as the limit of descriptors allows.
const HELD: usize = 2000;

pub(super) fn connect_often(hostile: &mut Hostile) -> Result<(), Trouble> {
    let mut held: Vec<Line> = Vec::new();
    for _ in 0..CONNECTIONS {
        match Line::connect_at_once(&hostile.socket) {
            Ok(line) => {
                if hostile.rng.random_bool(0.3) {
                    line.say(&ToDaemon::Hello { version: PROTOCOL_VERSION }, &[]).or_else(ended)?;
                }
                held.push(line);
            }
            // The queue of those who wait is full, or the table of descriptors.
            Err(Trouble::Ended) => drop(held.pop()),
            Err(gone) => return Err(gone),
        }
        if held.len() == HELD {
            let at = hostile.rng.random_range(0..HELD);
            held.swap_remove(at);
        }
    }
    Ok(())
}

/// What the daemon ends on this line is no reason to leave off with the others.
fn ended(trouble: Trouble) -> Result<(), Trouble> {
    match trouble {
        Trouble::Ended => Ok(()),
        gone => Err(gone),
    }
}

pub(super) fn stay_silent(hostile: &mut Hostile) -> Result<(), Trouble> {
    let lines = (0..hostile.rng.random_range(1..50)).map(|_| hostile.connect());
    let lines = lines.collect::<Result<Vec<_>, _>>()?;
    // Until the daemon loses its patience, or this peer does.
    for line in lines.iter().take(4) {
        line.hear().map(drop).or_else(ended)?;
    }
    Ok(())
}

pub(super) fn send_halves(hostile: &mut Hostile) -> Result<(), Trouble> {
    for _ in 0..hostile.rng.random_range(1..30) {
        let line =
            if hostile.rng.random_bool(0.5) { hostile.greet()? } else { hostile.connect()? };
        let function = hostile.function.clone();
        let message = ToDaemon::Open { channel: ChannelId(1), function, size: SIZE };
        let mut bytes = serde_json::to_vec(&message).map_err(|_| Trouble::Ended)?;
        match hostile.rng.random_range(0..5) {
            0 => bytes.truncate(hostile.rng.random_range(0..bytes.len())),
            1 => bytes = vec![b'['; packet::MESSAGE_BYTES_MAX],
            2 => bytes = vec![b' '; packet::MESSAGE_BYTES_MAX + 1],
            3 => {
                bytes =
                    (0..hostile.rng.random_range(1..500)).map(|_| hostile.rng.random()).collect()
            }
            _ => bytes.extend(bytes.clone()),
        }
        line.raw(&bytes)?;
        if hostile.rng.random_bool(0.5) {
            line.hear().map(drop).or_else(ended)?;
        }
    }
    Ok(())
}

pub(super) fn never_listen(hostile: &mut Hostile) -> Result<(), Trouble> {
    let line = hostile.greet()?;
    let geometry = Geometry::new(SIZE).map_err(|_| Trouble::Ended)?;
    let memory = memfd::create(&geometry)?;
    for channel in 0..hostile.rng.random_range(1..3000) {
        // Until the daemon's answers fill the socket and it takes no more questions.
        let mut ready = [PollFd::new(line.0.as_fd(), PollFlags::POLLOUT)];
        if poll(&mut ready, PollTimeout::from(200u8))? == 0 {
            return Ok(());
        }
        line.ask(channel, &hostile.function, SIZE, &[memory.as_fd()])?;
    }
    Ok(())
}

pub(super) fn guess_names(hostile: &mut Hostile) -> Result<(), Trouble> {
    let line = hostile.greet()?;
    let _open = line.open(1, &hostile.function, SIZE)?;
    for _ in 0..hostile.rng.random_range(1..300) {
        let near = hostile.rng.random_range(0..64u32);
        let guess = if hostile.rng.random_bool(0.5) { near } else { hostile.rng.random() };
        line.say(&ToDaemon::Close { channel: ChannelId(guess) }, &[])?;
    }
    // A channel that is open, a function that is not there, a second hello.
    let _again = line.open(1, &hostile.function, SIZE);
    let _other = line.open(2, "../honest", SIZE);
    line.greet()
}

pub(super) fn leave_to_a_child(hostile: &mut Hostile) -> Result<(), Trouble> {
    let line = hostile.greet()?;
    let mut open = line.open(1, &hostile.function, SIZE)?;
    open.submit(0, 100)?;
    // The child is this peer's session now: its standard output is the session, its standard error
    // the wake-up channel. It ends when its standard input does.
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::from(line.0.try_clone()?))
        .stderr(Stdio::from(open.wake.try_clone()?))
        .spawn()?;
    open.submit(1, 100)?;
    drop((line, open));
    let line = hostile.greet()?;
    let _held = line.open(1, &hostile.function, SIZE)?;
    if hostile.rng.random_bool(0.5) {
        child.kill()?;
    }
    drop(child.stdin.take());
    child.wait()?;
    Ok(())
}

pub(super) fn open_and_close(hostile: &mut Hostile) -> Result<(), Trouble> {
    let line = hostile.greet()?;
    for channel in 0..hostile.rng.random_range(1..200) {
        let mut open = line.open(channel, &hostile.function, SIZE)?;
        open.submit(0, 64)?;
        if hostile.rng.random_bool(0.8) {
            line.say(&ToDaemon::Close { channel: ChannelId(channel) }, &[])?;
        }
    }
    Ok(())
}
