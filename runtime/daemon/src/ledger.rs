//! A channel's ledger: which of its slots were accepted, which run and which were answered, in memory
//! that only supervisor and worker map. The next worker believes it alone; what stands in the channel
//! is the peer's to forge.
//!
//! A worker may die between any two stores. So each step that matters is decided by one store, its
//! *commit*, and what was written before tells a reader on which side of it the worker died:
//!
//! - a submission is taken by storing the ring's head. Before, its slot is marked accepted, with the
//!   head at which it stood: a slot that was read at the head that is still in force was not taken, and
//!   is read again;
//! - an answer is given by storing the completion ring's tail. Before, the slot is marked as being
//!   answered, with the tail that the answer has: a tail that has moved on says that the answer is out,
//!   and one that has not that the request runs again. The next worker publishes the tail.
//!
//! So each accepted request is answered once, whatever dies when.

use crate::os::SharedWords;
use gpumux_core::MonoTime;
use std::os::fd::{AsFd, OwnedFd};

/// The ring's head: submissions taken.
const HEAD: usize = 0;
/// The completion ring's tail: answers given.
const TAIL: usize = 1;
/// Words before the slots.
const HEADER: usize = 8;
/// Words of a slot.
const SLOT: usize = 4;
/// In a slot: its generation, and the head at which its submission stood.
const CLAIM: usize = 0;
/// In a slot: its standing.
const STANDING: usize = 1;
/// In a slot: when it was accepted.
const ARRIVED: usize = 2;
/// In a slot: the batch that it ran in last.
const BATCH: usize = 3;

/// The words that a ledger stands on.
pub(crate) trait Words {
    /// Loads a word, ordered before what follows.
    fn load(&self, index: usize) -> u64;
    /// Stores a word, ordered after what went before.
    fn store(&self, index: usize, value: u64);
}

impl Words for SharedWords {
    fn load(&self, index: usize) -> u64 {
        SharedWords::load(self, index)
    }
    fn store(&self, index: usize, value: u64) {
        SharedWords::store(self, index, value);
    }
}

/// Where an accepted request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No request.
    Free,
    /// It waits.
    Accepted,
    /// Its batch is on the device.
    Running,
    /// Its answer is being given.
    Answering,
    /// It is to be refused: it has killed a worker by itself.
    Poison,
}

/// What a ledger says of a slot in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    stage: Stage,
    /// Its peer does not want it any more.
    cancelled: bool,
    /// It runs without its batch-mates from now on.
    alone: bool,
    /// Workers that died while it ran.
    strikes: u8,
    /// Its answer's place in the completion ring.
    tail: u32,
}

impl Standing {
    const FREE: Self =
        Self { stage: Stage::Free, cancelled: false, alone: false, strikes: 0, tail: 0 };

    fn encode(self) -> u64 {
        let stage = match self.stage {
            Stage::Free => 0,
            Stage::Accepted => 1,
            Stage::Running => 2,
            Stage::Answering => 3,
            Stage::Poison => 4,
        };
        stage
            | u64::from(self.cancelled) << 8
            | u64::from(self.alone) << 9
            | u64::from(self.strikes) << 16
            | u64::from(self.tail) << 32
    }

    fn decode(word: u64) -> Self {
        let [stage, flags, strikes, _, tail @ ..] = word.to_le_bytes();
        let stage = match stage {
            0 => Stage::Free,
            2 => Stage::Running,
            3 => Stage::Answering,
            4 => Stage::Poison,
            // What a dying worker scribbled is treated as a request that waits: it is checked again.
            _ => Stage::Accepted,
        };
        let (cancelled, alone) = (flags & 1 != 0, flags & 2 != 0);
        Self { stage, cancelled, alone, strikes, tail: u32::from_le_bytes(tail) }
    }
}

/// An open request, as a ledger has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The slot.
    pub(crate) slot: u32,
    /// Which use of it.
    pub(crate) generation: u32,
    /// When a worker first read it.
    pub(crate) arrived: MonoTime,
    /// Where it is.
    pub(crate) stage: Stage,
    /// Its peer does not want it any more.
    pub(crate) cancelled: bool,
    /// It runs without its batch-mates of then.
    pub(crate) alone: bool,
    /// Workers that died while it ran, and may have died of it.
    pub(crate) strikes: u8,
    /// The batch that it ran in last; a number that is not used again.
    pub(crate) batch: u64,
}

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Ledger<W = SharedWords> {
    words: W,
    slots: u32,
}

impl Ledger {
    /// Makes the memory of a ledger.
    pub(crate) fn create(slots: u32) -> std::io::Result<OwnedFd> {
        SharedWords::create(c"gpumux-ledger", words(slots))
    }

    /// Maps it.
    pub(crate) fn map(memory: &impl AsFd, slots: u32) -> std::io::Result<Self> {
        Ok(Self { words: SharedWords::map(memory, words(slots))?, slots })
    }
}

