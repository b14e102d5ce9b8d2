//! Descriptors that are no channel memory.

use super::Hostile;
use super::connection::{Line, Trouble};
use gpumux_wire::geometry::{ChannelSize, Geometry};
use gpumux_wire::memfd;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::epoll::{Epoll, EpollCreateFlags};
use nix::sys::eventfd::EventFd;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{ftruncate, pipe};
use rand::RngExt;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

const SIZE: ChannelSize = ChannelSize { slots: 4, arena_bytes: 1 << 16 };

fn sealed(flags: MFdFlags, bytes: i64, seals: SealFlag) -> Result<OwnedFd, Trouble> {
    let memory = memfd_create(c"wrong", flags | MFdFlags::MFD_ALLOW_SEALING)?;
    ftruncate(&memory, bytes)?;
    fcntl(&memory, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(memory)
}

/// The descriptor of a kind; kinds that this kernel cannot make end the behaviour.
fn wrong(kind: u32, line: &Line) -> Result<OwnedFd, Trouble> {
    let right = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    let none = MFdFlags::empty();
    let bytes = 1 << 21;
    Ok(match kind {
        0 => File::open("/dev/null")?.into(),
        1 => File::open("/dev/zero")?.into(),
        2 => pipe()?.0,
        3 => pipe()?.1,
        4 => EventFd::new()?.into(),
        5 => File::open("/")?.into(),
        6 => Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?.0,
        // The session's own socket, which then refers to itself.
        7 => line.0.try_clone()?,
        8 => sealed(none, bytes, SealFlag::empty())?,
        9 => sealed(none, bytes, SealFlag::F_SEAL_SHRINK)?,
        10 => sealed(none, bytes, right | SealFlag::F_SEAL_WRITE)?,
        11 => sealed(none, bytes, right | SealFlag::F_SEAL_FUTURE_WRITE)?,
        12 => sealed(none, 4096, right)?,
        13 => sealed(none, 0, right)?,
        14 => sealed(none, 1 << 50, right)?,
        15 => sealed(MFdFlags::MFD_HUGETLB, bytes, right)?,
        16 => tempfile::tempfile_in("/dev/shm")?.into(),
        17 => File::open("/proc/self/maps")?.into(),
        _ => File::open("/proc/self/exe")?.into(),
    })
}

pub(super) fn send_wrong_ones(hostile: &mut Hostile) -> Result<(), Trouble> {
    let line = hostile.greet()?;
    for channel in 0..hostile.rng.random_range(1..40) {
        let memory = wrong(hostile.rng.random_range(0..19), &line)?;
        line.ask(channel, &hostile.function, SIZE, &[memory.as_fd()])?;
        line.hear()?;
    }
    Ok(())
}

pub(super) fn send_many(hostile: &mut Hostile) -> Result<(), Trouble> {
    let line = if hostile.rng.random_bool(0.5) { hostile.greet()? } else { hostile.connect()? };
    let geometry = Geometry::new(SIZE).map_err(|_| Trouble::Ended)?;
    let memory = memfd::create(&geometry)?;
    for channel in 0..hostile.rng.random_range(1..10) {
        // 253 is as many as the kernel takes in one message.
        let count = [0, 2, 3, 16, 17, 253][hostile.rng.random_range(0..6)];
        let many = vec![memory.as_fd(); count];
        line.ask(channel, &hostile.function, SIZE, &many)?;
        line.hear()?;
    }
    Ok(())
}
