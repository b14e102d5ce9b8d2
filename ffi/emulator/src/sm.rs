//! Virtual SMs: a few host threads that run the blocks of many launches, SM by SM.
//!
//! Blocks are placed over the SMs that a launch may use, round robin from the one that has least to
//! do, when it is submitted; so `%smid` is true and a launch on two SMs never runs on a third. Each SM runs its launches in
//! turns of a few blocks, and host threads take the SMs in turn, so that no launch starves another.
//! Blocks may spin for what a launch on another SM does; so where no turn ends for a while and SMs
//! wait, one more host thread joins, up to one for each SM. It knows neither streams nor what a
//! block computes.

use crate::block::Fault;
use crate::clock;
use crate::scratch::Scratch;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A turn of a launch on an SM ends after this many blocks,
const TURN_BLOCKS_MAX: u64 = 32;
/// or with the first block that ends after this long.
const TURN_TIME: Duration = Duration::from_micros(50);
/// Where SMs wait and no turn has ended for this long, one more host thread joins.
const PATIENCE: Duration = Duration::from_millis(20);

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

impl Grid for Arc<dyn Grid> {
    fn blocks(&self) -> u64 {
        self.as_ref().blocks()
    }

    fn sms_max(&self) -> usize {
        self.as_ref().sms_max()
    }

    fn run(
        &self,
        block: u64,
        sm: u32,
        stop: &AtomicU32,
        scratch: &mut Scratch,
    ) -> Result<(), Fault> {
        self.as_ref().run(block, sm, stop, scratch)
    }
}

/// Who submitted a grid, and is told what becomes of it.
pub(crate) trait Owner: Send + Sync {
    /// A block faulted. Its launch is to stop: the owner sets the `stop` that it submitted, once it
    /// has noted why. May be called several times at once.
    fn faulted(&self, fault: Fault);

    /// The last block has ended or was dropped. Called once.
    fn retired(&self);
}

/// A grid on its way over the SMs.
struct Launch {
    grid: Box<dyn Grid>,
    /// Consecutive blocks on one SM are this far apart.
    stride: u64,
    left: AtomicU64,
    stop: Arc<AtomicU32>,
    owner: Box<dyn Owner>,
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
    /// Host threads that wait for work, and all of them.
    idle: u32,
    threads: u32,
    /// Turns that have ended, ever.
    turns: u64,
}

impl State {
    /// Whether more SMs wait than there are idle host threads. Only a submission makes it so: a
    /// thread that takes an SM, or puts one back and takes the next, changes both sides alike.
    fn is_pressed(&self) -> bool {
        self.line.len() > self.idle as usize
    }
}

/// The SMs of one device.
pub(crate) struct SmPool {
    state: Mutex<State>,
    work: Condvar,
    /// Told when more SMs wait than host threads are idle.
    pressed: Condvar,
    count: u32,
}

impl SmPool {
    /// `count` SMs, none of them running yet.
    pub(crate) fn new(count: u32) -> Self {
        let sms = (0..count).map(|_| Sm::default()).collect();
        let state = State { sms, line: VecDeque::new(), idle: 0, threads: 0, turns: 0 };
        Self { state: Mutex::new(state), work: Condvar::new(), pressed: Condvar::new(), count }
    }

    /// How many SMs there are.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Starts the host threads, and one that looks after them. They sleep while there is nothing to
    /// run, and live as long as the process.
    pub(crate) fn start(self: &Arc<Self>, threads: u32) -> io::Result<()> {
        for _ in 0..threads {
            self.add_thread()?;
        }
        let pool = Arc::clone(self);
        std::thread::Builder::new()
            .name("gpumux-sm-relief".to_owned())
            .spawn(move || pool.relieve())?;
        Ok(())
    }

    fn add_thread(self: &Arc<Self>) -> io::Result<()> {
        let index = {
            let mut state = self.state();
            state.threads += 1;
            state.threads
        };
        let pool = Arc::clone(self);
        let thread = std::thread::Builder::new().name(format!("gpumux-sm-{index}"));
        thread.spawn(move || pool.serve()).map(|_| ())
    }

