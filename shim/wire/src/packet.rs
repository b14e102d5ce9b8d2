//! How control messages travel: one JSON document a packet on a SEQPACKET socket, with the
//! descriptors that belong to it beside it. Packets keep the two together and bound what is parsed.

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use thiserror::Error;

/// Longest message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Room for descriptors in one packet: more than a message may carry, so that an excess is seen and
/// closed rather than lost.
const DESCRIPTORS_SEEN: usize = 16;

/// Why a message could not be sent or received.
#[derive(Debug, Error)]
pub enum PacketError {
    /// The other side closed the socket.
    #[error("the other side closed the control socket")]
    Closed,
    /// Nothing to read, or no room to write, on a non-blocking socket.
    #[error("the control socket is not ready")]
    NotReady,
    /// Longer than any message is.
    #[error("a control message is longer than {MESSAGE_BYTES_MAX} bytes")]
    TooLong,
    /// Not a message of this protocol.
    #[error("a control message could not be understood: {0}")]
    Malformed(#[from] serde_json::Error),
    /// More descriptors than a message may carry here.
    #[error("a control message carries {0} descriptors, more than belong to any")]
    Descriptors(usize),
    /// The kernel's error.
    #[error("the control socket failed: {0}")]
    Os(Errno),
}

impl From<Errno> for PacketError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::EAGAIN => Self::NotReady,
            Errno::EPIPE | Errno::ECONNRESET => Self::Closed,
            Errno::EMSGSIZE => Self::TooLong,
            other => Self::Os(other),
        }
    }
}

/// Sends one message. Blocks only if the socket does.
///
/// # Errors
/// [`PacketError`]; `NotReady` when a non-blocking socket has no room.
pub fn send(
    socket: &impl AsFd,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), PacketError> {
    let body = serde_json::to_vec(message)?;
    if body.len() > MESSAGE_BYTES_MAX {
        return Err(PacketError::TooLong);
    }
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &rights[..0] } else { &rights[..] };
    let parts = [IoSlice::new(&body)];
    let socket = socket.as_fd().as_raw_fd();
    loop {
        match sendmsg::<()>(socket, &parts, control, MsgFlags::MSG_NOSIGNAL, None) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => (),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Receives one message and at most `descriptors_max` descriptors beside it. Blocks only if the
/// socket does.
///
/// # Errors
/// [`PacketError`]; descriptors of a refused packet are closed.
pub fn receive<M: DeserializeOwned>(
    socket: &impl AsFd,
    descriptors_max: usize,
) -> Result<(M, Vec<OwnedFd>), PacketError> {
    let mut body = vec![0; MESSAGE_BYTES_MAX + 1];
    let (bytes, descriptors, truncated) = receive_raw(socket, &mut body)?;
    if bytes == 0 && descriptors.is_empty() {
        return Err(PacketError::Closed);
    }
    if bytes > MESSAGE_BYTES_MAX {
        return Err(PacketError::TooLong);
    }
    if truncated || descriptors.len() > descriptors_max {
        return Err(PacketError::Descriptors(descriptors.len()));
    }
    Ok((serde_json::from_slice(&body[..bytes])?, descriptors))
}

fn receive_raw(
    socket: &impl AsFd,
    body: &mut [u8],
) -> Result<(usize, Vec<OwnedFd>, bool), PacketError> {
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_SEEN))];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let mut parts = [IoSliceMut::new(body)];
    let message = loop {
        match recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => (),
            other => break other.map_err(|errno| Errno::from_raw(errno.raw_os_error()))?,
        }
    };
    // More than there is room for were not handed over; those that were are ours to close, and the
    // buffer owns them until then.
    let truncated = message.flags.contains(ReturnFlags::CTRUNC);
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            descriptors.extend(rights);
        }
    }
    Ok((message.bytes, descriptors, truncated))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SockFlag::SOCK_NONBLOCK;
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap()
    }

    #[test]
    fn a_message_and_its_descriptors_arrive_together() {
        let (here, there) = pair();
        let (read, write) = nix::unistd::pipe().unwrap();
        send(&here, &"one", &[write.as_fd()]).unwrap();
        send(&here, &"two", &[]).unwrap();
        drop(write);
        let (text, descriptors) = receive::<String>(&there, 1).unwrap();
        assert_eq!((text.as_str(), descriptors.len()), ("one", 1));
        nix::unistd::write(&descriptors[0], b"x").unwrap();
        assert_eq!(nix::unistd::read(&read, &mut [0; 8]).unwrap(), 1);
        assert_eq!(receive::<String>(&there, 1).unwrap().0, "two");
        assert!(matches!(receive::<String>(&there, 1), Err(PacketError::NotReady)));
        drop(here);
        assert!(matches!(receive::<String>(&there, 1), Err(PacketError::Closed)));
    }

    #[test]
    fn descriptors_that_do_not_belong_are_closed() {
        let (here, there) = pair();
        let (read, write) = nix::unistd::pipe().unwrap();
        send(&here, &"many", &[write.as_fd(), write.as_fd()]).unwrap();
        drop(write);
        assert!(matches!(receive::<String>(&there, 1), Err(PacketError::Descriptors(2))));
        assert_eq!(nix::unistd::read(&read, &mut [0; 8]).unwrap(), 0, "nobody holds the pipe");
    }

    #[test]
    fn descriptors_beyond_what_is_seen_are_closed_too() {
        let (here, there) = pair();
        // As many as the kernel takes in one message.
        for count in [DESCRIPTORS_SEEN, DESCRIPTORS_SEEN + 1, 253] {
            let (read, write) = nix::unistd::pipe().unwrap();
            send(&here, &"many", &vec![write.as_fd(); count]).unwrap();
            drop(write);
            let refused = receive::<String>(&there, 1).unwrap_err();
            assert!(matches!(refused, PacketError::Descriptors(DESCRIPTORS_SEEN)), "{refused}");
            assert_eq!(nix::unistd::read(&read, &mut [0; 8]).unwrap(), 0, "nobody holds the pipe");
        }
    }

    #[test]
    fn long_and_senseless_messages_are_refused() {
        let (here, there) = pair();
        let long = "x".repeat(MESSAGE_BYTES_MAX);
        assert!(matches!(send(&here, &long, &[]), Err(PacketError::TooLong)));
        nix::sys::socket::send(here.as_raw_fd(), b"{nonsense", MsgFlags::empty()).unwrap();
        assert!(matches!(receive::<String>(&there, 1), Err(PacketError::Malformed(_))));
        let flood = vec![b' '; MESSAGE_BYTES_MAX + 1];
        nix::sys::socket::send(here.as_raw_fd(), &flood, MsgFlags::empty()).unwrap();
        assert!(matches!(receive::<String>(&there, 1), Err(PacketError::TooLong)));
    }
}
