//! A ring and a wake-up channel between two processes, and nothing else: what the daemon's path
//! stands on, used bare.
//!
//! It follows the shim and the daemon step by step (publish, wake only who sleeps; announce a
//! sleep, look once more, sleep), so that a difference between the two is the daemon's work.

use super::peer::Way;
use crate::failure::Failure;
use gpumux_wire::channel::{Mapping, PeerSide, WorkerSide};
use gpumux_wire::geometry::{ChannelSize, Geometry};
use gpumux_wire::{memfd, packet, wake};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, OwnedFd};

/// Words that may be in flight; nothing lies in the arena.
const SIZE: ChannelSize = ChannelSize { slots: 64, arena_bytes: 64 };
/// Words returned to one asker before the others have their turn, as in the daemon.
const WORDS_A_PASS: usize = 32;

/// What the process that starts the others says to them, over their standard input.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Here is an end of a bare channel: its memory and its wake-up end travel beside this.
    Take,
    /// Everything is in place.
    Begin,
}

/// An end of a bare channel: its memory, and an end of its wake-up channel.
#[derive(Debug)]
pub(super) struct End {
    memory: OwnedFd,
    wake: OwnedFd,
}

/// The two ends of a new bare channel.
///
/// # Errors
/// What the kernel says.
pub(super) fn channel() -> Result<(End, End), Failure> {
    let memory = memfd::create(&geometry())?;
    let (asker, answerer) = wake::pair()?;
    let ours = End { memory: memory.try_clone()?, wake: asker };
    Ok((ours, End { memory, wake: answerer }))
}

fn geometry() -> Geometry {
    Geometry::new(SIZE).expect("a possible size")
}

impl End {
    /// Gives it to a process.
    ///
    /// # Errors
    /// [`Failure::Process`] when the process is gone.
    pub(super) fn give(&self, process: &impl AsFd) -> Result<(), Failure> {
        let descriptors = [self.memory.as_fd(), self.wake.as_fd()];
        packet::send(process, &Order::Take, &descriptors).map_err(Failure::process)
    }
}

/// Waits for the next order.
///
/// # Errors
/// [`Failure::Process`] when who gives orders is gone, or does not speak of this.
pub(super) fn order(orders: &impl AsFd) -> Result<(Order, Option<End>), Failure> {
    let (order, mut descriptors) = packet::receive(orders, 2).map_err(Failure::process)?;
    let end = match (descriptors.pop(), descriptors.pop()) {
        (Some(wake), Some(memory)) => Some(End { memory, wake }),
        _ => None,
    };
    Ok((order, end))
}

/// The end that asks.
#[derive(Debug)]
pub(super) struct Asker {
    side: PeerSide,
    wake: OwnedFd,
    /// It looks for words and never sleeps.
    polls: bool,
    /// Words that came back.
    returned: u64,
}

impl Asker {
    /// # Errors
    /// What mmap says.
    pub(super) fn new(end: End, polls: bool) -> Result<Self, Failure> {
        let mapping = Mapping::new(&end.memory, geometry())?;
        Ok(Self { side: PeerSide::new(&mapping), wake: end.wake, polls, returned: 0 })
    }

    fn sleep(&mut self) -> Result<(), Failure> {
        self.side.completions.announce_sleep();
        if self.side.completions.pending() == Ok(0) {
            let mut ends = [PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
            poll(&mut ends, PollTimeout::NONE).map_err(std::io::Error::from)?;
            wake::drain(&self.wake).map_err(|_| gone())?;
        }
        self.side.completions.withdraw_sleep();
        Ok(())
    }
}

impl Way for Asker {
    fn send(&mut self, number: u64) -> Result<(), Failure> {
        self.side.submissions.push(number).map_err(Failure::process)?;
        if self.side.submissions.take_wake_duty() {
            wake::notify(&self.wake).map_err(|_| gone())?;
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<(), Failure> {
        loop {
            match self.side.completions.pop().map_err(Failure::process)? {
                Some(word) if word == self.returned => {
                    self.returned += 1;
                    return Ok(());
                }
                Some(_) => return Err(Failure::process("another word came back")),
                None if self.polls => std::hint::spin_loop(),
                None => self.sleep()?,
            }
        }
    }
}

/// The end that answers.
#[derive(Debug)]
pub(super) struct Answerer {
    side: WorkerSide,
    pub(super) wake: OwnedFd,
}

impl Answerer {
    /// # Errors
    /// What mmap says.
    pub(super) fn new(end: End) -> Result<Self, Failure> {
        let mapping = Mapping::new(&end.memory, geometry())?;
        Ok(Self { side: WorkerSide::new(&mapping), wake: end.wake })
    }

    /// Returns the words that wait; says whether there were any.
    ///
    /// # Errors
    /// [`Failure::Process`] when the other end claims what cannot be.
    pub(super) fn answer(&mut self) -> Result<bool, Failure> {
        let mut answered = false;
        for _ in 0..WORDS_A_PASS {
            let Some(word) = self.side.submissions.pop().map_err(Failure::process)? else { break };
            self.side.completions.push(word).map_err(Failure::process)?;
            answered = true;
        }
        if answered && self.side.completions.take_wake_duty() {
            // An asker that is done has closed its end.
            let _gone = wake::notify(&self.wake);
        }
        Ok(answered)
    }

    pub(super) fn announce_sleep(&self) {
        self.side.submissions.announce_sleep();
    }

    pub(super) fn withdraw_sleep(&self) {
        self.side.submissions.withdraw_sleep();
    }

    /// Whether nothing waits.
    pub(super) fn is_quiet(&self) -> bool {
        self.side.submissions.pending() == Ok(0)
    }
}

fn gone() -> Failure {
    Failure::process("the other end is gone")
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: u64 = 1000;

    #[test]
    fn words_return_between_threads_that_sleep() {
        let (asker, answerer) = channel().unwrap();
        let mut answerer = Answerer::new(answerer).unwrap();
        let asking = std::thread::spawn(move || {
            let mut asker = Asker::new(asker, false).unwrap();
            (0..WORDS).for_each(|word| {
                asker.send(word).unwrap();
                if word > 2 {
                    asker.receive().unwrap();
                }
            });
            (0..3).for_each(|_| asker.receive().unwrap());
        });
        while !asking.is_finished() {
            answerer.announce_sleep();
            if answerer.is_quiet() {
                let mut ends = [PollFd::new(answerer.wake.as_fd(), PollFlags::POLLIN)];
                poll(&mut ends, PollTimeout::NONE).unwrap();
                let _asked = wake::drain(&answerer.wake);
            }
            answerer.withdraw_sleep();
            while answerer.answer().unwrap() {}
        }
        asking.join().unwrap();
    }
}
