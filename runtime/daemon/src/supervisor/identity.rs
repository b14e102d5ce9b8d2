//! Who a peer is, as the kernel says.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, getsockopt, socketpair,
    sockopt::{PeerCredentials, PeerPidfd},
};
use std::os::fd::{AsFd, AsRawFd};

/// Who connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// 0 when it is in another namespace.
    pub(super) pid: i32,
    pub(super) uid: u32,
    /// Its primary group.
    pub(super) gid: u32,
    /// Where it was among cgroups when it was looked at; empty when that was not asked for.
    pub(super) cgroup: String,
}

impl Identity {
    /// Asks the kernel who is at the other end, and, where that decides something, in which cgroup.
    ///
    /// # Errors
    /// What kept it from finding out.
    pub(super) fn of(socket: &impl AsFd, with_cgroup: bool) -> Result<Self, String> {
        let peer = getsockopt(socket, PeerCredentials).map_err(|errno| errno.to_string())?;
        let cgroup = if with_cgroup { cgroup_of(socket)? } else { String::new() };
        Ok(Self { pid: peer.pid(), uid: peer.uid(), gid: peer.gid(), cgroup })
    }
}

/// Whether this kernel gives a descriptor of a peer's process (Linux 6.5): a number alone may be
/// another's by the time that it is looked up.
pub(super) fn kernel_tells_cgroups() -> bool {
    let flags = SockFlag::SOCK_CLOEXEC;
    let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags);
    // Whatever else a pair answers of itself does not matter here.
    pair.is_ok_and(|(one, _other)| !matches!(getsockopt(&one, PeerPidfd), Err(Errno::ENOPROTOOPT)))
}

/// The peer's cgroup. Its process is named by a descriptor, and still lived when the file was read,
/// so the file was its own.
fn cgroup_of(socket: &impl AsFd) -> Result<String, String> {
    let process = getsockopt(socket, PeerPidfd)
        .map_err(|errno| format!("its process could not be named: {errno}"))?;
    let about = format!("/proc/self/fdinfo/{}", process.as_raw_fd());
    let about = std::fs::read_to_string(about).map_err(|error| error.to_string())?;
    let pid = about.lines().find_map(|line| line.strip_prefix("Pid:")).map(str::trim);
    let pid = pid.and_then(|pid| pid.parse::<u32>().ok()).ok_or("its process has ended")?;
    let cgroups = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))
        .map_err(|error| format!("its cgroup could not be read: {error}"))?;
    let mut ends = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    if poll(&mut ends, PollTimeout::ZERO) != Ok(0) {
        return Err("its process has ended".to_owned());
    }
    let unified = cgroups.lines().find_map(|line| line.strip_prefix("0::"));
    unified.map(str::to_owned).ok_or_else(|| "its cgroup is none of version 2".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_of_this_process_is_this_process() {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (one, _other) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
        let asked = kernel_tells_cgroups();
        let peer = Identity::of(&one, asked).unwrap();
        assert_eq!(u32::try_from(peer.pid), Ok(std::process::id()));
        assert_eq!(peer.uid, nix::unistd::geteuid().as_raw());
        assert_eq!(peer.gid, nix::unistd::getegid().as_raw());
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        assert!(!asked || own.lines().any(|line| line == format!("0::{}", peer.cgroup)));
    }
}
