//! Virtual SMs: a few host threads that run the blocks of many launches, SM by SM.
//!
//! Blocks are placed over the SMs that a launch may use, round robin from the one that has least to
//! do, when it is submitted; so `%smid` is true and a launch on two SMs never runs on a third. Each SM runs its launches in
//! turns of a few blocks, and host threads take the SMs in turn, so that no launch starves another.
//! It knows neither streams nor what a block computes.

use crate::block::Fault;
use crate::clock;
use crate::scratch::Scratch;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// A turn of a launch on an SM ends after this many blocks,
const TURN_BLOCKS_MAX: u64 = 32;
/// or with the first block that ends after this long.
const TURN_TIME: Duration = Duration::from_micros(50);

/// What a launch computes, block by block.
pub(crate) trait Grid: Send + Sync {
    /// Blocks in all.
    fn blocks(&self) -> u64;

    /// SMs that it wants at most.
    fn sms_max(&self) -> usize {
        usize::MAX
    }

    /// Runs one block to its end. `stop` is nonzero once the block should leave early.
    fn run(
        &self,
        block: u64,
        sm: u32,
        stop: &AtomicU32,
        scratch: &mut Scratch,
    ) -> Result<(), Fault>;
}

/// A grid on its way over the SMs.
struct Launch {
    grid: Box<dyn Grid>,
    /// Consecutive blocks on one SM are this far apart.
    stride: u64,
    left: AtomicU64,
    stop: Arc<AtomicU32>,
    fault: OnceLock<Fault>,
    /// Called once, by the thread that ran the last block.
    retired: Box<dyn Fn(Result<(), Fault>) + Send + Sync>,
}

/// The blocks of a launch that one SM still has to run: `next`, `next + stride`, ...
struct Share {
    launch: Arc<Launch>,
    next: u64,
}

#[derive(Default)]
struct Sm {
    shares: VecDeque<Share>,
    /// A host thread runs it or it is in line for one.
    awake: bool,
}

impl Sm {
    /// Launches that it has a share of, the one that runs now included.
    fn load(&self) -> usize {
        self.shares.len() + usize::from(self.awake)
    }
}

struct State {
    sms: Vec<Sm>,
    /// SMs with work that no host thread has.
    line: VecDeque<u32>,
}

/// The SMs of one device.
pub(crate) struct SmPool {
    state: Mutex<State>,
    work: Condvar,
    count: u32,
}

impl SmPool {
    /// `count` SMs, none of them running yet.
    pub(crate) fn new(count: u32) -> Self {
        let sms = (0..count).map(|_| Sm::default()).collect();
        let state = State { sms, line: VecDeque::new() };
        Self { state: Mutex::new(state), work: Condvar::new(), count }
    }

    /// How many SMs there are.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Starts the host threads. They sleep while there is nothing to run, and live as long as the
    /// process.
    pub(crate) fn start(self: &Arc<Self>, threads: u32) -> io::Result<()> {
        for index in 0..threads {
            let pool = Arc::clone(self);
            std::thread::Builder::new()
                .name(format!("gpumux-sm-{index}"))
                .spawn(move || pool.serve())?;
        }
        Ok(())
    }

    /// Runs `grid` on `sms` and calls `retired` when its last block has ended, unless setting
    /// `stop` ended it early.
    pub(crate) fn submit(
        &self,
        grid: Box<dyn Grid>,
        sms: &[u32],
        stop: Arc<AtomicU32>,
        retired: Box<dyn Fn(Result<(), Fault>) + Send + Sync>,
    ) {
        let blocks = grid.blocks();
        let sms = &sms[..sms.len().min(grid.sms_max())];
        assert!(blocks > 0 && !sms.is_empty(), "a launch has blocks, and SMs to run them on");
        let launch = Arc::new(Launch {
            grid,
            stride: sms.len() as u64,
            left: AtomicU64::new(blocks),
            stop,
            fault: OnceLock::new(),
            retired,
        });
        let mut guard = self.state();
        let state = &mut *guard;
        let load = |index: &u32| state.sms[*index as usize].load();
        let first = (0..sms.len()).min_by_key(|at| load(&sms[*at])).unwrap_or(0);
        let from_first = sms[first..].iter().chain(&sms[..first]);
        for (next, index) in (0..blocks).zip(from_first) {
            let sm = &mut state.sms[*index as usize];
            sm.shares.push_back(Share { launch: Arc::clone(&launch), next });
            if !sm.awake {
                sm.awake = true;
                state.line.push_back(*index);
            }
        }
        drop(guard);
        self.work.notify_all();
    }

