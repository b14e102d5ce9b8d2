//! Workers that die between any two stores, and what the next one makes of the ledger.

use super::*;
use gpumux_wire::ring::{Consumer, Counter, Footing, Producer};
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

const SLOTS: u32 = 4;
/// Two entries a slot, as a channel's rings have.
const RING: u32 = 8;

/// Memory that outlives workers. A worker's stores count down; when none is left it is dead, and
/// nothing that it stores arrives.
#[derive(Debug)]
struct World {
    ledger: RefCell<Vec<u64>>,
    /// Submission ring, completion ring: head, tail, asleep, then entries.
    rings: [RefCell<Vec<u64>>; 2],
    life: Cell<u32>,
}

impl World {
    fn alive(&self) -> bool {
        let left = self.life.get();
        self.life.set(left.saturating_sub(1));
        left > 0
    }
}

#[derive(Clone, Debug)]
struct Memory(Rc<World>);

impl Words for Memory {
    fn load(&self, index: usize) -> u64 {
        self.0.ledger.borrow()[index]
    }
    fn store(&self, index: usize, value: u64) {
        if self.0.alive() {
            self.0.ledger.borrow_mut()[index] = value;
        }
    }
}

/// One ring, as the worker or the peer reaches it. The peer does not die here.
#[derive(Clone, Debug)]
struct Ring {
    world: Rc<World>,
    ring: usize,
    of_worker: bool,
}

impl Ring {
    fn load(&self, index: usize) -> u64 {
        self.world.rings[self.ring].borrow()[index]
    }
    fn store(&self, index: usize, value: u64) {
        if !self.of_worker || self.world.alive() {
            self.world.rings[self.ring].borrow_mut()[index] = value;
        }
    }
}

fn place(counter: Counter) -> usize {
    match counter {
        Counter::Head => 0,
        Counter::Tail => 1,
        Counter::Asleep => 2,
    }
}

impl Footing for Ring {
    fn capacity(&self) -> u32 {
        RING
    }
    fn load_acquire(&self, counter: Counter) -> u32 {
        low(self.load(place(counter)))
    }
    fn store_release(&self, counter: Counter, value: u32) {
        self.store(place(counter), u64::from(value));
    }
    fn load_relaxed(&self, counter: Counter) -> u32 {
        low(self.load(place(counter)))
    }
    fn swap(&self, counter: Counter, value: u32) -> u32 {
        let old = low(self.load(place(counter)));
        self.store(place(counter), u64::from(value));
        old
    }
    fn load_entry(&self, index: u32) -> u64 {
        self.load(3 + index as usize)
    }
    fn store_entry(&self, index: u32, value: u64) {
        self.store(3 + index as usize, value);
    }
    fn full_fence(&self) {}
}

/// The peer: each slot's generation, and whether it waits for an answer.
struct Peer {
    submissions: Producer<Ring>,
    completions: Consumer<Ring>,
    slots: [(u32, bool); SLOTS as usize],
    answered: u32,
}

impl Peer {
    /// Uses every free slot.
    fn submit(&mut self) {
        for (slot, (generation, waits)) in (0u64..).zip(&mut self.slots) {
            if !*waits {
                *generation += 1;
                *waits = true;
                let entry = slot << 32 | u64::from(*generation);
                self.submissions.push(entry).expect("room for every slot's entries");
            }
        }
    }

    /// Takes every answer. A second one for the same use of a slot says nothing new, but is not
    /// expected of this protocol.
    fn take(&mut self) {
        while let Some(entry) = self.completions.pop().expect("the worker's tail is possible") {
            let (generation, waits) = &mut self.slots[(entry >> 32) as usize];
            assert_eq!(*generation, low(entry), "an answer to an earlier use of the slot");
            assert!(*waits, "answered twice");
            *waits = false;
            self.answered += 1;
        }
    }
}

/// A worker with so many stores to live, that takes and answers at random.
fn work(world: &Rc<World>, life: u32, steps: &[u8], batch: &mut u64) {
    let ledger = Ledger { words: Memory(Rc::clone(world)), slots: SLOTS };
    world.life.set(u32::MAX);
    ledger.settle();
    let mut held: Vec<(u32, u32)> =
        ledger.open().map(|entry| (entry.slot, entry.generation)).collect();
    world.life.set(life);
    let ring = |ring| Ring { world: Rc::clone(world), ring, of_worker: true };
    let mut submissions = Consumer::resume(ring(0), ledger.head());
    let mut completions = Producer::resume(ring(1), ledger.tail());
    for step in steps {
        if world.life.get() == 0 {
            return;
        }
        if step % 2 == 0 {
            let Ok(Some(entry)) = submissions.peek() else { continue };
            let (slot, generation) = (low(entry >> 32), low(entry));
            assert!(held.iter().all(|(other, _)| *other != slot), "a slot taken twice");
            ledger.accept(slot, generation, submissions.head(), MonoTime::from_nanos(1));
            ledger.take(submissions.head().wrapping_add(1));
            submissions.advance();
            held.push((slot, generation));
        } else if !held.is_empty() {
            let (slot, generation) = held.remove(usize::from(*step / 2) % held.len());
            *batch += 1;
            ledger.run(slot, *batch);
            ledger.begin_answer(slot);
            let entry = u64::from(slot) << 32 | u64::from(generation);
            let tail = completions.stage(entry).expect("room for every slot's entries");
            ledger.answer(tail);
            completions.publish();
            ledger.free(slot);
        }
    }
}

proptest! {
    #[test]
    fn whatever_dies_when_each_request_is_answered_once(
        lives in prop::collection::vec((0u32..40, prop::collection::vec(any::<u8>(), 1..40)), 1..30),
    ) {
        let world = Rc::new(World {
            ledger: RefCell::new(vec![0; words(SLOTS)]),
            rings: std::array::from_fn(|_| RefCell::new(vec![0; 3 + RING as usize])),
            life: Cell::new(0),
        });
        let ring = |ring| Ring { world: Rc::clone(&world), ring, of_worker: false };
        let mut peer = Peer {
            submissions: Producer::new(ring(0)),
            completions: Consumer::new(ring(1)),
            slots: [(0, false); SLOTS as usize],
            answered: 0,
        };
        let mut batch = 0;
        for (life, steps) in &lives {
            peer.submit();
            work(&world, *life, steps, &mut batch);
            peer.take();
        }
        // The last worker lives long enough to answer all.
        let steps: Vec<u8> = (0..64).map(|step| step % 2).collect();
        work(&world, u32::MAX, &steps, &mut batch);
        peer.take();
        prop_assert!(peer.slots.iter().all(|(_, waits)| !waits), "{:?} left", peer.slots);
        let asked: u32 = peer.slots.iter().map(|(generation, _)| generation).sum();
        prop_assert_eq!(peer.answered, asked);
    }

    #[test]
    fn a_standing_survives_its_word(strikes: u8, tail: u32, cancelled: bool, alone: bool, stage in 0..5) {
        let stage = [Stage::Free, Stage::Accepted, Stage::Running, Stage::Answering, Stage::Poison]
            [usize::try_from(stage).expect("few")];
        let standing = Standing { stage, cancelled, alone, strikes, tail };
        prop_assert_eq!(Standing::decode(standing.encode()), standing);
    }
}
