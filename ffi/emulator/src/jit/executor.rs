//! Decides whose wait is over, for the threads of a block that wait for each other. How a thread
//! stands still, on a stack of its own or in its record, is known to `stacks` and `regions`; both are
//! run by the rules that stand here. It knows no PTX.

use super::barrier::Barriers;
use super::frame::BlockFrame;
use super::kernel::BLOCK_THREADS_MAX;
use super::wait::{BarrierOp, Site, Wait, WarpWait, Word};
use super::warp::{Brought, LANES};
use crate::block::Fault;

/// Warps that a block may have.
const WARPS_MAX: usize = BLOCK_THREADS_MAX as usize / LANES;

/// Once in so many turns of a warp or of the block it is looked whether the kernel must end.
pub(super) const TURNS_BETWEEN_LOOKS: u32 = 8;

/// The threads of a block, each of which stands still when it waits.
pub(super) trait Threads {
    /// How many there are.
    fn count(&self) -> usize;

    /// Runs `lanes`, counted from thread `first`, until each waits or ends.
    ///
    /// # Errors
    /// The first fault, after which no thread may run on.
    fn run(&mut self, first: usize, lanes: u32) -> Result<(), Fault>;

    /// Runs all threads of the block, all of which are ready, where that is quicker than to run one
    /// warp after the other; false when it is not, and nothing was done.
    ///
    /// # Errors
    /// As `run`.
    fn run_block(&mut self) -> Result<bool, Fault>;

    /// What became of `lanes`, counted from thread `first`, which have just run.
    fn judge(&self, first: usize, lanes: u32) -> Ran;

    /// What a thread waits for.
    fn wait(&self, at: usize) -> Wait;

    /// Gives a thread the answer that its wait has.
    fn answer(&mut self, at: usize, answer: u64);

    /// Gives answers to all `lanes` that met at a warp operation, which is known from the text.
    fn meet(&mut self, first: usize, lanes: u32, at: Together);
}

/// Where lanes stand that all wait at the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Together {
    /// Which place of the text.
    pub(super) number: usize,
    /// What it is.
    pub(super) site: Site,
}

/// What became of lanes that ran.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ran {
    /// Those that ended; the others wait.
    pub(super) ended: u32,
    /// Where the others wait, when it is known to be one place.
    pub(super) together: Option<Together>,
}

/// A warp: lanes that are neither ready nor waiting have ended, or never were.
#[derive(Clone, Copy)]
struct Warp {
    first: usize,
    ready: u32,
    waiting: u32,
    /// Where those that wait do, when it is known to be one place.
    together: Option<Together>,
}

impl Warp {
    fn new(first: usize, threads: usize) -> Self {
        let lanes = threads.saturating_sub(first).min(LANES);
        let ready = if lanes == LANES { u32::MAX } else { (1 << lanes) - 1 };
        Self { first, ready, waiting: 0, together: None }
    }

    /// The threads among `lanes`, with their lanes.
    fn threads(&self, lanes: u32) -> impl Iterator<Item = (usize, usize)> + use<> {
        let first = self.first;
        (0..LANES).filter(move |lane| lanes >> lane & 1 == 1).map(move |lane| (lane, first + lane))
    }

    fn release(&mut self, lanes: u32) {
        self.waiting &= !lanes;
        self.ready |= lanes;
        self.together = None;
    }
}

/// Runs all threads of a block to their end.
///
/// # Errors
/// The first fault, after which no thread runs on.
pub(super) fn run<T: Threads>(block: &BlockFrame, threads: T) -> Result<(), Fault> {
    let count = threads.count();
    let warps = std::array::from_fn(|at| Warp::new(at * LANES, count));
    let warp_count = count.div_ceil(LANES);
    let mut run =
        Run { block, live: count, threads, warps, warp_count, barriers: Barriers::new(), turns: 0 };
    while run.live > 0 {
        run.round()?;
    }
    Ok(())
}

