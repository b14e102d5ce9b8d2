//! D = epilogue(alpha · A · B + beta · C), tile by tile. Each tile is a block on a virtual SM: it
//! gathers its panels of A and B in the host thread's scratch, multiplies them with `faer`, and
//! writes its part of D. Nothing here ever holds a reference into device memory.

use super::epilogue::Epilogue;
use super::layout::Matrix;
use super::numeric::Numeric;
use crate::block::{Fault, Turn};
use crate::machine::Machine;
use crate::scratch::Scratch;
use crate::sm::Grid;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// Sides of the largest and the smallest tile.
const TILE_MAX: u64 = 128;
const TILE_MIN: u64 = 32;
/// Terms that are summed between two moments at which others may run.
const INNER_MAX: usize = 2048;

/// A factor that lies on the host, or on the device until the product runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scalar {
    /// Its value.
    Host(f32),
    /// Its address.
    Device(u64),
}

/// A bias: one element for each row of D.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bias {
    /// Type of its elements.
    pub(crate) numeric: Numeric,
    /// Address of the first.
    pub(crate) start: u64,
    /// Elements from the bias of one matrix to that of the next; zero where all share one.
    pub(crate) batch_stride: u64,
}

/// A product that was found to be one: the shapes fit.
pub(crate) struct Product {
    /// M × K, as it is multiplied.
    pub(crate) a: Matrix,
    /// K × N, as it is multiplied.
    pub(crate) b: Matrix,
    /// M × N.
    pub(crate) c: Matrix,
    /// M × N; may be C itself.
    pub(crate) d: Matrix,
    /// Factor of the product.
    pub(crate) alpha: Scalar,
    /// Factor of C, which is not read where this is zero.
    pub(crate) beta: Scalar,
    /// What happens to each element.
    pub(crate) epilogue: Epilogue,
    /// The bias, where the epilogue has one.
    pub(crate) bias: Option<Bias>,
    /// SMs that it runs on at most.
    pub(crate) sms_max: usize,
}

/// A host thread's panels.
#[derive(Default)]
pub(crate) struct ProductScratch {
    a: Vec<f32>,
    b: Vec<f32>,
    d: Vec<f32>,
}

/// A product cut in tiles.
pub(crate) struct Tiles {
    product: Product,
    machine: &'static Machine,
    height: u64,
    width: u64,
}

/// One tile: where it starts and how large it is.
struct Tile {
    batch: u32,
    row: u64,
    col: u64,
    rows: usize,
    cols: usize,
}

impl Tiles {
    /// Cuts a product so that `sms` SMs have work, as far as that is worth while.
    pub(crate) fn cut(product: Product, machine: &'static Machine, sms: usize) -> Self {
        let (mut height, mut width) = (TILE_MAX, TILE_MAX);
        let sms = sms.min(product.sms_max) as u64;
        let count = |height, width| {
            let tiles = product.d.rows.div_ceil(height) * product.d.cols.div_ceil(width);
            tiles.saturating_mul(u64::from(product.d.batch()))
        };
        while count(height, width) < sms && height + width > 2 * TILE_MIN {
            if height < width { width /= 2 } else { height /= 2 }
        }
        Self { product, machine, height, width }
    }

    fn tile(&self, block: u64) -> Tile {
        let d = &self.product.d;
        let (down, across) = (d.rows.div_ceil(self.height), d.cols.div_ceil(self.width));
        let (batch, within) = (block / (down * across), block % (down * across));
        let (row, col) = (within % down * self.height, within / down * self.width);
        let side = |left: u64, most: u64| usize::try_from(left.min(most)).expect("a tile is small");
        Tile {
            batch: u32::try_from(batch).expect("the batch count is 32 bits wide"),
            row,
            col,
            rows: side(d.rows - row, self.height),
            cols: side(d.cols - col, self.width),
        }
    }

