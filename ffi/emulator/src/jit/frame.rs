//! The records that compiled code reads and writes while it runs: one a block, one a thread. Their
//! layout is known to the compiler by field offsets; everything else about a run is the executor's.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::AtomicU64;

use corosensei::Yielder;

use super::exchange::{Operands, Position};
use super::wait::Wait;
use crate::block::{Fault, Heap, MemoryView, Turn};

/// Generic addresses of shared memory start here. No address of the host or of the device can lie
/// here, because user space ends below 2^56 on every machine that we run on.
pub(super) const SHARED_WINDOW: u64 = 1 << 56;
/// Generic addresses of a thread's local memory start here.
pub(super) const LOCAL_WINDOW: u64 = 2 << 56;
/// Generic addresses of a kernel's parameters start here.
pub(super) const PARAM_WINDOW: u64 = 3 << 56;
/// Addresses of functions start here. Nothing can be loaded from them.
pub(super) const FUNCTION_WINDOW: u64 = 4 << 56;
/// How long each of the windows of memory is.
pub(super) const WINDOW_BYTES: u64 = 1 << 32;

/// What all threads of a block see.
#[repr(C)]
pub(super) struct BlockFrame {
    /// First device address, and how many there are.
    pub(super) window_base: u64,
    pub(super) window_bytes: u64,
    /// One byte a granule of the window.
    pub(super) granules: *const u8,
    /// The view that the three fields above were copied from.
    pub(super) memory: *const MemoryView,
    /// The block's shared memory.
    pub(super) shared: *mut u8,
    pub(super) shared_bytes: u64,
    /// The kernel's parameters.
    pub(super) params: *const u8,
    pub(super) param_bytes: u64,
    /// Addresses of the module's variables, by their index.
    pub(super) symbols: *const AtomicU64,
    /// The block's turn on its SM, a `&dyn Turn` whose lifetime no record can name; only helpers and
    /// the executor look at it.
    pub(super) turn: *const c_void,
    /// Blocks in the grid.
    pub(super) grid: [u32; 3],
    /// Threads in the block.
    pub(super) threads: [u32; 3],
    /// Which block.
    pub(super) index: [u32; 3],
    /// Which virtual SM, of how many.
    pub(super) sm: u32,
    pub(super) sm_count: u32,
    pub(super) dynamic_shared_bytes: u32,
    /// Where the launch's part of shared memory begins.
    pub(super) dynamic_shared_offset: u64,
    /// What the threads of a kernel that is cut into regions keep: the tables of `Exchange`.
    pub(super) records: *mut u8,
    pub(super) positions: *const Position,
    pub(super) resume: *const Cell<u32>,
    pub(super) values: *const Cell<u64>,
    pub(super) operands: *const Cell<Operands>,
    /// Where the block's own reference to its heap is; for helpers alone.
    pub(super) heap: *const &'static dyn Heap,
    /// The first fault; only helpers and the executor look at it.
    pub(super) fault: Cell<Option<Fault>>,
}

impl BlockFrame {
    /// A frame of no block, to be filled in.
    pub(super) fn empty() -> Self {
        Self {
            window_base: 0,
            window_bytes: 0,
            granules: ptr::null(),
            memory: ptr::null(),
            shared: ptr::null_mut(),
            shared_bytes: 0,
            params: ptr::null(),
            param_bytes: 0,
            symbols: ptr::null(),
            turn: ptr::null(),
            grid: [0; 3],
            threads: [0; 3],
            index: [0; 3],
            sm: 0,
            sm_count: 0,
            dynamic_shared_bytes: 0,
            dynamic_shared_offset: 0,
            records: ptr::null_mut(),
            positions: ptr::null(),
            resume: ptr::null(),
            values: ptr::null(),
            operands: ptr::null(),
            heap: ptr::null(),
            fault: Cell::new(None),
        }
    }

    /// Records `fault` unless there is one already, and returns the status that compiled code
    /// leaves with.
    pub(super) fn fail(&self, fault: Fault) -> u32 {
        if self.fault.get().is_none() {
            self.fault.set(Some(fault));
        }
        LEFT
    }

    /// Where kernels allocate memory.
    pub(super) fn heap(&self) -> &dyn Heap {
        // SAFETY: `run_block` points it at the block's reference, which outlives the run.
        unsafe { *self.heap }
    }

    /// Why compiled code left.
    pub(super) fn recorded_fault(&self) -> Fault {
        self.fault.get().expect("code that leaves has recorded its fault")
    }

    /// Lets other SMs run where it is their time.
    ///
    /// # Errors
    /// `Fault::Stopped`: the driver wants the kernel to end.
    pub(super) fn attend(&self) -> Result<(), Fault> {
        // SAFETY: `run_block` points `turn` at the block's reference, which outlives the run.
        let turn = unsafe { *self.turn.cast::<&dyn Turn>() };
        turn.attend()
    }
}

/// Status of compiled code that ran to its end.
pub(super) const DONE: u32 = 0;
/// Status of compiled code that left because of a fault, which stands in the block's frame.
pub(super) const LEFT: u32 = 1;

/// What one thread has for itself.
#[repr(C)]
pub(super) struct ThreadFrame {
    /// Its local memory.
    pub(super) local: *mut u8,
    pub(super) local_bytes: u64,
    /// A function that finds the stack pointer below this leaves with a fault.
    pub(super) stack_limit: u64,
    /// The stack pointer that the kernel found at its entry.
    pub(super) stack_seen: Cell<u64>,
    /// `%tid`, and its number in the block; set for threads with a stack of their own.
    pub(super) index: [u32; 3],
    pub(super) linear_index: u32,
    /// The way back to the executor; null when the thread does not run on a stack of its own.
    pub(super) yielder: Cell<*const Yielder<(), ()>>,
    /// What it waits for, written before it goes back to the executor.
    pub(super) wait: Cell<Wait>,
    /// What came of the wait, written before the executor resumes it.
    pub(super) answer: Cell<u64>,
}

impl ThreadFrame {
    pub(super) fn new() -> Self {
        Self {
            local: ptr::null_mut(),
            local_bytes: 0,
            stack_limit: 0,
            stack_seen: Cell::new(0),
            index: [0; 3],
            linear_index: 0,
            yielder: Cell::new(ptr::null()),
            wait: Cell::new(Wait::Nothing),
            answer: Cell::new(0),
        }
    }

    /// Whether the thread can wait, because it has a stack of its own.
    pub(super) fn can_wait(&self) -> bool {
        !self.yielder.get().is_null()
    }

    /// Goes back to the executor until `wait` is over, and returns its answer.
    pub(super) fn wait_for(&self, wait: Wait) -> u64 {
        self.wait.set(wait);
        // SAFETY: only threads with a stack of their own run code that waits, and their first act was
        // to store the yielder of that very stack here.
        let yielder = unsafe { &*self.yielder.get() };
        yielder.suspend(());
        self.answer.get()
    }
}

/// A compiled kernel: runs the threads `first..end` one after the other. One that is cut into regions
/// is given the frame of the block's first thread, and runs each thread until it waits or ends.
pub(super) type EntryFn = extern "C" fn(&BlockFrame, &ThreadFrame, first: u32, end: u32) -> u32;
