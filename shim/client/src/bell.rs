//! A descriptor that becomes readable when a channel's worker, or anybody else, rings it.
//!
//! A channel's wake-up channel is another one after the daemon's restart, and who looks at it may
//! find that another thread was there first. So whoever waits elsewhere than in this crate polls an
//! epoll instance: it has whatever wake-up channel there is in it, and a counter to ring it by. Each
//! wake-up rings it once, whoever takes the wake-up from the socket.

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// What the counter is known by: no channel's number.
const RUNG: u64 = u64::MAX;
/// Events taken by one call.
const EVENTS: usize = 16;

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Bell {
    epoll: Epoll,
    counter: EventFd,
}

/// What was heard.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A wake-up channel that was added as this number.
    Channel(u64),
    /// It was rung.
    Rung,
}

impl Bell {
    pub(crate) fn new() -> Result<Self, Errno> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let counter = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        epoll.add(&counter, EpollEvent::new(EpollFlags::EPOLLIN, RUNG))?;
        Ok(Self { epoll, counter })
    }

    /// Rings with this wake-up channel, for as long as it is open. One that waits already rings at
    /// once.
    pub(crate) fn add(&self, wake: &impl AsFd, number: u32) -> Result<(), Errno> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        self.epoll.add(wake.as_fd(), EpollEvent::new(flags, u64::from(number)))
    }

    /// Rings it.
    pub(crate) fn ring(&self) {
        match self.counter.write(1) {
            // Full: it rings already.
            Ok(_) | Err(Errno::EAGAIN) => (),
            Err(errno) => unreachable!("a counter of our own takes a number: {errno}"),
        }
    }

    /// Waits until it rings, for at most so long, and silences it.
    pub(crate) fn hear(&self, wait: Option<Duration>) -> Result<Vec<Heard>, Errno> {
        let mut events = [EpollEvent::empty(); EVENTS];
        let wait = match wait {
            None => EpollTimeout::NONE,
            Some(span) => EpollTimeout::try_from(span).unwrap_or(EpollTimeout::MAX),
        };
        let count = match self.epoll.wait(&mut events, wait) {
            Err(Errno::EINTR) => 0,
            other => other?,
        };
        Ok(events[..count].iter().map(|event| self.heard(event)).collect())
    }

    /// Silences it.
    pub(crate) fn silence(&self) -> Result<(), Errno> {
        while !self.hear(Some(Duration::ZERO))?.is_empty() {}
        Ok(())
    }

    fn heard(&self, event: &EpollEvent) -> Heard {
        if event.data() != RUNG {
            return Heard::Channel(event.data());
        }
        // Who else read it silenced it.
        let _others = self.counter.read();
        Heard::Rung
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpumux_wire::wake;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    fn is_readable(bell: &Bell) -> bool {
        let mut ends = [PollFd::new(bell.as_fd(), PollFlags::POLLIN)];
        poll(&mut ends, PollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn each_wake_up_rings_once_though_it_stays_in_the_socket() {
        let bell = Bell::new().unwrap();
        let (here, there) = wake::pair().unwrap();
        wake::notify(&there).unwrap();
        bell.add(&here, 7).unwrap();
        for _ in 0..3 {
            assert!(is_readable(&bell));
            assert!(matches!(bell.hear(None).unwrap()[..], [Heard::Channel(7)]));
            assert!(!is_readable(&bell));
            wake::notify(&there).unwrap();
        }
        bell.silence().unwrap();
        assert!(!is_readable(&bell));
        drop(there);
        assert!(is_readable(&bell), "a closed end rings too");
    }

    #[test]
    fn it_is_rung_from_here() {
        let bell = Bell::new().unwrap();
        assert!(bell.hear(Some(Duration::ZERO)).unwrap().is_empty());
        bell.ring();
        bell.ring();
        assert!(is_readable(&bell));
        assert!(matches!(bell.hear(None).unwrap()[..], [Heard::Rung]));
        assert!(!is_readable(&bell));
    }
}
