//! One producer, one consumer, and a ring of 64-bit entries between them.
//!
//! The algorithm is generic over the words it stands on: mapped memory in production, the model
//! checker's atomics in `tests/ring_loom.rs`. It knows nothing of slots or channels.
//!
//! Each side keeps its own counter in private memory and publishes a copy; the other side's copy is
//! a stranger's number. The counters run freely and wrap at 2³²; an entry's place is the counter
//! masked by the capacity, so no counter can lead outside the ring.
//!
//! Sleeping: the consumer announces that it will sleep, then looks once more; the producer publishes,
//! then reads the announcement. Both put a full fence between, so at least one sees the other
//! (`SYNC(sleep)`), and a wake-up is sent only to a consumer that sleeps. The announcement changes
//! hands by exchanges alone, so that its history is one line that both sides agree on.

use thiserror::Error;

/// One of a ring's shared words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Entries consumed, as the consumer says.
    Head,
    /// Entries produced, as the producer says.
    Tail,
    /// 1 when the consumer sleeps or is about to.
    Asleep,
}

/// The words that a ring stands on.
pub trait Footing {
    /// Entries the ring holds: a power of two.
    fn capacity(&self) -> u32;
    /// Loads a counter, ordered before what follows.
    fn load_acquire(&self, counter: Counter) -> u32;
    /// Stores a counter, ordered after what went before.
    fn store_release(&self, counter: Counter, value: u32);
    /// Loads a counter with no order.
    fn load_relaxed(&self, counter: Counter) -> u32;
    /// Exchanges a counter, ordered both ways.
    fn swap(&self, counter: Counter, value: u32) -> u32;
    /// Loads the entry at `index`, below the capacity, with no order.
    fn load_entry(&self, index: u32) -> u64;
    /// Stores the entry at `index`, below the capacity, with no order.
    fn store_entry(&self, index: u32, value: u64);
    /// A full fence between an earlier store and a later load.
    fn full_fence(&self);
}

/// The other side claims more entries than the ring holds.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{claimed} entries are claimed in a ring of {capacity}")]
pub struct Overrun {
    /// Entries between the two counters.
    pub claimed: u32,
    /// Entries the ring holds.
    pub capacity: u32,
}

/// The ring has no free entry.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the ring is full")]
pub struct Full;

/// The writing end.
#[derive(Debug)]
pub struct Producer<F> {
    footing: F,
    tail: u32,
}

impl<F: Footing> Producer<F> {
    /// The writing end of a new, zeroed ring.
    pub fn new(footing: F) -> Self {
        assert!(footing.capacity().is_power_of_two(), "a ring's capacity is a power of two");
        Self { footing, tail: 0 }
    }

    /// The writing end after `tail` entries, which an earlier producer staged: all of them are
    /// published, whether or not it came to that.
    pub fn resume(footing: F, tail: u32) -> Self {
        let mut producer = Self::new(footing);
        producer.tail = tail;
        producer.publish();
        producer
    }

    /// Publishes one entry, and everything stored before it.
    ///
    /// # Errors
    /// [`Full`] when the consumer has not made room.
    pub fn push(&mut self, entry: u64) -> Result<(), Full> {
        self.stage(entry)?;
        self.publish();
        Ok(())
    }

    /// Writes one entry without publishing it. Returns how many there are with it.
    ///
    /// # Errors
    /// [`Full`] when the consumer has not made room.
    pub fn stage(&mut self, entry: u64) -> Result<u32, Full> {
        // SYNC(room): the consumer has read an entry before its place is written again.
        let used = self.tail.wrapping_sub(self.footing.load_acquire(Counter::Head));
        if used >= self.footing.capacity() {
            return Err(Full);
        }
        let place = self.tail & (self.footing.capacity() - 1);
        self.footing.store_entry(place, entry);
        self.tail = self.tail.wrapping_add(1);
        Ok(self.tail)
    }

    /// Publishes what was staged, and everything stored before it.
    pub fn publish(&mut self) {
        // SYNC(publish): the entry and its records are visible before the count that covers them.
        self.footing.store_release(Counter::Tail, self.tail);
    }

    /// Entries staged so far; the count wraps.
    pub fn tail(&self) -> u32 {
        self.tail
    }

    /// Whether the consumer must be woken. Call it after [`Producer::push`]; a `true` is answered to
    /// one caller only.
    pub fn take_wake_duty(&self) -> bool {
        // SYNC(sleep): our count is visible before we read the announcement.
        self.footing.full_fence();
        self.footing.load_relaxed(Counter::Asleep) != 0
            && self.footing.swap(Counter::Asleep, 0) != 0
    }
}

/// The reading end.
#[derive(Debug)]
pub struct Consumer<F> {
    footing: F,
    head: u32,
}

impl<F: Footing> Consumer<F> {
    /// The reading end of a new, zeroed ring.
    pub fn new(footing: F) -> Self {
        assert!(footing.capacity().is_power_of_two(), "a ring's capacity is a power of two");
        Self { footing, head: 0 }
    }

    /// The reading end after `head` entries, which an earlier consumer took: their places are given
    /// back, whether or not it came to that.
    pub fn resume(footing: F, head: u32) -> Self {
        let mut consumer = Self::new(footing);
        consumer.head = head;
        consumer.footing.store_release(Counter::Head, head);
        consumer
    }

    /// Takes the oldest entry, if there is one.
    ///
    /// # Errors
    /// [`Overrun`] when the producer's count is impossible.
    pub fn pop(&mut self) -> Result<Option<u64>, Overrun> {
        let entry = self.peek()?;
        if entry.is_some() {
            self.advance();
        }
        Ok(entry)
    }

    /// Reads the oldest entry, if there is one, and leaves it there.
    ///
    /// # Errors
    /// [`Overrun`] when the producer's count is impossible.
    pub fn peek(&self) -> Result<Option<u64>, Overrun> {
        if self.pending()? == 0 {
            return Ok(None);
        }
        Ok(Some(self.footing.load_entry(self.head & (self.footing.capacity() - 1))))
    }

    /// Gives the place of the entry back that [`Consumer::peek`] showed.
    pub fn advance(&mut self) {
        self.head = self.head.wrapping_add(1);
        // SYNC(room): the entry is read before its place is given back.
        self.footing.store_release(Counter::Head, self.head);
    }

    /// Entries taken so far; the count wraps.
    pub fn head(&self) -> u32 {
        self.head
    }

    /// Entries that wait.
    ///
    /// # Errors
    /// [`Overrun`] when the producer's count is impossible.
    pub fn pending(&self) -> Result<u32, Overrun> {
        // SYNC(publish): what the count covers is visible after it.
        let claimed = self.footing.load_acquire(Counter::Tail).wrapping_sub(self.head);
        let capacity = self.footing.capacity();
        if claimed > capacity {
            return Err(Overrun { claimed, capacity });
        }
        Ok(claimed)
    }

    /// Announces a sleep. The caller looks at [`Consumer::pending`] once more before it sleeps.
    pub fn announce_sleep(&self) {
        self.footing.swap(Counter::Asleep, 1);
        // SYNC(sleep): the announcement is visible before we look once more.
        self.footing.full_fence();
    }

    /// Takes the announcement back.
    pub fn withdraw_sleep(&self) {
        self.footing.swap(Counter::Asleep, 0);
    }
}
