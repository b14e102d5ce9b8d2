//! The byte that ends the other side's sleep.
//!
//! It travels over a socketpair that the daemon made. Every send and receive is non-blocking and
//! raises no signal, whatever flags the other side set on its end: a full socket means that a wake-up
//! already waits there.

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Wake-ups taken by one [`drain`]: a peer that floods cannot keep the worker in the loop.
const DRAIN_BYTES: usize = 64;

/// The other side closed its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Makes the two ends of a wake-up channel.
///
/// # Errors
/// What the kernel says: out of descriptors.
pub fn pair() -> std::io::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socketpair(AddressFamily::Unix, SockType::Stream, None, flags)?)
}

/// Wakes the other side.
///
/// # Errors
/// [`Gone`] when there is nobody to wake.
pub fn notify(end: &impl AsFd) -> Result<(), Gone> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    match send(end.as_fd().as_raw_fd(), &[1], flags) {
        Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(()),
        Err(_) => Err(Gone),
    }
}

/// Takes the wake-ups that wait, a bounded number of them.
///
/// # Errors
/// [`Gone`] when the other side closed its end.
pub fn drain(end: &impl AsFd) -> Result<(), Gone> {
    let mut bytes = [0; DRAIN_BYTES];
    match recv(end.as_fd().as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
        Ok(0) => Err(Gone),
        Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(()),
        Err(_) => Err(Gone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_socket_is_a_wake_up_that_waits() {
        let (here, there) = pair().unwrap();
        for _ in 0..1_000_000 {
            assert_eq!(notify(&here), Ok(()));
        }
        assert_eq!(drain(&there), Ok(()));
        drop(here);
        let mut passes = 0;
        while drain(&there) == Ok(()) {
            passes += 1;
            assert!(passes < 1_000_000, "the socket never ends");
        }
    }

    #[test]
    fn nobody_there_is_told() {
        let (here, there) = pair().unwrap();
        drop(there);
        assert_eq!(notify(&here), Err(Gone));
        assert_eq!(drain(&here), Err(Gone));
    }
}
