//! How the dispatch thread sleeps: one epoll over the peers' wake-up channels, the command queue's
//! bell, the device's bell and a timer.

use gpumux_core::MonoTime;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::os::fd::AsFd;

/// Who ended the sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waker {
    /// The peer of the channel at this place.
    Channel(usize),
    /// The command queue.
    Commands,
    /// The device.
    Device,
    /// The timer.
    Timer,
}

const COMMANDS: u64 = u64::MAX;
const DEVICE: u64 = u64::MAX - 1;
const TIMER: u64 = u64::MAX - 2;
/// Wakers told by one sleep; more are told by the next.
const EVENTS: usize = 64;

/// See the file's head.
#[derive(Debug)]
pub(super) struct Bed {
    epoll: Epoll,
    timer: TimerFd,
    events: [EpollEvent; EVENTS],
}

impl Bed {
    pub(super) fn new(commands: &impl AsFd, device: &impl AsFd) -> Result<Self, Errno> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        epoll.add(commands, EpollEvent::new(EpollFlags::EPOLLIN, COMMANDS))?;
        epoll.add(device, EpollEvent::new(EpollFlags::EPOLLIN, DEVICE))?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        Ok(Self { epoll, timer, events: [EpollEvent::empty(); EVENTS] })
    }

    /// Lets a peer's wake-up channel end a sleep.
    pub(super) fn admit(&self, place: usize, wake: &impl AsFd) -> Result<(), Errno> {
        self.epoll.add(wake, EpollEvent::new(EpollFlags::EPOLLIN, place as u64))
    }

    /// Does not listen to it any more. One that was dismissed already is no matter.
    pub(super) fn dismiss(&self, wake: &impl AsFd) {
        let _dismissed = self.epoll.delete(wake);
    }

    /// Sleeps until somebody wakes this thread, at most until `wake`.
    pub(super) fn sleep(
        &mut self,
        now: MonoTime,
        wake: MonoTime,
    ) -> Result<impl Iterator<Item = Waker> + use<'_>, Errno> {
        if wake == MonoTime::NEVER {
            self.timer.unset()?;
        } else {
            // A timer of zero would be off.
            let span = wake.since(now).max(std::time::Duration::from_nanos(1));
            let once = Expiration::OneShot(TimeSpec::from_duration(span));
            self.timer.set(once, TimerSetTimeFlags::empty())?;
        }
        let count = match self.epoll.wait(&mut self.events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => 0,
            other => other?,
        };
        Ok(self.events[..count].iter().map(|event| match event.data() {
            COMMANDS => Waker::Commands,
            DEVICE => Waker::Device,
            TIMER => Waker::Timer,
            place => Waker::Channel(usize::try_from(place).expect("it was a place")),
        }))
    }
}
