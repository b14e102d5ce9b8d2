//! The drill: peers with a steady load while devices fault, hang and are lost, and while workers,
//! supervisors and peers are killed.
//!
//! Three kinds of process: the one that leads it kills and restarts the others (`lead`); *steady*
//! peers check every reply (`steady`); one *poisoner* submits requests that kill workers (`poisoner`).
//! Each peer ends when its standard input does, and then says what its requests came to (`tally`).

pub mod lead;
pub mod poisoner;
pub mod recovery;
pub mod steady;
mod tally;

use crate::clock::Clock;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::error::Error;
use std::os::fd::AsFd;
use std::time::Duration;

/// Why a process of the drill could not do its part.
pub type Failure = Box<dyn Error>;

/// Functions that steady peers use, on each of two devices.
pub const STEADY: [&str; 2] = ["steady-0", "steady-1"];
/// Functions that the poisoner uses.
pub const POISONED: [&str; 2] = ["poisoned-0", "poisoned-1"];

/// Lets time pass: this is the pace of the drill, and waits for nothing.
fn pass(span: Duration) -> Result<(), Failure> {
    let timeout = PollTimeout::try_from(span.as_millis()).unwrap_or(PollTimeout::MAX);
    match poll(&mut [], timeout) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Looks whether standard input has ended, for as long as `span`.
fn is_told_to_end(span: Duration) -> Result<bool, Failure> {
    let input = std::io::stdin();
    let clock = Clock::start();
    loop {
        let left = span.saturating_sub(clock.now());
        let timeout = PollTimeout::try_from(left.as_millis()).unwrap_or(PollTimeout::MAX);
        let mut ends = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ends, timeout) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(nix::errno::Errno::EINTR) => (),
            Err(error) => return Err(error.into()),
        }
    }
}