struct Run<'a, T> {
    block: &'a BlockFrame,
    threads: T,
    warps: [Warp; WARPS_MAX],
    warp_count: usize,
    barriers: Barriers,
    live: usize,
    turns: u32,
}

impl<T: Threads> Run<'_, T> {
    /// Gives every warp its turn, then opens the barriers that are complete.
    fn round(&mut self) -> Result<(), Fault> {
        let mut progress = self.run_block()?;
        for warp in 0..self.warp_count {
            while self.run_warp(warp)? || self.meet(warp) || self.meet_active(warp) {
                progress = true;
            }
        }
        progress |= self.open_barriers();
        let gave_turns = self.end_turns();
        if progress && !gave_turns {
            return self.attend();
        }
        self.block.attend()?;
        if !progress && !gave_turns {
            // Every thread waits for one that never comes. A device hangs then, until it is stopped.
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Lets other SMs run where it is their time. That asks for the time, so it is done now and then.
    fn attend(&mut self) -> Result<(), Fault> {
        self.turns = self.turns.wrapping_add(1);
        if self.turns.is_multiple_of(TURNS_BETWEEN_LOOKS) { self.block.attend() } else { Ok(()) }
    }

    /// Runs the lanes that are ready; false when none was.
    fn run_warp(&mut self, at: usize) -> Result<bool, Fault> {
        let warp = &mut self.warps[at];
        let ready = std::mem::take(&mut warp.ready);
        if ready == 0 {
            return Ok(false);
        }
        let first = warp.first;
        // A loop may wait for its own warp alone, and for ever.
        self.attend()?;
        self.threads.run(first, ready)?;
        self.settle(at, ready);
        Ok(true)
    }

    /// Runs all warps at once, where all lanes of all are ready; false when that is not so.
    fn run_block(&mut self) -> Result<bool, Fault> {
        let ready: u32 =
            self.warps[..self.warp_count].iter().map(|warp| warp.ready.count_ones()).sum();
        if ready as usize != self.threads.count() || !self.threads.run_block()? {
            return Ok(false);
        }
        for at in 0..self.warp_count {
            let ready = std::mem::take(&mut self.warps[at].ready);
            self.settle(at, ready);
        }
        Ok(true)
    }

    /// Sees what became of lanes that have run.
    fn settle(&mut self, at: usize, ready: u32) {
        let warp = &mut self.warps[at];
        let ran = self.threads.judge(warp.first, ready);
        let arrived = ready & !ran.ended;
        warp.together = if warp.waiting == 0 { ran.together } else { None };
        warp.waiting |= arrived;
        self.live -= ran.ended.count_ones() as usize;
        self.arrive(at, arrived, ran.together);
    }

    /// Counts lanes that now stand at barriers. Those that only announce themselves go on.
    fn arrive(&mut self, at: usize, lanes: u32, together: Option<Together>) {
        match together.map(|together| together.site) {
            Some(Site::Barrier {
                op: BarrierOp::Sync,
                id: Word::Known(id),
                expected: Word::Known(expected),
            }) => self.barriers.arrive(id, expected, lanes.count_ones() as usize, 0),
            Some(Site::Warp { .. } | Site::Turn | Site::Active { .. }) => {}
            Some(Site::Barrier { .. }) | None => {
                for (lane, thread) in self.warps[at].threads(lanes) {
                    let Wait::Barrier(wait) = self.threads.wait(thread) else { continue };
                    self.barriers.arrive(wait.id, wait.expected, 1, usize::from(wait.predicate));
                    if wait.op == BarrierOp::Arrive {
                        self.threads.answer(thread, 0);
                        self.warps[at].release(1 << lane);
                    }
                }
            }
        }
    }

    /// Lets lanes go on whose partners are all there. Lanes that ended are not waited for.
    fn meet(&mut self, at: usize) -> bool {
        let warp = self.warps[at];
        if let Some(together) = warp.together {
            match together.site {
                Site::Warp { members: Word::Known(members), .. }
                    if warp.waiting & !members == 0 =>
                {
                    self.threads.meet(warp.first, warp.waiting, together);
                    self.warps[at].release(warp.waiting);
                    return true;
                }
                Site::Warp { .. } => {}
                Site::Barrier { .. } | Site::Turn | Site::Active { .. } => return false,
            }
        }
        self.meet_one_by_one(at)
    }

    fn meet_one_by_one(&mut self, at: usize) -> bool {
        let warp = self.warps[at];
        let mut waits: [Option<WarpWait>; LANES] = [None; LANES];
        for (lane, thread) in warp.threads(warp.waiting) {
            if let Wait::Warp(wait) = self.threads.wait(thread) {
                waits[lane] = Some(wait);
            }
        }
        let mut met = false;
        for lane in 0..LANES {
            let Some(first) = waits[lane] else { continue };
            let same = |wait: &WarpWait| wait.op == first.op && wait.members == first.members;
            let mut brought = Brought::nothing(first.op);
            for (other, wait) in waits.iter().enumerate() {
                if let Some(wait) = wait.filter(same) {
                    brought.add(other, &wait);
                }
            }
            let absent = first.members & !brought.present;
            if absent & (warp.ready | warp.waiting) == 0 {
                met = true;
                let answers = brought.answers();
                for (other, thread) in warp.threads(brought.present) {
                    self.threads.answer(thread, answers[other]);
                    waits[other] = None;
                }
                self.warps[at].release(brought.present);
            }
        }
        met
    }

    /// When no lane of the warp can run, those at the same `activemask` are the active ones.
    fn meet_active(&mut self, at: usize) -> bool {
        let warp = self.warps[at];
        if matches!(warp.together, Some(Together { site: Site::Barrier { .. } | Site::Turn, .. })) {
            return false;
        }
        let threads = &self.threads;
        let site_of = |thread: usize| match threads.wait(thread) {
            Wait::Active { site } => Some(site),
            _ => None,
        };
        let Some(site) = warp.threads(warp.waiting).find_map(|(_, thread)| site_of(thread)) else {
            return false;
        };
        let there = warp.threads(warp.waiting).filter(|(_, thread)| site_of(*thread) == Some(site));
        let mask = there.fold(0, |mask, (lane, _)| mask | 1 << lane);
        for (_, thread) in warp.threads(mask) {
            self.threads.answer(thread, u64::from(mask));
        }
        self.warps[at].release(mask);
        true
    }

    fn open_barriers(&mut self) -> bool {
        let mut opened = false;
        while let Some(open) = self.barriers.take_complete(self.live) {
            opened = true;
            for at in 0..self.warp_count {
                let warp = self.warps[at];
                if let Some(Together {
                    site: Site::Barrier { op: BarrierOp::Sync, id: Word::Known(id), .. },
                    ..
                }) = warp.together
                {
                    if id == open.id {
                        self.warps[at].release(warp.waiting);
                    }
                    continue;
                }
                for (lane, thread) in warp.threads(warp.waiting) {
                    if let Wait::Barrier(wait) = self.threads.wait(thread)
                        && wait.id == open.id
                    {
                        self.threads.answer(thread, open.answer(wait.op));
                        self.warps[at].release(1 << lane);
                    }
                }
            }
        }
        opened
    }

    fn end_turns(&mut self) -> bool {
        let mut ended = false;
        for at in 0..self.warp_count {
            let warp = self.warps[at];
            if matches!(warp.together, Some(Together { site: Site::Barrier { .. }, .. })) {
                continue;
            }
            for (lane, thread) in warp.threads(warp.waiting) {
                if self.threads.wait(thread) == Wait::Turn {
                    self.threads.answer(thread, 0);
                    self.warps[at].release(1 << lane);
                    ended = true;
                }
            }
        }
        ended
    }
}
