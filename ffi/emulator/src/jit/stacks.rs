//! Threads that each have a stack of their own: they wait in the middle of whatever they do, also in
//! a function that they called.

use std::num::NonZeroUsize;

use corosensei::stack::Stack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::executor::{Ran, Threads, Together};
use super::frame::{BlockFrame, DONE, EntryFn, ThreadFrame};
use super::scratch::StackBounds;
use super::wait::Wait;
use super::warp::LANES;
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

/// A thread. What it waits for stands in its frame, and is read field by field: a copy of the whole
/// would stall on the fields that the thread has just written.
struct Fiber<'a> {
    routine: Coroutine<(), (), u32, ThreadStack>,
    frame: &'a ThreadFrame,
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
        Self { routine: Coroutine::with_stack(stack, body), frame }
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

/// The threads of a block.
pub(super) struct Fibers<'a> {
    block: &'a BlockFrame,
    all: Vec<Fiber<'a>>,
}

impl<'a> Fibers<'a> {
    /// Threads at the start of `entry`, each with a frame and a stack.
    pub(super) fn new(
        entry: EntryFn,
        block: &'a BlockFrame,
        frames: &'a [ThreadFrame],
        stack: impl Fn(usize) -> StackBounds,
    ) -> Self {
        let frames = frames.iter().enumerate().zip(0u32..);
        let all = frames
            .map(|((at, frame), index)| Fiber::new(entry, block, frame, stack(at), index))
            .collect();
        Self { block, all }
    }
}

impl Threads for Fibers<'_> {
    fn count(&self) -> usize {
        self.all.len()
    }

    fn run(&mut self, first: usize, lanes: u32) -> Result<(), Fault> {
        for lane in (0..LANES).filter(|lane| lanes >> lane & 1 == 1) {
            match self.all[first + lane].routine.resume(()) {
                CoroutineResult::Yield(()) | CoroutineResult::Return(DONE) => {}
                CoroutineResult::Return(_) => return Err(self.block.recorded_fault()),
            }
        }
        Ok(())
    }

    fn run_block(&mut self) -> Result<bool, Fault> {
        Ok(false)
    }

    fn judge(&self, first: usize, lanes: u32) -> Ran {
        let ran = (0..LANES).filter(|lane| lanes >> lane & 1 == 1);
        let ended = ran.filter(|lane| self.all[first + lane].routine.done());
        Ran { ended: ended.fold(0, |mask, lane| mask | 1 << lane), together: None }
    }

    fn wait(&self, at: usize) -> Wait {
        self.all[at].frame.wait.get()
    }

    fn answer(&mut self, at: usize, answer: u64) {
        self.all[at].frame.answer.set(answer);
    }

    fn meet(&mut self, _: usize, _: u32, _: Together) {
        unreachable!("threads with stacks of their own are never known to be together");
    }
}
