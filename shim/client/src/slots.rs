//! The slots of a channel and their blocks of the arena: who holds each, and how each request ends.
//!
//! A slot and its block go together: reserved, filled by one `Request`, then the worker's until the
//! completion arrives, then read through one `Reply`, then free. When the daemon dies, what the
//! worker had is held here until another takes it, or ends here. Nothing in this file knows of
//! shared memory, sockets or threads; of who waits it keeps the wakers alone.

use crate::error::SubmitError;
use gpumux_wire::geometry::TENSOR_ALIGNMENT;
use gpumux_wire::outcome::Outcome;
use gpumux_wire::record::ResponseRecord;
use offset_allocator::{Allocation, Allocator};
use std::task::Waker;
use std::time::{Duration, Instant};

/// See the file's head.
pub(crate) struct Slots {
    arena: Allocator,
    free: Vec<u32>,
    slots: Vec<Slot>,
    /// Slots that have a waker.
    awaited: u32,
    due: Due,
}

/// Wakers that have left their slots. What they do, and what their end does, may come back to this
/// channel, so both wait until its lock is free.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// Their requests ended.
    woken: Vec<Waker>,
    /// Nobody waits by them any more.
    dropped: Vec<Waker>,
}

impl Due {
    pub(crate) fn is_empty(&self) -> bool {
        self.woken.is_empty() && self.dropped.is_empty()
    }

    /// Wakes who is to be woken. Call it under no lock.
    pub(crate) fn settle(self) {
        self.woken.into_iter().for_each(Waker::wake);
        drop(self.dropped);
    }
}

struct Slot {
    generation: u32,
    stage: Stage,
    block: Option<Allocation>,
    length: u32,
    /// How the request ended, while the stage is `Answered`.
    answer: ResponseRecord,
    /// Who is woken when it ends, while the stage is `InFlight`.
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Free,
    /// A `Request` fills it.
    Filling,
    /// A worker has it, or the next will; a `Pending` waits.
    InFlight(Flight),
    /// The worker has it; nobody waits, so it is freed when the completion arrives.
    Abandoned,
    /// The request ended.
    Answered,
    /// A `Reply` reads it.
    Reading,
}

/// What is remembered of a request that may have to be presented again.
#[derive(Clone, Copy, Debug)]
struct Flight {
    /// When its budget runs out.
    deadline: Option<Instant>,
    /// The peer asked for it to be left off.
    cancelled: bool,
}

/// A slot that was taken, and where its block starts in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reserved {
    pub(crate) slot: u32,
    pub(crate) offset: u64,
}

/// A request that is presented to the next worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Presented {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    pub(crate) offset: u64,
    pub(crate) length: u32,
    /// What is left of its budget.
    pub(crate) budget: Option<Duration>,
}

impl Slots {
    pub(crate) fn new(slots: u32, arena_bytes: u64) -> Self {
        let units = u32::try_from(arena_bytes / TENSOR_ALIGNMENT)
            .expect("an arena is at most 2^36 bytes, in units of 64");
        let free_slot = |_| Slot {
            generation: 0,
            stage: Stage::Free,
            block: None,
            length: 0,
            answer: ResponseRecord::default(),
            waker: None,
        };
        Self {
            // A block a slot, a hole between each two of them, and one to spare.
            arena: Allocator::with_max_allocs(units, slots * 2 + 2),
            free: (0..slots).rev().collect(),
            slots: (0..slots).map(free_slot).collect(),
            awaited: 0,
            due: Due::default(),
        }
    }

