//! A compiled kernel, and how one block of it runs.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::code::Code;
use super::executor;
use super::frame::{BlockFrame, DONE, EntryFn, ThreadFrame};
use super::regions::{Cut, Sites};
use super::scratch::{Need, Scratch};
use super::stacks::Fibers;
use crate::block::{Block, Fault};

/// Threads that a block may have.
pub(super) const BLOCK_THREADS_MAX: u32 = 1024;

/// Local memory for the frames of called functions, deep enough for ordinary recursion.
const CALL_LOCAL_BYTES: usize = 16 << 10;

/// Where a kernel's parameter lies in its parameter buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Param {
    /// From the start of the buffer, in bytes.
    pub(crate) offset: u32,
    /// Bytes.
    pub(crate) size: u32,
    /// Bytes.
    pub(crate) align: u32,
}

/// A kernel that can run.
#[derive(Clone)]
pub(crate) struct Kernel {
    /// Its name in the module.
    pub(crate) name: String,
    /// Its parameters.
    pub(crate) params: Vec<Param>,
    /// Bytes of the parameter buffer.
    pub(crate) param_bytes: u32,
    /// Bytes of shared memory that the kernel declares.
    pub(crate) static_shared_bytes: u32,
    /// Bytes of local memory that a thread has.
    pub(crate) local_bytes: u32,
    /// Registers that the text declares, in words of 32 bits, up to the 255 that a thread may have on
    /// a device. The text is not yet allocated to registers, so a device would report fewer.
    pub(crate) register_count: u32,
    /// Threads that its blocks may have.
    pub(crate) max_threads: u32,
    /// `.reqntid`: the only block shape that it may be launched with.
    pub(crate) required_threads: Option<[u32; 3]>,
    pub(super) entry: EntryFn,
    pub(super) form: Threading,
    pub(super) calls: bool,
    /// Where the launch's part of shared memory begins.
    pub(super) dynamic_shared_offset: u64,
    pub(super) frame_bytes: usize,
    /// Addresses of the variables of the module that it was loaded with.
    pub(super) symbols: Arc<[AtomicU64]>,
    /// Keeps what `entry` points to.
    #[cfg_attr(not(test), expect(dead_code, reason = "it is held, not read"))]
    pub(super) code: Arc<Code>,
}

/// A table for the addresses of variables; zero, which is never allowed, until they are linked.
pub(super) fn symbol_table(variables: usize) -> Arc<[AtomicU64]> {
    (0..variables).map(|_| AtomicU64::new(0)).collect()
}

/// How the threads of a block are run.
#[derive(Clone, Debug)]
pub(super) enum Threading {
    /// One after the other, each to its end.
    InTurn,
    /// From wait to wait.
    Regions(Arc<Sites>),
    /// Each on a stack of its own.
    Stacks,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Kernel").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Kernel {
    /// Runs one block to its end on the calling thread.
    ///
    /// # Errors
    /// Why it did not get there. No memory but what the block was allowed to touch has been touched.
    ///
    /// # Panics
    /// When the block is one that the launch should have refused: without threads, with more than
    /// 1024, or with fewer parameter bytes than the kernel reads.
    pub(crate) fn run_block(&self, block: &Block<'_>, scratch: &mut Scratch) -> Result<(), Fault> {
        let [x, y, z] = block.threads;
        let threads = x.checked_mul(y).and_then(|xy| xy.checked_mul(z)).unwrap_or(u32::MAX);
        assert!((1..=BLOCK_THREADS_MAX).contains(&threads), "a block of {threads} threads");
        assert!(block.params.len() >= self.param_bytes as usize, "parameters are missing");
        let shared_bytes =
            self.dynamic_shared_offset + u64::from(block.dynamic_shared_bytes).next_multiple_of(16);
        let need = Need {
            shared_bytes: usize::try_from(shared_bytes).expect("shared memory is small"),
            local_bytes: self.local_bytes as usize + if self.calls { CALL_LOCAL_BYTES } else { 0 },
            threads: if matches!(self.form, Threading::InTurn) { 1 } else { threads as usize },
            frame_bytes: if matches!(self.form, Threading::Stacks) { self.frame_bytes } else { 0 },
            calls: self.calls,
        };
        let shared = scratch.prepare(&need);
        let mut frame = self.block_frame(block, shared, shared_bytes);
        match &self.form {
            Threading::InTurn => match (self.entry)(&frame, &scratch.threads[0], 0, threads) {
                DONE => Ok(()),
                _ => Err(frame.recorded_fault()),
            },
            Threading::Regions(sites) => {
                scratch.exchange.prepare(block.threads, sites.record_bytes);
                scratch.exchange.enter(&mut frame);
                executor::run(
                    &frame,
                    Cut {
                        entry: self.entry,
                        block: &frame,
                        frames: &scratch.threads[..need.threads],
                        sites,
                        exchange: &scratch.exchange,
                    },
                )
            }
            Threading::Stacks => {
                scratch.number_threads(block.threads);
                let stacks = scratch.stacks();
                let stack = |at| Scratch::stack(stacks, &need, at);
                let threads = &scratch.threads[..need.threads];
                executor::run(&frame, Fibers::new(self.entry, &frame, threads, stack))
            }
        }
    }

