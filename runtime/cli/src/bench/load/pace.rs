//! What a peer sleeps on: its next moment, answers, and orders.

use crate::clock;
use crate::failure::Failure;
use gpumux_shim::Readiness;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::os::fd::AsFd;
use std::time::Duration;

/// The clock of a run, and the timer that wakes a peer.
///
/// The timer is a descriptor with an absolute time, so that a moment is met as well as the kernel
/// can: a limit of `poll` itself may be late by the timer slack of the thread.
#[derive(Debug)]
pub(super) struct Pace {
    timer: TimerFd,
    /// The run's beginning, since the machine's.
    origin: Duration,
}

/// Why a sleep ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Woken {
    /// There may be an order.
    pub(super) ordered: bool,
}

impl Pace {
    /// # Errors
    /// What the kernel says.
    pub(super) fn new(origin: Duration) -> Result<Self, Failure> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        Ok(Self { timer: TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?, origin })
    }

    /// # Errors
    /// What the kernel says.
    pub(super) fn has_begun(&self) -> Result<bool, Failure> {
        Ok(self.origin <= clock::since_boot()?)
    }

    /// Since the run's beginning; zero before it.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn now(&self) -> Result<Duration, Failure> {
        Ok(clock::since_boot()?.saturating_sub(self.origin))
    }

    /// Sleeps until a moment, an answer or an order.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn sleep(
        &self,
        until: Duration,
        answers: &Readiness,
        orders: &impl AsFd,
    ) -> Result<Woken, Failure> {
        let at = Expiration::OneShot(TimeSpec::from(self.origin.saturating_add(until)));
        self.timer.set(at, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        let mut ends = [
            PollFd::new(self.timer.as_fd(), PollFlags::POLLIN),
            PollFd::new(answers.as_fd(), PollFlags::POLLIN),
            PollFd::new(orders.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut ends, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => (),
            Err(errno) => return Err(errno.into()),
        }
        Ok(Woken { ordered: ends[2].any().unwrap_or(true) })
    }
}
