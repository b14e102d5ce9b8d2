//! One open function's shared memory, and who may touch which part of it.
//!
//! Everything that several threads share is behind one mutex; tensors are reached only by the one
//! owner of their slot. Who serves the channel is its *link*: a worker, nobody for the moment, or
//! nobody ever again. Only while the link is up does this side touch the rings.

use crate::clock;
use crate::control::{Control, Opened};
use crate::error::{Loss, SubmitError};
#[cfg(feature = "tokio")]
use crate::reactor::Reactors;
use crate::request::record;
use crate::slots::{Presented, Reserved, Slots};
use crate::state::{Link, Locked, State};
use gpumux_wire::channel::{Mapping, PeerSide};
use gpumux_wire::control::ChannelId;
use gpumux_wire::outcome::Reason;
use gpumux_wire::record::{Entry, SubmissionKind};
use gpumux_wire::signature::Signature;
use gpumux_wire::wake;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// One open function.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) control: Arc<Control>,
    pub(crate) signature: Signature,
    pub(crate) id: ChannelId,
    /// The function's name, to present the channel by.
    pub(crate) function: String,
    pub(crate) memory: Memory,
    state: Mutex<State>,
    /// Rung when requests ended, the link changed, or the thread that polled stopped polling.
    pub(crate) changed: Condvar,
    #[cfg(feature = "tokio")]
    pub(crate) reactors: Reactors,
}

/// A channel's memory: the descriptor to present it by, and where it is mapped here.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) memfd: OwnedFd,
    pub(crate) mapping: Arc<Mapping>,
}

/// The other side wrote what no worker writes: the memory is not shared with one any more.
struct Impossible;

/// A slot and its block, held by a `Request`, a `Pending` or a `Reply`.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) channel: Arc<Channel>,
    pub(crate) slot: u32,
    /// The block's first byte, from the arena's start.
    pub(crate) offset: u64,
    pub(crate) length: u32,
}

impl Channel {
    pub(crate) fn new(
        control: Arc<Control>,
        function: String,
        memory: Memory,
        opened: Opened,
    ) -> Self {
        let geometry = memory.mapping.geometry();
        let state = State {
            side: PeerSide::new(&memory.mapping),
            slots: Slots::new(geometry.slots(), geometry.arena_bytes()),
            link: Link::Up { wake: Arc::new(opened.wake), epoch: opened.epoch },
            polling: false,
            listeners: Vec::new(),
        };
        Self {
            control,
            signature: opened.signature,
            id: opened.channel,
            function,
            memory,
            state: Mutex::new(state),
            changed: Condvar::new(),
            #[cfg(feature = "tokio")]
            reactors: Reactors::default(),
        }
    }