    /// Whether any request in flight has a waker.
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited > 0
    }

    /// Has a request in flight wake somebody when it ends, in place of who it would have woken.
    pub(crate) fn set_waker(&mut self, slot: u32, waker: &Waker) {
        let entry = &mut self.slots[slot as usize];
        match &entry.waker {
            Some(earlier) if earlier.will_wake(waker) => return,
            Some(_) => (),
            None => self.awaited += 1,
        }
        // A request has one holder, so whoever waited by the earlier one waits no more.
        self.due.dropped.extend(entry.waker.replace(waker.clone()));
    }

    /// Wakers to settle when the channel's lock is free.
    pub(crate) fn take_due(&mut self) -> Due {
        std::mem::take(&mut self.due)
    }

    pub(crate) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    fn take_waker(&mut self, slot: u32) -> Option<Waker> {
        let waker = self.slots[slot as usize].waker.take();
        if waker.is_some() {
            self.awaited -= 1;
        }
        waker
    }

    fn drop_waker(&mut self, slot: u32) {
        let waker = self.take_waker(slot);
        self.due.dropped.extend(waker);
    }

    fn answer(&mut self, slot: u32, answer: ResponseRecord) {
        let entry = &mut self.slots[slot as usize];
        entry.answer = answer;
        entry.stage = Stage::Answered;
        let waker = self.take_waker(slot);
        self.due.woken.extend(waker);
    }

    /// Takes a slot, and a block of `bytes` from the arena, for a request of `length`.
    pub(crate) fn reserve(&mut self, length: u32, bytes: u64) -> Result<Reserved, SubmitError> {
        let slots = u32::try_from(self.slots.len()).expect("made from a u32");
        let slot = *self.free.last().ok_or(SubmitError::SlotsFull { slots })?;
        let full = SubmitError::ArenaFull { needed: bytes };
        let units = bytes.div_ceil(TENSOR_ALIGNMENT).max(1);
        let Ok(units) = u32::try_from(units) else { return Err(full) };
        let block = self.arena.allocate(units).ok_or(full)?;
        self.free.pop();
        let entry = &mut self.slots[slot as usize];
        entry.stage = Stage::Filling;
        entry.generation = entry.generation.wrapping_add(1);
        entry.block = Some(block);
        entry.length = length;
        Ok(Reserved { slot, offset: offset_of(block) })
    }

    /// Marks a filled slot as in flight. Returns its generation.
    pub(crate) fn submit(&mut self, slot: u32, deadline: Option<Instant>) -> u32 {
        let entry = &mut self.slots[slot as usize];
        entry.stage = Stage::InFlight(Flight { deadline, cancelled: false });
        entry.generation
    }

    /// Which use of the slot this is.
    pub(crate) fn generation(&self, slot: u32) -> u32 {
        self.slots[slot as usize].generation
    }

    /// Notes that the peer wants a request left off. Returns its generation while it is in flight, and
    /// once: the ring has room for one cancellation of it.
    pub(crate) fn cancel(&mut self, slot: u32) -> Option<u32> {
        let entry = &mut self.slots[slot as usize];
        match &mut entry.stage {
            Stage::InFlight(flight) => {
                let was_cancelled = std::mem::replace(&mut flight.cancelled, true);
                (!was_cancelled).then_some(entry.generation)
            }
            Stage::Free | Stage::Filling | Stage::Abandoned | Stage::Answered | Stage::Reading => {
                None
            }
        }
    }

    /// Takes a completion. Says whether a request that is waited for has ended.
    pub(crate) fn complete(
        &mut self,
        slot: u32,
        generation: u32,
        answer: impl FnOnce() -> ResponseRecord,
    ) -> bool {
        let entry = &mut self.slots[slot as usize];
        if entry.generation != generation {
            return false;
        }
        match entry.stage {
            Stage::InFlight(_) => {
                self.answer(slot, answer());
                true
            }
            Stage::Abandoned => {
                self.release(slot);
                false
            }
            // A completion is idempotent: a second one for the same generation says nothing new.
            Stage::Free | Stage::Filling | Stage::Answered | Stage::Reading => false,
        }
    }

    /// Takes a request's answer for the reply that reads it.
    pub(crate) fn take_answer(&mut self, slot: u32) -> Option<ResponseRecord> {
        let entry = &mut self.slots[slot as usize];
        let Stage::Answered = entry.stage else { return None };
        entry.stage = Stage::Reading;
        Some(entry.answer)
    }

    /// The holder of a slot is gone: frees it now, or when the worker is done with it. Returns the
    /// generation of what the worker has and was not told to leave off.
    pub(crate) fn let_go(&mut self, slot: u32) -> Option<u32> {
        match self.slots[slot as usize].stage {
            Stage::InFlight(flight) => {
                self.slots[slot as usize].stage = Stage::Abandoned;
                self.drop_waker(slot);
                (!flight.cancelled).then_some(self.slots[slot as usize].generation)
            }
            Stage::Filling | Stage::Answered | Stage::Reading => {
                self.release(slot);
                None
            }
            Stage::Free | Stage::Abandoned => unreachable!("a slot is held once"),
        }
    }

    /// No worker has anything of this channel: nobody answers what was cancelled or abandoned.
    pub(crate) fn without_worker(&mut self) {
        self.settle(|flight| flight.cancelled.then_some(Outcome::Cancelled));
    }

    /// Ends what no worker has and whose budget has run out. Says whether there was any.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let late = |flight: Flight| flight.deadline.is_some_and(|deadline| deadline <= now);
        self.settle(|flight| late(flight).then_some(Outcome::DeadlineMissed))
    }

    /// Ends everything in flight: no worker will ever have it.
    pub(crate) fn end(&mut self, outcome: Outcome) {
        self.settle(|_| Some(outcome));
    }

    /// Ends what has an outcome and frees what nobody waits for. Says whether anything ended.
    fn settle(&mut self, outcome: impl Fn(Flight) -> Option<Outcome>) -> bool {
        let mut ended = false;
        for slot in (0u32..).take(self.slots.len()) {
            let entry = &mut self.slots[slot as usize];
            match entry.stage {
                Stage::InFlight(flight) => {
                    if let Some(outcome) = outcome(flight) {
                        let answer = ResponseRecord::of(entry.generation, outcome);
                        self.answer(slot, answer);
                        ended = true;
                    }
                }
                Stage::Abandoned => self.release(slot),
                Stage::Free | Stage::Filling | Stage::Answered | Stage::Reading => (),
            }
        }
        ended
    }

    /// What is in flight, for a worker that has none of it yet. Call [`Slots::expire`] first.
    pub(crate) fn presented(&self, now: Instant) -> impl Iterator<Item = Presented> + '_ {
        (0u32..).zip(&self.slots).filter_map(move |(slot, entry)| {
            let Stage::InFlight(flight) = entry.stage else { return None };
            Some(Presented {
                slot,
                generation: entry.generation,
                offset: offset_of(entry.block?),
                length: entry.length,
                budget: flight.deadline.map(|deadline| deadline.saturating_duration_since(now)),
            })
        })
    }

    fn release(&mut self, slot: u32) {
        let entry = &mut self.slots[slot as usize];
        entry.stage = Stage::Free;
        if let Some(block) = entry.block.take() {
            self.arena.free(block);
        }
        self.free.push(slot);
    }
}