    /// Runs `grid` on `sms`. Blocks that have not begun when `stop` becomes nonzero are dropped.
    pub(crate) fn submit(
        &self,
        grid: Box<dyn Grid>,
        sms: &[u32],
        stop: Arc<AtomicU32>,
        owner: Box<dyn Owner>,
    ) {
        let blocks = grid.blocks();
        let sms = &sms[..sms.len().min(grid.sms_max())];
        assert!(blocks > 0 && !sms.is_empty(), "a launch has blocks, and SMs to run them on");
        let launch = Arc::new(Launch {
            grid,
            stride: sms.len() as u64,
            left: AtomicU64::new(blocks),
            stop,
            owner,
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
        let is_pressed = guard.is_pressed();
        drop(guard);
        self.work.notify_all();
        if is_pressed {
            self.pressed.notify_one();
        }
    }

    fn serve(&self) {
        let mut scratch = Scratch::new();
        let mut state = self.state();
        loop {
            // Pacing will decide here which SM may run next; now it is whoever waits longest.
            let Some(index) = state.line.pop_front() else {
                state.idle += 1;
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
                continue;
            };
            let sm = &mut state.sms[index as usize];
            let mut share = sm.shares.pop_front().expect("an SM in line has work");
            drop(state);

            let launch = Arc::clone(&share.launch);
            let ended = share.take_turn(index, &mut scratch);

            state = self.state();
            state.turns += 1;
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

    /// Adds a host thread where all that there are have been in one turn for too long.
    fn relieve(self: &Arc<Self>) {
        let mut state = self.state();
        loop {
            if !state.is_pressed() || state.threads >= self.count {
                state = self.pressed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let turns = state.turns;
            let waited = self.pressed.wait_timeout(state, PATIENCE);
            let (after, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            state = after;
            if waited.timed_out() && state.turns == turns && state.is_pressed() {
                drop(state);
                // Without one more thread things stay as they are; the next look tries again.
                let _ = self.add_thread();
                state = self.state();
            }
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
            // Acquire: whoever finds out here that it is to stop also finds out why.
            if self.launch.stop.load(Ordering::Acquire) != 0 {
                let rest = (blocks - self.next).div_ceil(self.launch.stride);
                self.next = blocks;
                return ended + rest;
            }
            match self.launch.run(self.next, sm, scratch) {
                Ok(()) | Err(Fault::Stopped) => {}
                Err(fault) => self.launch.owner.faulted(fault),
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
            self.owner.retired();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::OnceLock;
    use std::sync::mpsc::{Receiver, Sender, channel};

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

    struct Sink {
        fault: OnceLock<Fault>,
        stop: Arc<AtomicU32>,
        done: Sender<Result<(), Fault>>,
    }

    impl Owner for Sink {
        fn faulted(&self, fault: Fault) {
            let _ = self.fault.set(fault);
            self.stop.store(1, Ordering::Release);
        }
        fn retired(&self) {
            let outcome = self.fault.get().map_or(Ok(()), |fault| Err(*fault));
            self.done.send(outcome).unwrap();
        }
    }

    fn submit(
        pool: &SmPool,
        blocks: u64,
        sms: &[u32],
        run: impl Fn(u64, u32) -> Result<(), Fault> + Send + Sync + 'static,
    ) -> Receiver<Result<(), Fault>> {
        let (done, wait) = channel();
        let stop = Arc::<AtomicU32>::default();
        let owner = Sink { fault: OnceLock::new(), stop: Arc::clone(&stop), done };
        pool.submit(Box::new(Record(blocks, run)), sms, stop, Box::new(owner));
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
            if gate.load(Ordering::Relaxed) == 0 { Ok(()) } else { Err(Fault::Assert) }
        });
        let short = submit(&pool, 1, &[0], |_, _| Ok(()));
        assert_eq!(short.recv().unwrap(), Ok(()));
        release.store(1, Ordering::Relaxed);
        assert_eq!(long.recv().unwrap(), Err(Fault::Assert));
    }

    #[test]
    fn launches_that_wait_for_each_other_spread_over_sms_and_run_at_once() {
        // Fewer threads than that takes: more must join.
        let pool = pool(3, 1);
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
    fn blocks_of_one_launch_may_wait_for_each_other_on_different_sms() {
        let pool = pool(4, 1);
        let barrier = std::sync::Barrier::new(4);
        let done = submit(&pool, 4, &[0, 1, 2, 3], move |_, _| {
            barrier.wait();
            Ok(())
        });
        assert_eq!(done.recv().unwrap(), Ok(()));
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
