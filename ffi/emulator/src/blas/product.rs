//! D = epilogue(alpha · A · B + beta · C), tile by tile. Each tile is a block on a virtual SM: it
//! gathers its panels of A and B in the host thread's scratch, multiplies them with `faer`, and
//! writes its part of D. Nothing here ever holds a reference into device memory.

use super::epilogue::Epilogue;
use super::layout::Matrix;
use super::numeric::{Numeric, Real};
use crate::block::{Fault, Turn};
use crate::context::Context;
use crate::scratch::Scratch;
use crate::sm::Grid;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use std::sync::Arc;

/// Sides of the largest and the smallest tile.
const TILE_MAX: u64 = 128;
const TILE_MIN: u64 = 32;
/// Terms that are summed between two moments at which others may run.
const INNER_MAX: usize = 2048;

/// A factor that lies on the host, or on the device until the product runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scalar {
    /// Its value.
    Host(f64),
    /// Its address; it has the type of the sums.
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
#[derive(Clone, Copy)]
pub(crate) struct Product {
    /// M × K and K × N, as they are multiplied; without them the product is zero, as K is.
    pub(crate) factors: Option<(Matrix, Matrix)>,
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

/// A host thread's panels of one type.
#[derive(Default)]
pub(crate) struct Panels<R> {
    a: Vec<R>,
    b: Vec<R>,
    d: Vec<R>,
}

/// A host thread's panels.
#[derive(Default)]
pub(crate) struct ProductScratch {
    /// For sums in `f32`.
    pub(crate) single: Panels<f32>,
    /// For sums in `f64`.
    pub(crate) double: Panels<f64>,
}

/// A product cut in tiles.
pub(crate) struct Tiles {
    product: Product,
    context: Arc<Context>,
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
    /// Cuts a product so that every SM has work, as far as that is worth while.
    pub(crate) fn cut(product: Product, context: &Arc<Context>) -> Self {
        let (mut height, mut width) = (TILE_MAX, TILE_MAX);
        let sms = product.sms_max.min(context.device().sms().count() as usize) as u64;
        let count = |height, width| {
            let tiles = product.d.rows.div_ceil(height) * product.d.cols.div_ceil(width);
            tiles.saturating_mul(u64::from(product.d.batch()))
        };
        while count(height, width) < sms && height + width > 2 * TILE_MIN {
            if height < width { width /= 2 } else { height /= 2 }
        }
        Self { product, context: Arc::clone(context), height, width }
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
        check(&self.context, start, bytes)
    }

    fn scalar<R: Real>(&self, scalar: Scalar) -> Result<R, Fault> {
        match scalar {
            Scalar::Host(value) => Ok(R::from_f64(value)),
            Scalar::Device(address) => {
                let numeric = self.product.sums();
                self.check(address, numeric.bytes())?;
                Ok(numeric.load(address))
            }
        }
    }

    fn check_all(&self, reads_c: bool) -> Result<(), Fault> {
        let product = &self.product;
        if let Some((a, b)) = product.factors {
            self.check(a.start, a.bytes())?;
            self.check(b.start, b.bytes())?;
        }
        self.check(product.d.start, product.d.bytes())?;
        if reads_c {
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
    fn finish<R: Real>(&self, tile: &Tile, sums: &[R], alpha: R, beta: R) {
        let Product { c, d, epilogue, bias, .. } = &self.product;
        let element = |row: usize, col: usize| {
            let sum = sums[col * tile.rows + row];
            let (row, col) = (tile.row + row as u64, tile.col + col as u64);
            let mut value = alpha * sum;
            if beta != R::from_f32(0.0) {
                value += beta * c.numeric.load::<R>(c.at(tile.batch, row, col));
            }
            if let Some(bias) = bias {
                let index = u64::from(tile.batch) * bias.batch_stride + row;
                value += bias.numeric.load::<R>(bias.start + index * bias.numeric.bytes());
            }
            d.numeric.store(d.at(tile.batch, row, col), value.activated(*epilogue));
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
        match self.product.sums() {
            Numeric::F64 => self.run_in::<f64>(block, turn, &mut scratch.product),
            _ => self.run_in::<f32>(block, turn, &mut scratch.product),
        }
    }
}

impl Tiles {
    /// The same tiles of matrices that lie elsewhere.
    pub(crate) fn moved(&self, a: u64, b: u64, c: u64) -> Self {
        let mut product = self.product;
        if let Some((left, right)) = &mut product.factors {
            (left.start, right.start) = (a, b);
        }
        (product.c.start, product.d.start) = (c, c);
        let Self { height, width, .. } = *self;
        Self { product, context: Arc::clone(&self.context), height, width }
    }

    fn run_in<R: Real>(
        &self,
        block: u64,
        turn: &dyn Turn,
        scratch: &mut ProductScratch,
    ) -> Result<(), Fault> {
        let (alpha, beta) =
            (self.scalar::<R>(self.product.alpha)?, self.scalar(self.product.beta)?);
        self.check_all(beta != R::from_f32(0.0))?;
        let tile = self.tile(block);
        let Panels { a, b, d } = R::panels(scratch);
        d.clear();
        d.resize(tile.rows * tile.cols, R::from_f32(0.0));
        if let Some((left, right)) = &self.product.factors {
            for start in (0..left.cols).step_by(INNER_MAX) {
                let count = (left.cols - start).min(INNER_MAX as u64);
                let count = usize::try_from(count).expect("it is bounded");
                let left = gather(left, tile.batch, (tile.row, tile.rows), (start, count), a);
                let right = gather(right, tile.batch, (start, count), (tile.col, tile.cols), b);
                let sums = MatMut::from_column_major_slice_mut(d, tile.rows, tile.cols);
                matmul(sums, Accum::Add, left, right, R::from_f32(1.0), Par::Seq);
                turn.attend()?;
            }
        }
        self.finish(&tile, d, alpha, beta);
        Ok(())
    }
}

impl Product {
    /// What its products are summed in, and its factors have the type of.
    fn sums(&self) -> Numeric {
        match self.d.numeric {
            Numeric::F64 => Numeric::F64,
            Numeric::F32 | Numeric::F16 | Numeric::Bf16 => Numeric::F32,
        }
    }
}

/// Whether a context's work may touch a range.
pub(super) fn check(context: &Context, start: u64, bytes: u64) -> Result<(), Fault> {
    if context.covers(start, bytes) {
        return Ok(());
    }
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    Err(Fault::IllegalAddress { address: start, bytes })
}

/// Copies a part of a matrix, keeping the direction in which its elements lie one after the other.
/// `rows` and `cols` are each a start and a count.
fn gather<'a, R: Real>(
    matrix: &Matrix,
    batch: u32,
    rows: (u64, usize),
    cols: (u64, usize),
    into: &'a mut Vec<R>,
) -> MatRef<'a, R> {
    into.resize(rows.1 * cols.1, R::from_f32(0.0));
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