fn offset_of(block: Allocation) -> u64 {
    u64::from(block.offset) * TENSOR_ALIGNMENT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    const DONE: Outcome = Outcome::Done;

    fn in_flight(slots: &mut Slots, deadline: Option<Instant>) -> (u32, u32) {
        let slot = slots.reserve(5, 100).unwrap().slot;
        (slot, slots.submit(slot, deadline))
    }

    fn outcome(slots: &mut Slots, slot: u32) -> Option<Outcome> {
        slots.take_answer(slot).map(|answer| answer.outcome().unwrap())
    }

    #[test]
    fn what_no_worker_answered_is_presented_with_what_is_left_of_its_budget() {
        let now = clock::now();
        let second = Duration::from_secs(1);
        let mut slots = Slots::new(8, 4096);
        let (answered, generation) = in_flight(&mut slots, None);
        let (endless, endless_generation) = in_flight(&mut slots, None);
        let (limited, _) = in_flight(&mut slots, Some(now + 3 * second));
        let (late, _) = in_flight(&mut slots, Some(now + second));
        let filling = slots.reserve(5, 100).unwrap();
        assert!(slots.complete(answered, generation, || ResponseRecord::of(generation, DONE)));
        slots.without_worker();
        slots.expire(now + 2 * second);
        let presented: Vec<_> = slots.presented(now + 2 * second).collect();
        assert_eq!(presented.len(), 2);
        let expected = Presented {
            slot: endless,
            generation: endless_generation,
            offset: 128,
            length: 5,
            budget: None,
        };
        assert!(presented.contains(&expected), "{presented:?}");
        let left = presented.iter().find(|it| it.slot == limited).unwrap().budget;
        assert_eq!(left, Some(second));
        assert_eq!(outcome(&mut slots, late), Some(Outcome::DeadlineMissed));
        assert_eq!(outcome(&mut slots, answered), Some(DONE));
        // What was being filled stays its holder's, and goes with the rest once it is submitted.
        slots.submit(filling.slot, None);
        assert_eq!(slots.presented(now).count(), 3);
    }

    #[test]
    fn what_nobody_waits_for_ends_with_its_worker() {
        let mut slots = Slots::new(2, 4096);
        let (cancelled, generation) = in_flight(&mut slots, None);
        let (abandoned, _) = in_flight(&mut slots, None);
        assert_eq!(slots.cancel(cancelled), Some(generation));
        assert_eq!(slots.cancel(cancelled), None, "it is told once");
        assert!(slots.let_go(abandoned).is_some());
        assert!(matches!(slots.reserve(1, 1), Err(SubmitError::SlotsFull { slots: 2 })));
        slots.without_worker();
        assert_eq!(outcome(&mut slots, cancelled), Some(Outcome::Cancelled));
        assert_eq!(slots.presented(clock::now()).count(), 0);
        assert_eq!(slots.reserve(1, 1).unwrap().slot, abandoned);
    }

    #[test]
    fn who_waits_by_a_waker_is_woken_once_and_never_under_the_lock() {
        struct Count(AtomicU32);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let counts = [0, 1, 2].map(|_| Arc::new(Count(AtomicU32::new(0))));
        let mut slots = Slots::new(3, 4096);
        let flights = [0, 1, 2].map(|_| in_flight(&mut slots, None));
        for ((slot, _), count) in flights.iter().zip(&counts) {
            for _ in 0..2 {
                slots.set_waker(*slot, &Waker::from(Arc::clone(count)));
            }
        }
        let woken = || counts.each_ref().map(|count| count.0.load(Ordering::Relaxed));
        let [(answered, generation), (abandoned, _), _] = flights;
        assert!(slots.complete(answered, generation, || ResponseRecord::of(generation, DONE)));
        slots.let_go(abandoned);
        assert!(slots.is_awaited() && slots.has_due());
        assert_eq!(woken(), [0, 0, 0]);
        slots.take_due().settle();
        assert_eq!(woken(), [1, 0, 0]);
        slots.end(Outcome::DeadlineMissed);
        assert!(!slots.is_awaited());
        slots.take_due().settle();
        assert_eq!(woken(), [1, 0, 1]);
        assert!(counts.iter().all(|count| Arc::strong_count(count) == 1));
    }

    #[test]
    fn what_was_cancelled_is_not_cancelled_again_when_it_is_let_go() {
        let mut slots = Slots::new(1, 4096);
        let (slot, generation) = in_flight(&mut slots, None);
        assert_eq!(slots.cancel(slot), Some(generation));
        assert_eq!(slots.let_go(slot), None);
        assert!(matches!(slots.reserve(1, 1), Err(SubmitError::SlotsFull { slots: 1 })));
        slots.complete(slot, generation, || unreachable!("nobody reads its answer"));
        assert_eq!(slots.reserve(1, 1).unwrap().slot, slot);
    }

    #[test]
    fn a_completion_that_comes_twice_or_for_another_use_says_nothing() {
        let mut slots = Slots::new(1, 4096);
        let (slot, generation) = in_flight(&mut slots, None);
        let done = || ResponseRecord::of(generation, DONE);
        assert!(!slots.complete(slot, generation.wrapping_add(1), done));
        assert!(slots.complete(slot, generation, done));
        assert!(!slots.complete(slot, generation, || ResponseRecord::of(0, Outcome::Cancelled)));
        slots.end(Outcome::DeadlineMissed);
        assert_eq!(outcome(&mut slots, slot), Some(DONE));
        assert_eq!(outcome(&mut slots, slot), None, "an answer is taken once");
        assert_eq!(slots.let_go(slot), None);
        assert_eq!(slots.reserve(1, 4096).unwrap(), Reserved { slot, offset: 0 });
    }
}
