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
    /// When the timer ends the next sleep.
    armed: MonoTime,
    events: [EpollEvent; EVENTS],
}

impl Bed {
    pub(super) fn new(commands: &impl AsFd, device: &impl AsFd) -> Result<Self, Errno> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        epoll.add(commands, EpollEvent::new(EpollFlags::EPOLLIN, COMMANDS))?;
        // Each wake-up of the device is told once, so that none has to be taken back.
        epoll.add(device, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, DEVICE))?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        Ok(Self { epoll, timer, armed: MonoTime::NEVER, events: [EpollEvent::empty(); EVENTS] })
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
        self.arm(now, wake)?;
        let count = match self.epoll.wait(&mut self.events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => 0,
            other => other?,
        };
        if self.events[..count].iter().any(|event| event.data() == TIMER) {
            self.armed = MonoTime::NEVER;
            self.timer.unset()?;
        }
        Ok(self.events[..count].iter().map(|event| match event.data() {
            COMMANDS => Waker::Commands,
            DEVICE => Waker::Device,
            TIMER => Waker::Timer,
            place => Waker::Channel(usize::try_from(place).expect("it was a place")),
        }))
    }

    /// Sees that the timer ends the sleep by `wake`. One that is set for an earlier moment stays: it
    /// costs one look too many, and to set it for each sleep would cost a call of the kernel each.
    fn arm(&mut self, now: MonoTime, wake: MonoTime) -> Result<(), Errno> {
        if self.armed <= wake {
            return Ok(());
        }
        // A timer of zero would be off.
        let span = wake.since(now).max(std::time::Duration::from_nanos(1));
        let once = Expiration::OneShot(TimeSpec::from_duration(span));
        self.timer.set(once, TimerSetTimeFlags::empty())?;
        self.armed = wake;
        Ok(())
    }
}
