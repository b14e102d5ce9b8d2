//! What the threads of a kernel that is cut into regions leave for each other and for the executor
//! when they wait: tables with an entry a thread, kept from block to block. Compiled code reads and
//! writes them through the block's frame, while the executor holds them shared: hence the cells.

use std::cell::Cell;

use super::frame::BlockFrame;
use super::kernel::BLOCK_THREADS_MAX;
use super::region::Region;

/// In the table of where threads go on: the thread has ended.
pub(super) const ENDED: u32 = u32::MAX;
/// Operands that a thread may bring to a wait, besides its value.
pub(super) const OPERANDS: usize = 3;

/// `%tid`.
pub(super) type Position = [u16; 4];
/// A warp operation: members, select, clamp. A barrier: which, how many.
pub(super) type Operands = [u32; OPERANDS];

/// The tables.
pub(super) struct Exchange {
    /// Where each thread goes on: 0 is its start, then the sites by their number.
    pub(super) resume: Vec<Cell<u32>>,
    /// What each brings to a wait, and what it gets.
    pub(super) values: Vec<Cell<u64>>,
    /// Operands that are not known from the text.
    pub(super) operands: Vec<Cell<Operands>>,
    positions: Vec<Position>,
    /// The shape that the positions are for.
    shape: [u32; 3],
    records: Region,
}

impl Exchange {
    pub(super) fn new() -> Self {
        Self {
            resume: Vec::new(),
            values: Vec::new(),
            operands: Vec::new(),
            positions: Vec::new(),
            shape: [0; 3],
            records: Region::new(),
        }
    }

    /// Makes the tables ready for a block of this shape, all of whose threads are at their start.
    pub(super) fn prepare(&mut self, shape: [u32; 3], record_bytes: u32) {
        let most = BLOCK_THREADS_MAX as usize;
        self.resume.resize(most, Cell::new(0));
        self.values.resize(most, Cell::new(0));
        self.operands.resize(most, Cell::new([0; OPERANDS]));
        self.records.at_least(record_bytes as usize * most);
        if self.shape != shape {
            let [width, height, depth] = shape;
            let side = |at: u32| u16::try_from(at).expect("a side has at most 1024 threads");
            let all = (0..depth).flat_map(|z| {
                (0..height)
                    .flat_map(move |y| (0..width).map(move |x| [side(x), side(y), side(z), 0]))
            });
            self.positions.clear();
            self.positions.extend(all);
            self.shape = shape;
        }
        self.resume[..self.positions.len()].iter().for_each(|at| at.set(0));
    }

    /// Tells compiled code where the tables are.
    pub(super) fn enter(&mut self, frame: &mut BlockFrame) {
        frame.records = self.records.at_least(0);
        frame.positions = self.positions.as_ptr();
        frame.resume = self.resume.as_ptr();
        frame.values = self.values.as_ptr();
        frame.operands = self.operands.as_ptr();
    }
}
