//! The ring's algorithm under a model checker: every interleaving and every allowed reordering of
//! two threads. The words are loom's; the algorithm is the one that runs on mapped memory.

use gpumux_wire::ring::{Consumer, Counter, Footing, Full, Producer};
use loom::sync::Arc;
use loom::sync::Notify;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use loom::thread;

const CAPACITY: u32 = 2;

struct Words {
    counters: [AtomicU32; 3],
    entries: [AtomicU64; CAPACITY as usize],
    /// Stands for a slot's record: written before the entry that publishes it.
    records: [AtomicU64; CAPACITY as usize],
}

#[derive(Clone)]
struct Modelled(Arc<Words>);

impl Modelled {
    fn new() -> Self {
        Self(Arc::new(Words {
            counters: std::array::from_fn(|_| AtomicU32::new(0)),
            entries: std::array::from_fn(|_| AtomicU64::new(0)),
            records: std::array::from_fn(|_| AtomicU64::new(0)),
        }))
    }

    fn counter(&self, counter: Counter) -> &AtomicU32 {
        &self.0.counters[match counter {
            Counter::Head => 0,
            Counter::Tail => 1,
            Counter::Asleep => 2,
        }]
    }
}

impl Footing for Modelled {
    fn capacity(&self) -> u32 {
        CAPACITY
    }
    fn load_acquire(&self, counter: Counter) -> u32 {
        self.counter(counter).load(Ordering::Acquire)
    }
    fn store_release(&self, counter: Counter, value: u32) {
        self.counter(counter).store(value, Ordering::Release);
    }
    fn load_relaxed(&self, counter: Counter) -> u32 {
        self.counter(counter).load(Ordering::Relaxed)
    }
    fn swap(&self, counter: Counter, value: u32) -> u32 {
        self.counter(counter).swap(value, Ordering::AcqRel)
    }
    fn load_entry(&self, index: u32) -> u64 {
        self.0.entries[index as usize].load(Ordering::Relaxed)
    }
    fn store_entry(&self, index: u32, value: u64) {
        self.0.entries[index as usize].store(value, Ordering::Relaxed);
    }
    fn full_fence(&self) {
        fence(Ordering::SeqCst);
    }
}

#[test]
fn entries_arrive_once_in_order_with_their_records() {
    loom::model(|| {
        let words = Modelled::new();
        let theirs = words.clone();
        let producer = thread::spawn(move || {
            let mut producer = Producer::new(theirs.clone());
            for number in 0..3u32 {
                let record = &theirs.0.records[(number % CAPACITY) as usize];
                loop {
                    // A slot is free before its entry can be pushed, as in a channel.
                    if theirs.load_acquire(Counter::Head) + CAPACITY > number {
                        record.store(u64::from(number) + 100, Ordering::Relaxed);
                        assert_eq!(producer.push(u64::from(number)), Ok(()));
                        break;
                    }
                    thread::yield_now();
                }
            }
        });
        let mut consumer = Consumer::new(words.clone());
        for expected in 0..3u64 {
            let entry = loop {
                match consumer.pop().expect("the producer is honest") {
                    Some(entry) => break entry,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(entry, expected);
            // Its place is given back by the pop, so the third record may already lie there.
            let record = words.0.records[(expected % 2) as usize].load(Ordering::Relaxed);
            assert!(record == expected + 100 || record == expected + 102, "{expected}: {record}");
        }
        producer.join().unwrap();
    });
}

#[test]
fn a_full_ring_refuses_and_loses_nothing() {
    loom::model(|| {
        let words = Modelled::new();
        let mut producer = Producer::new(words.clone());
        assert_eq!(producer.push(1), Ok(()));
        assert_eq!(producer.push(2), Ok(()));
        let mut consumer = Consumer::new(words);
        let reader = thread::spawn(move || {
            assert_eq!(consumer.pop(), Ok(Some(1)));
            consumer
        });
        let third = producer.push(3);
        let mut consumer = reader.join().unwrap();
        if third == Err(Full) {
            assert_eq!(producer.push(3), Ok(()));
        }
        assert_eq!(consumer.pop(), Ok(Some(2)));
        assert_eq!(consumer.pop(), Ok(Some(3)));
        assert_eq!(consumer.pop(), Ok(None));
    });
}

#[test]
fn no_wake_up_is_lost() {
    // Three preemptions reach every race of two threads that is known for this protocol; without a
    // bound the model takes minutes.
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let words = Modelled::new();
        let bell = Arc::new(Notify::new());
        let (theirs, ring) = (words.clone(), bell.clone());
        let producer = thread::spawn(move || {
            let mut producer = Producer::new(theirs);
            for number in 0..2 {
                producer.push(number).unwrap();
                if producer.take_wake_duty() {
                    ring.notify();
                }
            }
        });
        let mut consumer = Consumer::new(words);
        let mut taken = 0;
        while taken < 2 {
            if consumer.pop().unwrap().is_some() {
                taken += 1;
                continue;
            }
            consumer.announce_sleep();
            if consumer.pending().unwrap() == 0 {
                // Deadlocks, and so fails the model, if the producer does not see the announcement.
                bell.wait();
            }
            consumer.withdraw_sleep();
        }
        producer.join().unwrap();
    });
}
