//! One open function's shared memory, and who may touch which part of it.
//!
//! A slot and its block of the arena go together: reserved, filled by one `Request`, then the
//! worker's until the completion arrives, then read through one `Reply`, then free. Everything that
//! several threads share is behind one mutex; tensors are reached only by the one owner.

use crate::error::{SubmitError, WaitError};
use crate::session::Control;
use gpumux_wire::channel::{Mapping, PeerSide};
use gpumux_wire::control::ChannelId;
use gpumux_wire::geometry::TENSOR_ALIGNMENT;
use gpumux_wire::outcome::{Outcome, Reason, Refusal};
use gpumux_wire::record::{Entry, RequestRecord, ResponseRecord, SubmissionKind};
use gpumux_wire::signature::Signature;
use gpumux_wire::wake;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use offset_allocator::{Allocation, Allocator};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// One open function.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) control: Arc<Control>,
    pub(crate) signature: Signature,
    id: ChannelId,
    mapping: Arc<Mapping>,
    wake: OwnedFd,
    state: Mutex<State>,
    /// Rung when completions were taken, or the thread that polled stopped polling.
    changed: Condvar,
}

struct State {
    side: PeerSide,
    arena: Allocator,
    free: Vec<u32>,
    slots: Vec<Slot>,
    /// One thread sleeps in the kernel for all; the others wait for it.
    polling: bool,
    /// Why nothing more will come.
    lost: Option<Reason>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("lost", &self.lost).finish_non_exhaustive()
    }
}

