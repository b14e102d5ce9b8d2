//! Virtual SMs: a few host threads that run the blocks of many launches, SM by SM.
//!
//! Blocks are placed over the SMs that a launch may use, round robin from the one that has least to
//! do, when it is submitted; so `%smid` is true and a launch on two SMs never runs on a third. Each
//! SM runs its launches in turns of a few blocks, so that no launch starves another. Which SM may
//! run, and how fast, is the [`pacer`]'s to say; the [`crew`] are the host threads. A block that
//! runs for long is interrupted where it attends, so blocks of different SMs may wait for each
//! other. It knows neither streams nor what a block computes.

mod calibration;
mod crew;
mod pacer;

pub(crate) use pacer::Pace;

use crate::block::{Fault, Turn};
use crate::clock;
use crate::scratch::Scratch;
use pacer::Pacer;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The part of what the host gives that SMs share out: the rest covers the sharing itself.
const USABLE: f64 = 0.95;

/// What a launch computes, block by block.
pub(crate) trait Grid: Send + Sync {
    /// What was launched.
    fn name(&self) -> &str;

    /// Blocks in all.
    fn blocks(&self) -> u64;

    /// SMs that it wants at most.
    fn sms_max(&self) -> usize {
        usize::MAX
    }

    /// Runs one block to its end, attending to `turn` now and then.
    fn run(&self, block: u64, sm: u32, turn: &dyn Turn, scratch: &mut Scratch)
    -> Result<(), Fault>;
}

/// Who submitted a grid, and is told what becomes of it.
pub(crate) trait Owner: Send + Sync {
    /// A block faulted. Its launch is to stop: the owner sets the `stop` that it submitted, once it
    /// has noted why. May be called several times at once.
    fn faulted(&self, fault: Fault);

    /// The last block has ended or was dropped. Called once.
    fn retired(&self);
}

/// What the SMs of a device are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// How many there are.
    pub(crate) count: u32,
    /// Host threads that run them at the same time.
    pub(crate) cores: u32,
    /// Whether each is held back to its share.
    pub(crate) pace: Pace,
    /// One that is slower than the others, and how many times.
    pub(crate) slow: Option<(u32, u32)>,
}

/// A grid on its way over the SMs.
struct Launch {
    grid: Arc<dyn Grid>,
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
    /// The host thread that was interrupted in the middle of a block of this SM waits here.
    held: Option<Arc<Condvar>>,
}

impl Sm {
    /// Launches that it has a share of, the one that runs now included.
    fn load(&self) -> usize {
        self.shares.len() + usize::from(self.awake)
    }
}

struct State {
    sms: Vec<Sm>,
    pacer: Pacer,
    /// All host threads, those that wait in the middle of a block, and those that wait for work.
    threads: u32,
    held: u32,
    idle: u32,
    /// When the first of the idle threads looks again.
    watch: Option<clock::Moment>,
}

/// The SMs of one device.
pub(crate) struct SmPool {
    state: Mutex<State>,
    work: Condvar,
    plan: Plan,
}

impl SmPool {
    /// SMs, none of them running yet.
    pub(crate) fn new(plan: Plan) -> Self {
        let state = State {
            sms: (0..plan.count).map(|_| Sm::default()).collect(),
            pacer: pacer(plan, f64::from(plan.cores)),
            threads: 0,
            held: 0,
            idle: 0,
            watch: None,
        };
        Self { state: Mutex::new(state), work: Condvar::new(), plan }
    }

    /// How many SMs there are.
    pub(crate) fn count(&self) -> u32 {
        self.plan.count
    }

    /// Finds out what the host gives, and starts the host threads. They sleep while there is nothing
    /// to run, and live as long as the process.
    pub(crate) fn start(self: &Arc<Self>) -> io::Result<()> {
        if self.plan.pace == Pace::On {
            self.state().pacer = pacer(self.plan, calibration::cores(self.plan.cores));
        }
        for _ in 0..self.plan.cores {
            self.state().threads += 1;
            self.add_thread()?;
        }
        Ok(())
    }

    /// Runs `grid` on `sms`. Blocks that have not begun when `stop` becomes nonzero are dropped.
    pub(crate) fn submit(
        &self,
        grid: Arc<dyn Grid>,
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
        let now = clock::now();
        let mut woken = 0;
        for (next, index) in (0..blocks).zip(from_first) {
            let sm = &mut state.sms[*index as usize];
            sm.shares.push_back(Share { launch: Arc::clone(&launch), next });
            if !sm.awake {
                sm.awake = true;
                state.pacer.wake(*index, now);
                woken += 1;
            }
        }
        let wanted = woken.min(state.pacer.permits_free()).min(state.idle as usize);
        drop(guard);
        for _ in 0..wanted {
            self.work.notify_one();
        }
    }

