//! Runs the threads of a block that wait for each other. Each has a stack of its own and goes back
//! here when it waits; here it is decided whose wait is over. It knows no PTX.

use std::num::NonZeroUsize;

use corosensei::stack::Stack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::barrier::Barriers;
use super::frame::{BlockFrame, DONE, EntryFn, ThreadFrame};
use super::scratch::StackBounds;
use super::wait::{BarrierOp, Wait, WarpWait};
use super::warp::{LANES, answers};
use crate::block::Fault;

/// A stack in the scratch.
struct ThreadStack {
    base: NonZeroUsize,
    limit: NonZeroUsize,
}

// SAFETY: the stack is part of the scratch's region, is used by this thread alone, and is larger than
// the minimum. There is no guard page, because nothing can reach below its limit: the kernel's frame was
// measured, called functions compare the stack pointer with a limit, and the rest is the reserve.
unsafe impl Stack for ThreadStack {
    fn base(&self) -> NonZeroUsize {
        self.base
    }

    fn limit(&self) -> NonZeroUsize {
        self.limit
    }
}

/// Where a thread is. What it waits for stands in its frame, and is read field by field: a copy of
/// the whole would stall on the fields that the thread has just written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Waiting,
    Ended,
}

struct Fiber<'a> {
    routine: Coroutine<(), (), u32, ThreadStack>,
    frame: &'a ThreadFrame,
    state: State,
}

impl<'a> Fiber<'a> {
    fn new(
        entry: EntryFn,
        block: &'a BlockFrame,
        frame: &'a ThreadFrame,
        stack: StackBounds,
        index: u32,
    ) -> Self {
        let nonzero = |address| NonZeroUsize::new(address).expect("a mapped stack is not at zero");
        let stack = ThreadStack { base: nonzero(stack.base), limit: nonzero(stack.limit) };
        let block: *const BlockFrame = block;
        let frame_pointer: *const ThreadFrame = frame;
        let body = move |yielder: &Yielder<(), ()>, ()| {
            // SAFETY: the executor that made this routine borrows both frames for longer than it lives.
            let (block, thread) = unsafe { frames(block, frame_pointer) };
            thread.yielder.set(yielder);
            entry(block, thread, index, index + 1)
        };
        Self { routine: Coroutine::with_stack(stack, body), frame, state: State::Ready }
    }

    /// Runs the thread until it waits or ends; the status is that of compiled code.
    fn resume(&mut self) -> u32 {
        match self.routine.resume(()) {
            CoroutineResult::Yield(()) => {
                self.state = State::Waiting;
                DONE
            }
            CoroutineResult::Return(status) => {
                self.state = State::Ended;
                status
            }
        }
    }

    /// What the thread waits for; nothing when it does not wait.
    fn wait(&self) -> Wait {
        if self.state == State::Waiting { self.frame.wait.get() } else { Wait::Nothing }
    }

    fn release(&mut self, answer: u64) {
        self.frame.answer.set(answer);
        self.state = State::Ready;
    }
}

impl Drop for Fiber<'_> {
    fn drop(&mut self) {
        if self.routine.started() && !self.routine.done() {
            // SAFETY: the frames on the stack are those of compiled code and of `wait_for`, which own
            // nothing that must be dropped.
            unsafe { self.routine.force_reset() };
        }
    }
}

/// The two frames that a routine works with.
///
/// # Safety
/// Both must outlive the routine.
unsafe fn frames<'a>(
    block: *const BlockFrame,
    thread: *const ThreadFrame,
) -> (&'a BlockFrame, &'a ThreadFrame) {
    // SAFETY: the caller says that it lives.
    let block = unsafe { &*block };
    // SAFETY: the caller says that it lives.
    let thread = unsafe { &*thread };
    (block, thread)
}

/// Runs all threads of a block to their end.
///
/// # Errors
/// The first fault, after which no thread runs on.
pub(super) fn run(
    entry: EntryFn,
    block: &BlockFrame,
    threads: &[ThreadFrame],
    stack: impl Fn(usize) -> StackBounds,
) -> Result<(), Fault> {
    let fibers = threads.iter().enumerate().zip(0u32..);
    let fibers = fibers
        .map(|((at, thread), index)| Fiber::new(entry, block, thread, stack(at), index))
        .collect();
    let mut run = Run { block, live: threads.len(), fibers, barriers: Barriers::new() };
    while run.live > 0 {
        run.round()?;
    }
    Ok(())
}