struct Slot {
    generation: u32,
    stage: Stage,
    block: Option<Allocation>,
    /// What the worker answered, while the stage is `Answered`.
    answer: ResponseRecord,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Free,
    /// A `Request` fills it.
    Filling,
    /// The worker has it; a `Pending` waits.
    InFlight,
    /// The worker has it; nobody waits, so it is freed when the completion arrives.
    Abandoned,
    /// The completion arrived.
    Answered,
    /// A `Reply` reads it.
    Reading,
}

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
        id: ChannelId,
        signature: Signature,
        mapping: &Arc<Mapping>,
        wake: OwnedFd,
    ) -> Self {
        let geometry = mapping.geometry();
        let slots = geometry.slots();
        let units = geometry.arena_bytes() / TENSOR_ALIGNMENT;
        let units = u32::try_from(units).expect("an arena is at most 2^36 bytes, in units of 64");
        let free_slot = |_| Slot {
            generation: 0,
            stage: Stage::Free,
            block: None,
            answer: ResponseRecord::default(),
        };
        let state = State {
            side: PeerSide::new(mapping),
            // A block a slot, a hole between each two of them, and one to spare.
            arena: Allocator::with_max_allocs(units, slots * 2 + 2),
            free: (0..slots).rev().collect(),
            slots: (0..slots).map(free_slot).collect(),
            polling: false,
            lost: None,
        };
        Self {
            control,
            signature,
            id,
            mapping: Arc::clone(mapping),
            wake,
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A thread that panicked held no half-made change: every change below is one assignment, or
        // ends before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot, and a block of `bytes` from the arena.
    pub(crate) fn reserve(self: &Arc<Self>, length: u32, bytes: u64) -> Result<Held, SubmitError> {
        if self.control.fork.forked() {
            return Err(SubmitError::Forked);
        }
        let mut state = self.lock();
        self.take_completions(&mut state);
        if let Some(reason) = state.lost {
            return Err(SubmitError::Lost(reason));
        }
        let slots = self.mapping.geometry().slots();
        let slot = *state.free.last().ok_or(SubmitError::SlotsFull { slots })?;
        let full = SubmitError::ArenaFull { needed: bytes };
        let units = bytes.div_ceil(TENSOR_ALIGNMENT).max(1);
        let Ok(units) = u32::try_from(units) else { return Err(full) };
        let block = state.arena.allocate(units).ok_or(full)?;
        state.free.pop();
        let entry = &mut state.slots[slot as usize];
        entry.stage = Stage::Filling;
        entry.generation = entry.generation.wrapping_add(1);
        entry.block = Some(block);
        let offset = u64::from(block.offset) * TENSOR_ALIGNMENT;
        Ok(Held { channel: Arc::clone(self), slot, offset, length })
    }

    /// The first byte of a tensor in the arena. It is valid for `bytes` bytes, and this process's
    /// alone while the caller's `Held` is a `Request` or a `Reply`.
    pub(crate) fn tensor(&self, offset: u64, bytes: u64) -> *mut u8 {
        let arena_bytes = self.mapping.geometry().arena_bytes();
        let end = offset.checked_add(bytes).expect("offsets come from the arena's allocator");
        assert!(end <= arena_bytes, "offsets come from the arena's allocator");
        let offset = usize::try_from(offset).expect("the arena is mapped");
        self.mapping.arena_start().wrapping_add(offset)
    }

    /// Publishes a filled slot.
    pub(crate) fn submit(&self, slot: u32, mut record: RequestRecord) -> Result<(), SubmitError> {
        let mut state = self.lock();
        if let Some(reason) = state.lost {
            return Err(SubmitError::Lost(reason));
        }
        record.generation = state.slots[slot as usize].generation;
        state.side.write_request(slot, &record);
        state.slots[slot as usize].stage = Stage::InFlight;
        self.push(&mut state, slot, SubmissionKind::Submit);
        Ok(())
    }

    /// Asks the worker to leave a request off.
    pub(crate) fn cancel(&self, slot: u32) {
        let mut state = self.lock();
        if matches!(state.slots[slot as usize].stage, Stage::InFlight) && state.lost.is_none() {
            self.push(&mut state, slot, SubmissionKind::Cancel);
        }
    }

    fn push(&self, state: &mut State, slot: u32, kind: SubmissionKind) {
        let generation = state.slots[slot as usize].generation;
        let entry = Entry { slot, kind, generation };
        // The ring holds two entries a slot. Only a worker that stopped reading leaves it full, and
        // that one's end of the wake-up channel closes.
        if state.side.submissions.push(entry.encode()).is_ok()
            && state.side.submissions.take_wake_duty()
        {
            let _gone = wake::notify(&self.wake);
        }
    }

    /// Waits until the slot's completion arrives and takes it.
    pub(crate) fn wait(&self, slot: u32) -> Result<ResponseRecord, WaitError> {
        if self.control.fork.forked() {
            return Err(WaitError::Forked);
        }
        let mut state = self.lock();
        loop {
            self.take_completions(&mut state);
            if let Some(answer) = take_answer(&mut state, slot) {
                return Ok(answer);
            }
            state = if state.polling {
                self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.sleep(state)?
            };
        }
    }

    /// Takes the slot's completion if it is there.
    pub(crate) fn poll(&self, slot: u32) -> Result<Option<ResponseRecord>, WaitError> {
        if self.control.fork.forked() {
            return Err(WaitError::Forked);
        }
        let mut state = self.lock();
        self.take_completions(&mut state);
        Ok(take_answer(&mut state, slot))
    }

    /// Sleeps in the kernel until the worker wakes this process, for all threads of the channel.
    fn sleep<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
    ) -> Result<MutexGuard<'a, State>, WaitError> {
        state.side.completions.announce_sleep();
        if state.side.completions.pending().is_ok_and(|pending| pending > 0) {
            state.side.completions.withdraw_sleep();
            return Ok(state);
        }
        state.polling = true;
        drop(state);
        let mut ends = [PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
        let woken = poll(&mut ends, PollTimeout::NONE);
        let mut state = self.lock();
        state.polling = false;
        state.side.completions.withdraw_sleep();
        self.changed.notify_all();
        match woken {
            Ok(_) | Err(Errno::EINTR) => (),
            Err(errno) => return Err(WaitError::Os(errno)),
        }
        if wake::drain(&self.wake).is_err() {
            // What the worker published before it died is still an answer.
            self.take_completions(&mut state);
            self.lose(&mut state);
        }
        Ok(state)
    }

    /// Takes every completion that waits. An impossible ring means that the memory is not the
    /// daemon's any more: the channel is lost.
    fn take_completions(&self, state: &mut State) {
        loop {
            match state.side.completions.pop() {
                Ok(Some(word)) => self.complete(state, word),
                Ok(None) => return,
                Err(_) => return self.lose(state),
            }
        }
    }

    fn complete(&self, state: &mut State, word: u64) {
        let Ok(entry) = Entry::decode(word, self.mapping.geometry().slots()) else {
            return self.lose(state);
        };
        let index = entry.slot as usize;
        if state.slots[index].generation != entry.generation {
            return;
        }
        match state.slots[index].stage {
            Stage::InFlight => {
                state.slots[index].answer = state.side.read_response(entry.slot);
                state.slots[index].stage = Stage::Answered;
                self.changed.notify_all();
            }
            Stage::Abandoned => release(state, entry.slot),
            // A completion is idempotent: a second one for the same generation says nothing new.
            Stage::Free | Stage::Filling | Stage::Answered | Stage::Reading => (),
        }
    }

    /// Ends everything in flight: no worker serves this channel any more.
    fn lose(&self, state: &mut State) {
        let reason = *state.lost.get_or_insert_with(|| self.control.cause_of_loss());
        for slot in 0..self.mapping.geometry().slots() {
            match state.slots[slot as usize].stage {
                Stage::InFlight => {
                    let outcome = Outcome::Refused(Refusal::because(reason));
                    let slot = &mut state.slots[slot as usize];
                    slot.answer = ResponseRecord::of(slot.generation, outcome);
                    slot.stage = Stage::Answered;
                }
                Stage::Abandoned => release(state, slot),
                Stage::Free | Stage::Filling | Stage::Answered | Stage::Reading => (),
            }
        }
        self.changed.notify_all();
    }

    /// The holder of a slot is gone: free it now, or when the worker is done with it.
    pub(crate) fn let_go(&self, slot: u32) {
        if self.control.fork.forked() {
            return;
        }
        self.cancel(slot);
        let mut state = self.lock();
        match state.slots[slot as usize].stage {
            Stage::InFlight => state.slots[slot as usize].stage = Stage::Abandoned,
            Stage::Filling | Stage::Answered | Stage::Reading => release(&mut state, slot),
            Stage::Free | Stage::Abandoned => unreachable!("a slot is held once"),
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.control.close(self.id);
    }
}

fn take_answer(state: &mut State, slot: u32) -> Option<ResponseRecord> {
    let slot = &mut state.slots[slot as usize];
    let Stage::Answered = slot.stage else { return None };
    slot.stage = Stage::Reading;
    Some(slot.answer)
}

fn release(state: &mut State, slot: u32) {
    let entry = &mut state.slots[slot as usize];
    entry.stage = Stage::Free;
    if let Some(block) = entry.block.take() {
        state.arena.free(block);
    }
    state.free.push(slot);
}

impl Drop for Held {
    fn drop(&mut self) {
        self.channel.let_go(self.slot);
    }
}