    pub(crate) fn lock(&self) -> Locked<'_> {
        Locked::new(&self.state)
    }

    /// Whether a future waits for a request of this channel.
    pub(crate) fn is_awaited(&self) -> bool {
        self.lock().slots.is_awaited()
    }

    /// Takes a slot, and a block of `bytes` from the arena.
    pub(crate) fn reserve(self: &Arc<Self>, length: u32, bytes: u64) -> Result<Held, SubmitError> {
        if self.control.fork.forked() {
            return Err(SubmitError::Forked);
        }
        let mut state = self.lock();
        self.take_completions(&mut state);
        if let Link::Ended(loss) = &state.link {
            return Err(loss.error());
        }
        let reserved = match state.slots.reserve(length, bytes) {
            // What a dead worker will never answer gives its room back.
            Err(_) if self.notice(&mut state) => state.slots.reserve(length, bytes),
            other => other,
        };
        let Reserved { slot, offset } = reserved?;
        Ok(Held { channel: Arc::clone(self), slot, offset, length })
    }

    /// The first byte of a tensor in the arena. It is valid for `bytes` bytes, and this process's
    /// alone while the caller's `Held` is a `Request` or a `Reply`.
    pub(crate) fn tensor(&self, offset: u64, bytes: u64) -> *mut u8 {
        let mapping = &self.memory.mapping;
        let end = offset.checked_add(bytes).expect("offsets come from the arena's allocator");
        assert!(end <= mapping.geometry().arena_bytes(), "offsets come from the arena's allocator");
        let offset = usize::try_from(offset).expect("the arena is mapped");
        mapping.arena_start().wrapping_add(offset)
    }

    /// Publishes a filled slot. While nobody serves the channel it waits for who will.
    pub(crate) fn submit(&self, held: &Held, budget: Option<Duration>) -> Result<(), SubmitError> {
        let now = budget.map(|budget| (clock::now(), budget));
        let deadline = now.and_then(|(now, budget)| now.checked_add(budget));
        let mut state = self.lock();
        if let Link::Ended(loss) = &state.link {
            return Err(loss.error());
        }
        let Held { slot, offset, length, .. } = *held;
        let generation = state.slots.submit(slot, deadline);
        self.present(&mut state, Presented { slot, generation, offset, length, budget });
        Ok(())
    }

    /// Writes a request's record and tells the worker of it, if there is one.
    pub(crate) fn present(&self, state: &mut State, request: Presented) {
        if let Link::Up { .. } = state.link {
            state.side.write_request(request.slot, &record(&self.signature, &request));
            self.push(state, request.slot, request.generation, SubmissionKind::Submit);
        }
    }

    /// Asks that a request be left off.
    pub(crate) fn cancel(&self, slot: u32) {
        let mut state = self.lock();
        if let Some(generation) = state.slots.cancel(slot) {
            self.withdraw(&mut state, slot, generation);
        }
    }

    /// Which use of a slot this is. Its holder asks.
    pub(crate) fn generation(&self, slot: u32) -> u32 {
        self.lock().slots.generation(slot)
    }

    /// Asks that a request be left off if the slot is still its own.
    pub(crate) fn cancel_generation(&self, slot: u32, generation: u32) {
        if self.control.fork.forked() {
            return;
        }
        let mut state = self.lock();
        if state.slots.generation(slot) == generation && state.slots.cancel(slot).is_some() {
            self.withdraw(&mut state, slot, generation);
        }
    }

    /// The holder of a slot is gone: free it now, or when the worker is done with it.
    pub(crate) fn let_go(&self, slot: u32) {
        if self.control.fork.forked() {
            return;
        }
        let mut state = self.lock();
        if let Some(generation) = state.slots.let_go(slot) {
            self.withdraw(&mut state, slot, generation);
        }
    }

    fn withdraw(&self, state: &mut State, slot: u32, generation: u32) {
        match state.link {
            Link::Up { .. } => self.push(state, slot, generation, SubmissionKind::Cancel),
            Link::Away(_) | Link::Ended(_) => {
                state.slots.without_worker();
                self.tell(state);
            }
        }
    }

    fn push(&self, state: &mut State, slot: u32, generation: u32, kind: SubmissionKind) {
        let Link::Up { wake, .. } = &state.link else { return };
        let entry = Entry { slot, kind, generation };
        // The ring has room for whatever the slots can have in it, as each use of one is submitted
        // once and cancelled once: only a worker that writes nonsense leaves it full.
        if state.side.submissions.push(entry.encode()).is_ok()
            && state.side.submissions.take_wake_duty()
            && wake::notify(wake).is_err()
        {
            self.part(state);
        }
    }

    /// Looks whether the worker's end of the wake-up channel has closed, and leaves the wake-ups in
    /// it to the thread that sleeps there. Says whether the channel has just lost its worker.
    pub(crate) fn notice(&self, state: &mut State) -> bool {
        let Link::Up { wake, .. } = &state.link else { return false };
        let mut ends = [PollFd::new(wake.as_fd(), PollFlags::empty())];
        let closed = matches!(poll(&mut ends, PollTimeout::ZERO), Ok(count) if count > 0);
        if closed {
            self.part(state);
        }
        closed
    }

    /// Takes every completion that waits.
    pub(crate) fn take_completions(&self, state: &mut State) {
        if let Err(Impossible) = self.drain_ring(state) {
            self.end(state, Loss::Gone(Reason::WorkerLost));
        }
    }

    fn drain_ring(&self, state: &mut State) -> Result<(), Impossible> {
        let Link::Up { .. } = state.link else { return Ok(()) };
        let mut ended = false;
        while let Some(word) = state.side.completions.pop().map_err(|_| Impossible)? {
            let slots = self.memory.mapping.geometry().slots();
            let Entry { slot, generation, .. } =
                Entry::decode(word, slots).map_err(|_| Impossible)?;
            let side = &state.side;
            ended |= state.slots.complete(slot, generation, || side.read_response(slot));
        }
        if ended {
            self.tell(state);
        }
        Ok(())
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        #[cfg(feature = "tokio")]
        if !self.control.fork.forked() {
            self.dismiss_reactors();
        }
        self.control.close(self.id);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.channel.let_go(self.slot);
    }
}
