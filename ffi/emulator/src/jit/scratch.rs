//! What a virtual SM keeps from block to block, so that a block costs no allocation: shared memory,
//! local memory, stacks, and the records of the threads.

use super::exchange::Exchange;
use super::frame::ThreadFrame;
use super::region::Region;

/// Bytes below every frame that helpers, the C library and signal handlers may use.
const STACK_RESERVE: usize = 16 << 10;
/// Space for the frames of called functions, when a module has any.
const CALL_STACK: usize = 64 << 10;
/// Local addresses are as aligned as the widest access.
const LOCAL_ALIGN: usize = 16;
/// Stacks start at odd multiples of a cache line, so that the same variable of different threads does
/// not always fall in the same set of the cache.
const CACHE_LINE: usize = 64;

/// Memory for the blocks of one virtual SM, one at a time.
pub(crate) struct Scratch {
    shared: Region,
    local: Region,
    stacks: Region,
    pub(super) threads: Vec<ThreadFrame>,
    pub(super) exchange: Exchange,
}

// SAFETY: the thread records point to the regions, and to stacks only while a block runs, which holds
// the scratch exclusively.
unsafe impl Send for Scratch {}

/// What a block needs of the scratch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    /// Static and dynamic shared memory.
    pub(super) shared_bytes: usize,
    /// Local memory of a thread.
    pub(super) local_bytes: usize,
    /// Threads that exist at the same time: all of the block, or one after the other.
    pub(super) threads: usize,
    /// The kernel's own frame, when each thread has a stack; 0 when none has.
    pub(super) frame_bytes: usize,
    /// Whether it calls functions.
    pub(super) calls: bool,
}

/// A thread's stack: an odd number of cache lines.
#[derive(Clone, Copy)]
pub(super) struct StackBounds {
    /// Its highest address.
    pub(super) base: usize,
    /// Its lowest address.
    pub(super) limit: usize,
}

impl Scratch {
    /// Holds nothing until a block needs it.
    pub(crate) fn new() -> Self {
        Self {
            shared: Region::new(),
            local: Region::new(),
            stacks: Region::new(),
            threads: Vec::new(),
            exchange: Exchange::new(),
        }
    }

    /// Makes room, points the thread records at it, and returns where shared memory is.
    pub(super) fn prepare(&mut self, need: &Need) -> *mut u8 {
        let local_stride = need.local_bytes.next_multiple_of(LOCAL_ALIGN);
        let local = self.local.at_least(local_stride * need.threads);
        let stride = stack_stride(need);
        let stacks = if need.frame_bytes == 0 {
            0
        } else {
            self.stacks.at_least(stride * need.threads) as usize
        };
        self.threads.resize_with(need.threads.max(self.threads.len()), ThreadFrame::new);
        for (at, thread) in self.threads.iter_mut().take(need.threads).enumerate() {
            thread.local = local.wrapping_add(at * local_stride);
            thread.local_bytes = local_stride as u64;
            thread.stack_limit = (stacks + at * stride + STACK_RESERVE) as u64;
            thread.yielder.set(std::ptr::null());
        }
        self.shared.at_least(need.shared_bytes)
    }

    /// Tells each thread which of the block it is.
    pub(super) fn number_threads(&mut self, [width, height, _]: [u32; 3]) {
        for (index, thread) in (0u32..).zip(&mut self.threads) {
            thread.index = [index % width, index / width % height, index / width / height];
            thread.linear_index = index;
        }
    }

    /// The stack of thread `at`, which `prepare` made room for.
    pub(super) fn stack(stacks: usize, need: &Need, at: usize) -> StackBounds {
        let stride = stack_stride(need);
        let limit = stacks + at * stride;
        StackBounds { base: limit + stride, limit }
    }

    /// Where the stacks start.
    pub(super) fn stacks(&mut self) -> usize {
        self.stacks.at_least(0) as usize
    }
}

fn stack_stride(need: &Need) -> usize {
    let calls = if need.calls { CALL_STACK } else { 0 };
    let lines = (need.frame_bytes + STACK_RESERVE + calls).div_ceil(CACHE_LINE);
    (lines | 1) * CACHE_LINE
}
