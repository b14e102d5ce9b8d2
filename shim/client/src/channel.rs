//! One open function's shared memory, and who may touch which part of it.
//!
//! Everything that several threads share is behind one mutex; tensors are reached only by the one
//! owner of their slot. Who serves the channel is its *link*: a worker, nobody for the moment, or
//! nobody ever again. Only while the link is up does this side touch the rings.

use crate::clock;
use crate::control::{Control, Opened, Standing};
use crate::error::{Loss, OpenError, ReopenError, SubmitError, WaitError};
use crate::request::record;
use crate::slots::{Presented, Reserved, Slots};
use gpumux_wire::channel::{Mapping, PeerSide};
use gpumux_wire::control::{ChannelId, OpenRefusal};
use gpumux_wire::outcome::Reason;
use gpumux_wire::record::{Entry, ResponseRecord, SubmissionKind};
use gpumux_wire::signature::Signature;
use gpumux_wire::wake;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long after its wake-up channel closed a channel may wait for the control socket to say why:
/// a daemon that dies closes one after the other.
const SETTLE: Duration = Duration::from_secs(1);

/// One open function.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) control: Arc<Control>,
    pub(crate) signature: Signature,
    id: ChannelId,
    /// The function's name, to present the channel by.
    function: String,
    memory: Memory,
    state: Mutex<State>,
    /// Rung when requests ended, the link changed, or the thread that polled stopped polling.
    changed: Condvar,
}

/// A channel's memory: the descriptor to present it by, and where it is mapped here.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) memfd: OwnedFd,
    pub(crate) mapping: Arc<Mapping>,
}

struct State {
    side: PeerSide,
    slots: Slots,
    link: Link,
    /// One thread sleeps in the kernel for all; the others wait for it.
    polling: bool,
}

/// Who serves a channel.
#[derive(Debug)]
enum Link {
    /// A worker, at the other end of the wake-up channel.
    Up {
        wake: Arc<OwnedFd>,
        /// The connection over which it was presented.
        epoch: u64,
    },
    /// Nobody now. The session's thread presents the channel to the daemon that comes.
    Away(Absence),
    /// Nobody any more.
    Ended(Loss),
}

#[derive(Debug)]
struct Absence {
    /// The connection over which it was presented last.
    epoch: u64,
    since: Instant,
    /// When to give up.
    until: Instant,
    /// The last refusal that may pass.
    refusal: Option<OpenRefusal>,
}

/// The other side wrote what no worker writes: the memory is not shared with one any more.
struct Impossible;

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("link", &self.link).finish_non_exhaustive()
    }
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
        };
        Self {
            control,
            signature: opened.signature,
            id: opened.channel,
            function,
            memory,
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
    fn present(&self, state: &mut State, request: Presented) {
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
                self.changed.notify_all();
            }
        }
    }

    fn push(&self, state: &mut State, slot: u32, generation: u32, kind: SubmissionKind) {
        let Link::Up { wake, .. } = &state.link else { return };
        let entry = Entry { slot, kind, generation };
        // The ring holds two entries a slot. Only a worker that stopped reading leaves it full, and
        // that one's end of the wake-up channel closes.
        if state.side.submissions.push(entry.encode()).is_ok()
            && state.side.submissions.take_wake_duty()
            && wake::notify(wake).is_err()
        {
            self.part(state);
        }
    }

    /// Waits until the slot's request has ended and takes the answer.
    pub(crate) fn wait(&self, slot: u32) -> Result<ResponseRecord, WaitError> {
        if self.control.fork.forked() {
            return Err(WaitError::Forked);
        }
        let mut state = self.lock();
        loop {
            self.take_completions(&mut state);
            if let Some(answer) = state.slots.take_answer(slot) {
                return Ok(answer);
            }
            let wake = match &state.link {
                Link::Up { wake, .. } if !state.polling => Some(Arc::clone(wake)),
                Link::Up { .. } | Link::Away(_) => None,
                Link::Ended(_) => unreachable!("nothing is in flight on a channel that ended"),
            };
            state = match wake {
                Some(wake) => self.sleep(state, &wake)?,
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Takes the slot's answer if it is there.
    pub(crate) fn poll(&self, slot: u32) -> Result<Option<ResponseRecord>, WaitError> {
        if self.control.fork.forked() {
            return Err(WaitError::Forked);
        }
        let mut state = self.lock();
        self.take_completions(&mut state);
        let answer = state.slots.take_answer(slot);
        // Nobody may be asleep on the wake-up channel to see it close.
        if answer.is_none() && self.notice(&mut state) {
            return Ok(state.slots.take_answer(slot));
        }
        Ok(answer)
    }

    /// Sleeps in the kernel until the worker wakes this process, for all threads of the channel.
    fn sleep<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        wake: &Arc<OwnedFd>,
    ) -> Result<MutexGuard<'a, State>, WaitError> {
        state.side.completions.announce_sleep();
        if state.side.completions.pending().is_ok_and(|pending| pending > 0) {
            state.side.completions.withdraw_sleep();
            return Ok(state);
        }
        state.polling = true;
        drop(state);
        let mut ends = [PollFd::new(wake.as_fd(), PollFlags::POLLIN)];
        let woken = poll(&mut ends, PollTimeout::NONE);
        let mut state = self.lock();
        state.polling = false;
        self.changed.notify_all();
        // Meanwhile others may have seen it close, and the channel may be served by the next.
        let is_current =
            matches!(&state.link, Link::Up { wake: current, .. } if Arc::ptr_eq(current, wake));
        if is_current {
            state.side.completions.withdraw_sleep();
            if wake::drain(wake).is_err() {
                self.part(&mut state);
            }
        }
        match woken {
            Ok(_) | Err(Errno::EINTR) => Ok(state),
            Err(errno) => Err(WaitError::Os(errno)),
        }
    }

    /// Looks whether the worker's end of the wake-up channel has closed, and leaves the wake-ups in
    /// it to the thread that sleeps there. Says whether the channel has just lost its worker.
    fn notice(&self, state: &mut State) -> bool {
        let Link::Up { wake, .. } = &state.link else { return false };
        let mut ends = [PollFd::new(wake.as_fd(), PollFlags::empty())];
        let closed = matches!(poll(&mut ends, PollTimeout::ZERO), Ok(count) if count > 0);
        if closed {
            self.part(state);
        }
        closed
    }

    /// Takes every completion that waits.
    fn take_completions(&self, state: &mut State) {
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
            self.changed.notify_all();
        }
        Ok(())
    }

    /// The worker's end of the wake-up channel has closed: nobody else has a hand in the memory any
    /// more. What the worker published before is still an answer.
    fn part(&self, state: &mut State) {
        self.take_completions(state);
        let Link::Up { epoch, .. } = state.link else { return };
        let since = clock::now();
        let until = since.checked_add(self.control.reconnect_for).unwrap_or(since);
        state.slots.without_worker();
        state.link = Link::Away(Absence { epoch, since, until, refusal: None });
        self.changed.notify_all();
        if self.control.revive().is_err() {
            self.end(state, Loss::Gone(Reason::DaemonLost));
        }
    }

    /// Ends everything in flight: nobody will serve this channel any more.
    fn end(&self, state: &mut State, loss: Loss) {
        state.slots.end(loss.outcome());
        state.link = Link::Ended(loss);
        self.changed.notify_all();
    }
}