struct Run<'a> {
    block: &'a BlockFrame,
    fibers: Vec<Fiber<'a>>,
    barriers: Barriers,
    live: usize,
}

impl Run<'_> {
    /// Gives every warp its turn, then opens the barriers that are complete.
    fn round(&mut self) -> Result<(), Fault> {
        let mut progress = false;
        for warp in 0..self.fibers.len().div_ceil(LANES) {
            while self.run_warp(warp)? || self.meet(warp) || self.meet_active(warp) {
                progress = true;
            }
        }
        progress |= self.open_barriers();
        progress |= self.end_turns();
        self.block.attend()?;
        if !progress {
            // Every thread waits for one that never comes. A device hangs then, until it is stopped.
            std::thread::yield_now();
        }
        Ok(())
    }

    fn lanes(&self, warp: usize) -> std::ops::Range<usize> {
        warp * LANES..((warp + 1) * LANES).min(self.fibers.len())
    }

    /// Runs the lanes that are ready; false when none was.
    fn run_warp(&mut self, warp: usize) -> Result<bool, Fault> {
        let mut ran = false;
        for at in self.lanes(warp) {
            let fiber = &mut self.fibers[at];
            while fiber.state == State::Ready {
                ran = true;
                if fiber.resume() != DONE {
                    return Err(self.block.recorded_fault());
                }
                if fiber.state == State::Ended {
                    self.live -= 1;
                } else if let Wait::Barrier(wait) = fiber.frame.wait.get() {
                    self.barriers.arrive(&wait);
                    if wait.op == BarrierOp::Arrive {
                        fiber.release(0);
                    }
                }
            }
        }
        Ok(ran)
    }

    /// Lets lanes go on whose partners are all there. Lanes that ended are not waited for.
    fn meet(&mut self, warp: usize) -> bool {
        let range = self.lanes(warp);
        let mut met = false;
        for at in range.clone() {
            let Wait::Warp(first) = self.fibers[at].wait() else { continue };
            let mut brought: [Option<WarpWait>; LANES] = [None; LANES];
            let mut complete = true;
            for (lane, other) in range.clone().enumerate() {
                match self.fibers[other].wait() {
                    Wait::Warp(wait) if wait.op == first.op && wait.members == first.members => {
                        brought[lane] = Some(wait);
                    }
                    _ => {
                        let ended = self.fibers[other].state == State::Ended;
                        complete &= ended || first.members >> lane & 1 == 0;
                    }
                }
            }
            if complete {
                met = true;
                let answers = answers(&brought);
                for (lane, other) in range.clone().enumerate() {
                    if brought[lane].is_some() {
                        self.fibers[other].release(answers[lane]);
                    }
                }
            }
        }
        met
    }

    /// When no lane of the warp can run, those at the same `activemask` are the active ones.
    fn meet_active(&mut self, warp: usize) -> bool {
        let range = self.lanes(warp);
        let site_of = |fiber: &Fiber<'_>| match fiber.wait() {
            Wait::Active { site } => Some(site),
            _ => None,
        };
        let Some(site) = range.clone().find_map(|at| site_of(&self.fibers[at])) else {
            return false;
        };
        let mut mask = 0u64;
        for (lane, at) in range.clone().enumerate() {
            mask |= u64::from(site_of(&self.fibers[at]) == Some(site)) << lane;
        }
        for (lane, at) in range.enumerate() {
            if mask >> lane & 1 == 1 {
                self.fibers[at].release(mask);
            }
        }
        true
    }

    fn open_barriers(&mut self) -> bool {
        let mut opened = false;
        while let Some(open) = self.barriers.take_complete(self.live) {
            opened = true;
            for fiber in &mut self.fibers {
                if let Wait::Barrier(wait) = fiber.wait()
                    && wait.id == open.id
                {
                    fiber.release(open.answer(wait.op));
                }
            }
        }
        opened
    }

    fn end_turns(&mut self) -> bool {
        let mut ended = false;
        for fiber in &mut self.fibers {
            if fiber.wait() == Wait::Turn {
                fiber.release(0);
                ended = true;
            }
        }
        ended
    }
}