/// Words of a ledger.
fn words(slots: u32) -> usize {
    HEADER + slots as usize * SLOT
}

/// The worker's part.
impl<W: Words> Ledger<W> {
    /// Submissions taken so far.
    pub(crate) fn head(&self) -> u32 {
        low(self.words.load(HEAD))
    }

    /// Answers given so far.
    pub(crate) fn tail(&self) -> u32 {
        low(self.words.load(TAIL))
    }

    /// Accepts the submission that stands at `head` of the ring. It is committed by
    /// [`Ledger::take`].
    pub(crate) fn accept(&self, slot: u32, generation: u32, head: u32, now: MonoTime) {
        self.set(slot, ARRIVED, now.as_nanos());
        self.set(slot, BATCH, 0);
        self.set(slot, CLAIM, u64::from(generation) << 32 | u64::from(head));
        self.stand(slot, Standing { stage: Stage::Accepted, ..Standing::FREE });
    }

    /// Takes all submissions before `head`.
    pub(crate) fn take(&self, head: u32) {
        // SYNC(ledger): a head is seen after the slot that it commits.
        self.words.store(HEAD, u64::from(head));
    }

    /// Notes that nobody wants an accepted request any more.
    pub(crate) fn cancel(&self, slot: u32) {
        self.stand(slot, Standing { cancelled: true, ..self.standing(slot) });
    }

    /// Notes that a request's batch begins.
    pub(crate) fn run(&self, slot: u32, batch: u64) {
        self.set(slot, BATCH, batch);
        self.stand(slot, Standing { stage: Stage::Running, ..self.standing(slot) });
    }

    /// Notes that the answer which is about to be written is that of `slot`. It is committed by
    /// [`Ledger::answer`].
    pub(crate) fn begin_answer(&self, slot: u32) {
        let tail = self.tail();
        self.stand(slot, Standing { stage: Stage::Answering, tail, ..self.standing(slot) });
    }

    /// Gives all answers before `tail`: from here on they are as good as published.
    pub(crate) fn answer(&self, tail: u32) {
        // SYNC(ledger): a tail is seen after the slot and the answer that it commits.
        self.words.store(TAIL, u64::from(tail));
    }

    /// Frees a slot whose answer was given.
    pub(crate) fn free(&self, slot: u32) {
        self.stand(slot, Standing::FREE);
    }
}

/// The supervisor's part, while no worker lives.
impl<W: Words> Ledger<W> {
    /// Decides what a dead worker left half done.
    pub(crate) fn settle(&self) {
        let (head, tail) = (self.head(), self.tail());
        for slot in 0..self.slots {
            let standing = self.standing(slot);
            let claimed_at = low(self.get(slot, CLAIM));
            match standing.stage {
                Stage::Accepted if claimed_at == head => self.free(slot),
                Stage::Answering if standing.tail != tail => self.free(slot),
                Stage::Answering => {
                    self.stand(slot, Standing { stage: Stage::Accepted, ..standing });
                }
                Stage::Free | Stage::Accepted | Stage::Running | Stage::Poison => (),
            }
        }
    }

    /// The requests that are open.
    pub(crate) fn open(&self) -> impl Iterator<Item = Entry> + '_ {
        (0..self.slots).filter_map(|slot| {
            let standing = self.standing(slot);
            let generation = low(self.get(slot, CLAIM) >> 32);
            (standing.stage != Stage::Free).then(|| Entry {
                slot,
                generation,
                arrived: MonoTime::from_nanos(self.get(slot, ARRIVED)),
                stage: standing.stage,
                cancelled: standing.cancelled,
                alone: standing.alone,
                strikes: standing.strikes,
                batch: self.get(slot, BATCH),
            })
        })
    }

    /// Has a request run again.
    pub(crate) fn repeat(&self, slot: u32, strikes: u8, alone: bool) {
        let standing = Standing { stage: Stage::Accepted, strikes, alone, ..self.standing(slot) };
        self.stand(slot, standing);
    }

    /// Has a request refused.
    pub(crate) fn condemn(&self, slot: u32) {
        self.stand(slot, Standing { stage: Stage::Poison, ..self.standing(slot) });
    }
}

impl<W: Words> Ledger<W> {
    fn get(&self, slot: u32, word: usize) -> u64 {
        self.words.load(HEADER + slot as usize * SLOT + word)
    }

    fn set(&self, slot: u32, word: usize, value: u64) {
        assert!(slot < self.slots, "slots are checked where they enter");
        self.words.store(HEADER + slot as usize * SLOT + word, value);
    }

    fn standing(&self, slot: u32) -> Standing {
        Standing::decode(self.get(slot, STANDING))
    }

    fn stand(&self, slot: u32, standing: Standing) {
        self.set(slot, STANDING, standing.encode());
    }
}

/// The lower half of a word.
fn low(word: u64) -> u32 {
    let [a, b, c, d, ..] = word.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests;