    fn serve(&self) {
        let mut scratch = Scratch::new();
        let mut state = self.state();
        loop {
            // Pacing will decide here which SM may run next; now it is whoever waits longest.
            let Some(index) = state.line.pop_front() else {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let sm = &mut state.sms[index as usize];
            let mut share = sm.shares.pop_front().expect("an SM in line has work");
            drop(state);

            let launch = Arc::clone(&share.launch);
            let ended = share.take_turn(index, &mut scratch);

            state = self.state();
            let sm = &mut state.sms[index as usize];
            if share.next < launch.grid.blocks() {
                sm.shares.push_back(share);
            }
            sm.awake = !sm.shares.is_empty();
            if sm.awake {
                state.line.push_back(index);
            }
            drop(state);
            launch.count(ended);
            state = self.state();
        }
    }

    // Blocks run outside the lock, so a panic of theirs cannot leave the state half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Runs some blocks on an SM; returns how many are over, those that were dropped included.
    fn take_turn(&mut self, sm: u32, scratch: &mut Scratch) -> u64 {
        let blocks = self.launch.grid.blocks();
        let start = clock::now();
        let mut ended = 0;
        while self.next < blocks && ended < TURN_BLOCKS_MAX && clock::now().since(start) < TURN_TIME
        {
            if self.launch.stop.load(Ordering::Relaxed) != 0 {
                let rest = (blocks - self.next).div_ceil(self.launch.stride);
                self.next = blocks;
                return ended + rest;
            }
            let outcome = self.launch.run(self.next, sm, scratch);
            if let Err(fault) = outcome {
                // Of several faults at once the first is the one that is reported.
                let _ = self.launch.fault.set(fault);
                self.launch.stop.store(1, Ordering::Relaxed);
            }
            self.next = self.next.saturating_add(self.launch.stride);
            ended += 1;
        }
        ended
    }
}

impl Launch {
    /// A panic in our own code must not take the SM's host thread with it: it ends the launch.
    fn run(&self, block: u64, sm: u32, scratch: &mut Scratch) -> Result<(), Fault> {
        let run = || self.grid.run(block, sm, &self.stop, scratch);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or(Err(Fault::Trap))
    }

    fn count(&self, ended: u64) {
        // AcqRel: whoever takes the last sees the writes of every other block.
        if self.left.fetch_sub(ended, Ordering::AcqRel) == ended {
            (self.retired)(self.fault.get().map_or(Ok(()), |fault| Err(*fault)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};

    struct Record<F>(u64, F);

    impl<F: Fn(u64, u32) -> Result<(), Fault> + Send + Sync> Grid for Record<F> {
        fn blocks(&self) -> u64 {
            self.0
        }
        fn run(&self, block: u64, sm: u32, _: &AtomicU32, _: &mut Scratch) -> Result<(), Fault> {
            (self.1)(block, sm)
        }
    }

    fn pool(sms: u32, threads: u32) -> Arc<SmPool> {
        let pool = Arc::new(SmPool::new(sms));
        pool.start(threads).unwrap();
        pool
    }

    fn submit(
        pool: &SmPool,
        blocks: u64,
        sms: &[u32],
        run: impl Fn(u64, u32) -> Result<(), Fault> + Send + Sync + 'static,
    ) -> Receiver<Result<(), Fault>> {
        let (done, wait) = channel();
        let retired = Box::new(move |outcome| done.send(outcome).unwrap());
        pool.submit(Box::new(Record(blocks, run)), sms, Arc::default(), retired);
        wait
    }

    #[test]
    fn every_block_runs_once_on_the_sm_that_round_robin_gives_it() {
        let pool = pool(8, 2);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let done = submit(&pool, 1000, &[1, 4, 6], move |block, sm| {
            log.lock().unwrap().push((block, sm));
            Ok(())
        });
        assert_eq!(done.recv().unwrap(), Ok(()));
        let mut seen = seen.lock().unwrap().clone();
        seen.sort_unstable();
        let expected: Vec<_> = (0..1000).zip([1, 4, 6].into_iter().cycle()).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_fault_ends_the_launch_and_is_reported_once() {
        let pool = pool(4, 2);
        let done = submit(&pool, 1_000_000, &[0, 1, 2, 3], |block, _| {
            if block == 5 { Err(Fault::Trap) } else { Ok(()) }
        });
        assert_eq!(done.recv().unwrap(), Err(Fault::Trap));
        assert!(done.recv().is_err(), "retired twice");
    }

    #[test]
    fn a_long_launch_does_not_keep_a_short_one_from_its_sm() {
        let pool = pool(1, 1);
        let release = Arc::new(AtomicU32::new(0));
        let gate = Arc::clone(&release);
        let long = submit(&pool, u64::MAX / 2, &[0], move |_, _| {
            if gate.load(Ordering::Relaxed) == 0 { Ok(()) } else { Err(Fault::Stopped) }
        });
        let short = submit(&pool, 1, &[0], |_, _| Ok(()));
        assert_eq!(short.recv().unwrap(), Ok(()));
        release.store(1, Ordering::Relaxed);
        assert_eq!(long.recv().unwrap(), Err(Fault::Stopped));
    }

    #[test]
    fn small_launches_spread_over_idle_sms() {
        let pool = pool(3, 3);
        let barrier = Arc::new(std::sync::Barrier::new(3));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let waits: Vec<_> = (0..3)
            .map(|_| {
                let (barrier, seen) = (Arc::clone(&barrier), Arc::clone(&seen));
                // Ends only when all three run at once.
                submit(&pool, 1, &[0, 1, 2], move |_, sm| {
                    seen.lock().unwrap().push(sm);
                    barrier.wait();
                    Ok(())
                })
            })
            .collect();
        waits.iter().for_each(|wait| assert_eq!(wait.recv().unwrap(), Ok(())));
        let mut seen = seen.lock().unwrap().clone();
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2]);
    }

    #[test]
    fn a_panic_in_a_block_leaves_the_sm_working() {
        let pool = pool(1, 1);
        let bad = submit(&pool, 1, &[0], |_, _| panic!("on purpose"));
        assert_eq!(bad.recv().unwrap(), Err(Fault::Trap));
        let good = submit(&pool, 1, &[0], |_, _| Ok(()));
        assert_eq!(good.recv().unwrap(), Ok(()));
    }
}
