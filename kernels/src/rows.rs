//! Grids of the kernels that work on rows: norms, softmax, reductions, gathers.

use crate::catalog::{GatherI32, GatherI64, LayerNorm, MaskedSoftmax, ReduceColumns, ReduceRows};
use crate::grid::Grid;
use crate::launch::Launch;

/// What a row is reduced to; the numbers are those of `reduce.cu`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Reduction {
    Sum = 0,
    SumOfSquares = 1,
    Maximum = 2,
    Minimum = 3,
}

impl Reduction {
    /// What the kernels call it.
    pub const fn number(self) -> u32 {
        self as u32
    }
}

/// Threads of a warp, which works on one row.
const WARP: u64 = 32;
const THREADS: u32 = 128;
/// Blocks beyond which warps or threads stride over the rest.
const BLOCKS_MAX: u32 = 4096;

/// A warp for each row.
const fn warps(rows: u32) -> Grid {
    Grid::cover(rows as u64 * WARP, THREADS, BLOCKS_MAX)
}

impl LayerNorm {
    /// The launch of this norm.
    pub fn launch(self) -> Launch {
        Launch::new(warps(self.rows), self)
    }
}

impl MaskedSoftmax {
    /// The launch of this softmax.
    pub fn launch(self) -> Launch {
        Launch::new(warps(self.rows), self)
    }
}

impl ReduceRows {
    /// The launch of this reduction.
    pub fn launch(self) -> Launch {
        Launch::new(warps(self.rows), self)
    }
}

impl ReduceColumns {
    /// The launch of this reduction.
    pub fn launch(self) -> Launch {
        Launch::new(Grid::cover(u64::from(self.rows), THREADS, BLOCKS_MAX), self)
    }
}

/// A thread for each element, of `count` rows of `width`.
const fn elements(count: u32, width: u32) -> Grid {
    Grid::cover(count as u64 * width as u64, 256, BLOCKS_MAX)
}

impl GatherI64 {
    /// The launch of this gather.
    pub fn launch(self) -> Launch {
        Launch::new(elements(self.count, self.width), self)
    }
}

impl GatherI32 {
    /// The launch of this gather.
    pub fn launch(self) -> Launch {
        Launch::new(elements(self.count, self.width), self)
    }
}