    fn check(&self, start: u64, bytes: u64) -> Result<(), Fault> {
        if self.machine.covers(start, bytes) {
            return Ok(());
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        Err(Fault::IllegalAddress { address: start, bytes })
    }

    fn scalar(&self, scalar: Scalar) -> Result<f32, Fault> {
        match scalar {
            Scalar::Host(value) => Ok(value),
            Scalar::Device(address) => {
                self.check(address, Numeric::F32.bytes())?;
                Ok(Numeric::F32.load(address))
            }
        }
    }

    fn check_all(&self, beta: f32) -> Result<(), Fault> {
        let product = &self.product;
        for matrix in [&product.a, &product.b, &product.d] {
            self.check(matrix.start, matrix.bytes())?;
        }
        if beta != 0.0 {
            self.check(product.c.start, product.c.bytes())?;
        }
        if let Some(bias) = &product.bias {
            let last = u64::from(product.d.batch() - 1).saturating_mul(bias.batch_stride);
            let elements = last.saturating_add(product.d.rows);
            self.check(bias.start, elements.saturating_mul(bias.numeric.bytes()))?;
        }
        Ok(())
    }

    /// Writes the tile, whose products lie in `sums`, column after column.
    fn finish(&self, tile: &Tile, sums: &[f32], alpha: f32, beta: f32) {
        let Product { c, d, epilogue, bias, .. } = &self.product;
        let element = |row: usize, col: usize| {
            let sum = sums[col * tile.rows + row];
            let (row, col) = (tile.row + row as u64, tile.col + col as u64);
            let mut value = alpha * sum;
            if beta != 0.0 {
                value += beta * c.numeric.load(c.at(tile.batch, row, col));
            }
            if let Some(bias) = bias {
                let index = u64::from(tile.batch) * bias.batch_stride + row;
                value += bias.numeric.load(bias.start + index * bias.numeric.bytes());
            }
            d.numeric.store(d.at(tile.batch, row, col), epilogue.activate(value));
        };
        if d.rows_are_runs() {
            (0..tile.rows).for_each(|row| (0..tile.cols).for_each(|col| element(row, col)));
        } else {
            (0..tile.cols).for_each(|col| (0..tile.rows).for_each(|row| element(row, col)));
        }
    }
}

impl Grid for Tiles {
    fn name(&self) -> &str {
        "product"
    }

    fn blocks(&self) -> u64 {
        let d = &self.product.d;
        let tiles = d.rows.div_ceil(self.height) * d.cols.div_ceil(self.width);
        tiles.saturating_mul(u64::from(d.batch()))
    }

    fn sms_max(&self) -> usize {
        self.product.sms_max
    }

    fn run(&self, block: u64, _: u32, turn: &dyn Turn, scratch: &mut Scratch) -> Result<(), Fault> {
        let (alpha, beta) = (self.scalar(self.product.alpha)?, self.scalar(self.product.beta)?);
        self.check_all(beta)?;
        let tile = self.tile(block);
        let ProductScratch { a, b, d } = &mut scratch.product;
        d.clear();
        d.resize(tile.rows * tile.cols, 0.0);
        let inner = self.product.a.cols;
        for start in (0..inner).step_by(INNER_MAX) {
            let count = (inner - start).min(INNER_MAX as u64);
            let count = usize::try_from(count).expect("it is bounded");
            let left =
                gather(&self.product.a, tile.batch, (tile.row, tile.rows), (start, count), a);
            let right =
                gather(&self.product.b, tile.batch, (start, count), (tile.col, tile.cols), b);
            let sums = MatMut::from_column_major_slice_mut(d, tile.rows, tile.cols);
            matmul(sums, Accum::Add, left, right, 1.0, Par::Seq);
            turn.attend()?;
        }
        self.finish(&tile, d, alpha, beta);
        Ok(())
    }
}

/// Copies a part of a matrix, keeping the direction in which its elements lie one after the other.
/// `rows` and `cols` are each a start and a count.
fn gather<'a>(
    matrix: &Matrix,
    batch: u32,
    rows: (u64, usize),
    cols: (u64, usize),
    into: &'a mut Vec<f32>,
) -> MatRef<'a, f32> {
    into.resize(rows.1 * cols.1, 0.0);
    if matrix.rows_are_runs() {
        for (run, row) in into.chunks_exact_mut(cols.1).zip(rows.0..) {
            matrix.numeric.load_run(matrix.at(batch, row, cols.0), run);
        }
        MatRef::from_row_major_slice(into, rows.1, cols.1)
    } else {
        for (run, col) in into.chunks_exact_mut(rows.1).zip(cols.0..) {
            matrix.numeric.load_run(matrix.at(batch, rows.0, col), run);
        }
        MatRef::from_column_major_slice(into, rows.1, cols.1)
    }
}