/// What the session's thread does with a channel that nobody serves.
impl Channel {
    /// Ends what has waited long enough. Says whether the channel still waits.
    pub(crate) fn look_after(&self, now: Instant, standing: &Standing) -> bool {
        let mut state = self.lock();
        let Link::Away(absence) = &state.link else { return false };
        let refused = || absence.refusal.clone().map(|refusal| Loss::Restarted(refusal.into()));
        let loss = match standing {
            Standing::Over(loss) => Some(loss.clone()),
            // The daemon lives and has let this channel go.
            Standing::Alive { epoch } if *epoch == absence.epoch => {
                (absence.since + SETTLE <= now).then_some(Loss::Gone(Reason::WorkerLost))
            }
            Standing::Alive { .. } | Standing::Gone => {
                (absence.until <= now).then(|| refused().unwrap_or(Loss::Gone(Reason::DaemonLost)))
            }
            Standing::Asked => None,
        };
        match loss {
            Some(loss) => self.end(&mut state, loss),
            None if state.slots.expire(now) => self.changed.notify_all(),
            None => (),
        }
        matches!(state.link, Link::Away(_))
    }

    /// Makes the memory ready for the next worker, and says what to present it as; `None` when there
    /// is nothing to present over the connection of this epoch.
    pub(crate) fn to_present(&self, epoch: u64) -> Option<(ChannelId, &str, &Memory)> {
        let mut state = self.lock();
        match &state.link {
            Link::Away(absence) if absence.epoch != epoch => (),
            Link::Up { .. } | Link::Away(_) | Link::Ended(_) => return None,
        }
        state.side = PeerSide::start_over(&self.memory.mapping);
        Some((self.id, &self.function, &self.memory))
    }

    /// Takes the daemon's answer. Says whether the matter is settled.
    pub(crate) fn answered(&self, answer: Result<Opened, OpenError>) -> bool {
        let mut state = self.lock();
        let Link::Away(absence) = &mut state.link else {
            // It ended while the question was on its way.
            if answer.is_ok() {
                self.control.close(self.id);
            }
            return true;
        };
        match answer {
            Ok(opened) if opened.signature != self.signature => {
                self.control.close(self.id);
                self.end(&mut state, Loss::Restarted(ReopenError::SignatureChanged));
            }
            Ok(opened) => self.resume(&mut state, opened),
            Err(OpenError::Refused(refusal @ OpenRefusal::Unavailable { .. })) => {
                absence.refusal = Some(refusal);
                return false;
            }
            Err(OpenError::Refused(refusal)) => {
                self.end(&mut state, Loss::Restarted(refusal.into()));
            }
            // The connection's standing says the rest.
            Err(_) => return false,
        }
        true
    }

    fn resume(&self, state: &mut State, opened: Opened) {
        let now = clock::now();
        state.slots.expire(now);
        let presented: Vec<Presented> = state.slots.presented(now).collect();
        state.link = Link::Up { wake: Arc::new(opened.wake), epoch: opened.epoch };
        for request in presented {
            self.present(state, request);
        }
        self.changed.notify_all();
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.control.close(self.id);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.channel.let_go(self.slot);
    }
}