    // Blocks run outside the lock, so a panic of theirs cannot leave the state half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shares of `cores` cores.
fn pacer(plan: Plan, cores: f64) -> Pacer {
    // No SM is faster than a host thread.
    let stretch = (f64::from(plan.count) / (cores * USABLE)).max(1.0);
    let slowness = |sm| plan.slow.filter(|(slow, _)| *slow == sm).map_or(1, |(_, times)| times);
    let stretches = (0..plan.count).map(|sm| stretch * f64::from(slowness(sm)));
    Pacer::new(plan.pace, plan.cores as usize, stretches)
}

impl Launch {
    /// A panic in our own code must not take the SM's host thread with it: it ends the launch.
    fn run(
        &self,
        block: u64,
        sm: u32,
        turn: &dyn Turn,
        scratch: &mut Scratch,
    ) -> Result<(), Fault> {
        let run = || self.grid.run(block, sm, turn, scratch);
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

    impl<F: Fn(u64, u32, &dyn Turn) -> Result<(), Fault> + Send + Sync> Grid for Record<F> {
        fn name(&self) -> &str {
            "record"
        }
        fn blocks(&self) -> u64 {
            self.0
        }
        fn run(&self, block: u64, sm: u32, turn: &dyn Turn, _: &mut Scratch) -> Result<(), Fault> {
            (self.1)(block, sm, turn)
        }
    }

    fn pool(count: u32, cores: u32) -> Arc<SmPool> {
        let pool = Arc::new(SmPool::new(Plan { count, cores, pace: Pace::On, slow: None }));
        pool.start().unwrap();
        pool
    }

    /// Waits for the others as a block does that spins: it attends now and then.
    fn meet(arrived: &AtomicU32, count: u32, turn: &dyn Turn) -> Result<(), Fault> {
        arrived.fetch_add(1, Ordering::Relaxed);
        while arrived.load(Ordering::Relaxed) < count {
            turn.attend()?;
        }
        Ok(())
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
        run: impl Fn(u64, u32, &dyn Turn) -> Result<(), Fault> + Send + Sync + 'static,
    ) -> Receiver<Result<(), Fault>> {
        let (done, wait) = channel();
        let stop = Arc::<AtomicU32>::default();
        let owner = Sink { fault: OnceLock::new(), stop: Arc::clone(&stop), done };
        pool.submit(Arc::new(Record(blocks, run)), sms, stop, Box::new(owner));
        wait
    }

    #[test]
    fn every_block_runs_once_on_the_sm_that_round_robin_gives_it() {
        let pool = pool(8, 2);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let done = submit(&pool, 1000, &[1, 4, 6], move |block, sm, _| {
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
        let done = submit(&pool, 1_000_000, &[0, 1, 2, 3], |block, _, _| {
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
        let long = submit(&pool, u64::MAX / 2, &[0], move |_, _, _| {
            if gate.load(Ordering::Relaxed) == 0 { Ok(()) } else { Err(Fault::Assert) }
        });
        let short = submit(&pool, 1, &[0], |_, _, _| Ok(()));
        assert_eq!(short.recv().unwrap(), Ok(()));
        release.store(1, Ordering::Relaxed);
        assert_eq!(long.recv().unwrap(), Err(Fault::Assert));
    }

    #[test]
    fn launches_that_wait_for_each_other_spread_over_sms_and_run_at_once() {
        // Fewer cores than that takes: each has to let the others run.
        let pool = pool(3, 1);
        let arrived = Arc::<AtomicU32>::default();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let waits: Vec<_> = (0..3)
            .map(|_| {
                let (arrived, seen) = (Arc::clone(&arrived), Arc::clone(&seen));
                // Ends only when all three run at once.
                submit(&pool, 1, &[0, 1, 2], move |_, sm, turn| {
                    seen.lock().unwrap().push(sm);
                    meet(&arrived, 3, turn)
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
        let arrived = AtomicU32::new(0);
        let done = submit(&pool, 4, &[0, 1, 2, 3], move |_, _, turn| meet(&arrived, 4, turn));
        assert_eq!(done.recv().unwrap(), Ok(()));
    }

    #[test]
    fn a_block_without_end_costs_other_sms_nothing_and_can_be_stopped() {
        let pool = pool(2, 1);
        let (done, wait) = channel();
        let stop = Arc::<AtomicU32>::default();
        let owner = Sink { fault: OnceLock::new(), stop: Arc::clone(&stop), done };
        let endless = Record(1, |_, _, turn: &dyn Turn| {
            loop {
                turn.attend()?;
            }
        });
        pool.submit(Arc::new(endless), &[0], Arc::clone(&stop), Box::new(owner));
        for _ in 0..100 {
            let beside = submit(&pool, 1, &[1], |_, _, _| Ok(()));
            assert_eq!(beside.recv().unwrap(), Ok(()));
        }
        stop.store(1, Ordering::Release);
        assert_eq!(wait.recv().unwrap(), Ok(()));
    }

    #[test]
    fn a_panic_in_a_block_leaves_the_sm_working() {
        let pool = pool(1, 1);
        let bad = submit(&pool, 1, &[0], |_, _, _| panic!("on purpose"));
        assert_eq!(bad.recv().unwrap(), Err(Fault::Trap));
        let good = submit(&pool, 1, &[0], |_, _, _| Ok(()));
        assert_eq!(good.recv().unwrap(), Ok(()));
    }
}
