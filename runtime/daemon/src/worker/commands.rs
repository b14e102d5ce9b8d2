//! The two bounded queues between the worker's threads, each with a descriptor that ends a sleep.

use super::channel::Channel;
use crate::link::Attachment;
use crossbeam::queue::ArrayQueue;
use gpumux_core::FunctionId;
use gpumux_wire::request::Violation;
use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::{AsFd, BorrowedFd};

/// Commands that may wait; more, and the control thread waits for room.
const COMMANDS: usize = 256;
/// News that may wait. Each channel has at most two pieces under way, a violation and its leave; the
/// thread drains once, retires functions once and ends once.
pub(super) const NEWS: usize = 2 * super::dispatch::CHANNELS_MAX + 3;

/// From control to dispatch.
#[derive(Debug)]
pub(super) enum Command {
    /// Serve a channel.
    Attach(Box<Channel>),
    /// Leave a channel.
    Detach(Attachment),
    /// Every channel that another worker served is attached: take up what it had accepted.
    Resume,
    /// Read nothing more of a function.
    Retire(FunctionId),
    /// Every function that retires was named.
    Retired,
    /// Admit nothing more.
    Drain,
    /// Begin nothing more, and end the thread when nothing is on the device.
    Finish,
}

/// From dispatch to control.
#[derive(Debug)]
pub(super) enum News {
    /// A channel is not served any more; its memory is to be unmapped.
    Left(Box<Channel>),
    /// A peer broke the protocol.
    Violation(Attachment, Violation),
    /// Nothing is admitted, waits or runs.
    Drained,
    /// Nothing is open of the functions that retire.
    Retired,
    /// The thread ends, by request or because it cannot go on.
    Ended,
}

/// A bounded queue and its bell.
#[derive(Debug)]
pub(super) struct Queue<T> {
    items: ArrayQueue<T>,
    bell: EventFd,
}

impl Queue<Command> {
    pub(super) fn commands() -> Result<Self, Errno> {
        Self::with_room_for(COMMANDS)
    }
}

impl Queue<News> {
    pub(super) fn news() -> Result<Self, Errno> {
        Self::with_room_for(NEWS)
    }
}

impl<T> Queue<T> {
    fn with_room_for(items: usize) -> Result<Self, Errno> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let bell = EventFd::from_value_and_flags(0, flags)?;
        Ok(Self { items: ArrayQueue::new(items), bell })
    }

    /// Puts an item in and rings; gives it back when there is no room.
    pub(super) fn push(&self, item: T) -> Result<(), T> {
        self.items.push(item)?;
        self.ring();
        Ok(())
    }

    /// Ends the other thread's sleep.
    pub(super) fn ring(&self) {
        // The descriptor is this process's own. A counter that is full rings already.
        let _rings = self.bell.write(1);
    }

    pub(super) fn pop(&self) -> Option<T> {
        self.items.pop()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Stops the bell.
    pub(super) fn quiet(&self) {
        let _was_quiet = self.bell.read();
    }

    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