    /// Whether its threads wait without stacks of their own.
    #[cfg(test)]
    pub(super) fn is_cut(&self) -> bool {
        matches!(self.form, Threading::Regions(_))
    }

    fn block_frame(&self, block: &Block<'_>, shared: *mut u8, shared_bytes: u64) -> BlockFrame {
        BlockFrame {
            window_base: block.memory.window_base,
            window_bytes: block.memory.window_bytes,
            granules: block.memory.granules,
            memory: block.memory,
            shared,
            shared_bytes,
            params: block.params.as_ptr(),
            param_bytes: u64::from(self.param_bytes),
            symbols: self.symbols.as_ptr(),
            turn: (&raw const block.turn).cast(),
            grid: block.grid,
            threads: block.threads,
            index: block.index,
            sm: block.sm,
            sm_count: block.sm_count,
            dynamic_shared_bytes: block.dynamic_shared_bytes,
            dynamic_shared_offset: self.dynamic_shared_offset,
            heap: (&raw const block.heap).cast(),
            // The tables are those of kernels that are cut into regions.
            ..BlockFrame::empty()
        }
    }
}

/// How many bytes a kernel's frame takes, found by entering it without a thread to run: it stores its
/// stack pointer and leaves.
pub(super) fn measure_frame(entry: EntryFn, variables: usize, param_bytes: u32) -> usize {
    extern "C" fn allows_nothing(_: *const crate::block::MemoryView, _: u64, _: u64) -> u32 {
        0
    }
    let memory = crate::block::MemoryView {
        window_base: 0,
        window_bytes: 0,
        granules: ptr::null(),
        allows_beyond: allows_nothing,
        beyond_data: ptr::null(),
    };
    let params = vec![0u8; param_bytes as usize];
    let symbols = symbol_table(variables);
    let frame = BlockFrame {
        memory: &raw const memory,
        // Loads of parameters and from the table may stand before the loop over threads, so both must
        // be there.
        params: params.as_ptr(),
        symbols: symbols.as_ptr(),
        grid: [1; 3],
        threads: [1; 3],
        sm_count: 1,
        ..BlockFrame::empty()
    };
    let thread = ThreadFrame::new();
    entry(&frame, &thread, 0, 0);
    let here = &raw const thread as usize;
    // The record lies in this function's frame, which is small and above the kernel's.
    here.saturating_sub(usize::try_from(thread.stack_seen.get()).unwrap_or(0))
        + size_of::<ThreadFrame>()
        + size_of::<BlockFrame>()
        + 256
}
