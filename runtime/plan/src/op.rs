//! The operations of a plan: matrix products, and instances of a few kernel templates.
//!
//! Each is generic in its numbers: a plan holds them as [`Size`](crate::Size)s, a bound plan as
//! integers. All offsets and strides count elements, not bytes.

use serde::{Deserialize, Serialize};

use crate::{BufferIndex, Program};

/// Dimensions of an operand.
pub const RANK_MAX: usize = 6;

/// Elements that lie one after the other, from an offset on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dense<S> {
    /// The buffer.
    pub buffer: BufferIndex,
    /// Where in it they begin.
    pub offset: S,
}

/// Elements at the places that an operation's extents and these strides give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operand<S> {
    /// The buffer.
    pub buffer: BufferIndex,
    /// Where in it the first one lies.
    pub offset: S,
    /// The way from one to the next along each dimension; 0 repeats.
    pub strides: Vec<S>,
}

/// A batch of matrices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Matrix<S> {
    /// The buffer.
    pub buffer: BufferIndex,
    /// Where in it the first matrix begins.
    pub offset: S,
    /// The way from one row to the next. This or `column_stride` is 1.
    pub row_stride: S,
    /// The way from one column to the next.
    pub column_stride: S,
    /// The way from one matrix to the next; 0 repeats.
    pub batch_stride: S,
}

/// `output[i] = left[i] · right[i] + bias`, in 32-bit floats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Product<S> {
    /// Matrices.
    pub batch: S,
    /// Rows of `left` and of the output.
    pub rows: S,
    /// Columns of `right` and of the output.
    pub columns: S,
    /// Columns of `left` and rows of `right`.
    pub depth: S,
    /// The left factor.
    pub left: Matrix<S>,
    /// The right factor.
    pub right: Matrix<S>,
    /// One number for each column, added to every row.
    pub bias: Option<Dense<S>>,
    /// The result; its columns lie side by side.
    pub output: Matrix<S>,
}

/// `output[…] = program(inputs[…])` for every index within the extents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Map<S> {
    /// The dimensions.
    pub extents: Vec<S>,
    /// What the program loads.
    pub inputs: Vec<Operand<S>>,
    /// What it computes.
    pub program: Program,
    /// Where the results go.
    pub output: Operand<S>,
}

/// What a [`Reduce`] computes over its last dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reduction {
    /// The sum.
    Sum,
    /// The sum of the squares.
    SumOfSquares,
    /// The greatest; a NaN among them is the result.
    Maximum,
    /// The least; a NaN among them is the result.
    Minimum,
}

/// `output[…] = scale * reduction over the last dimension of input[…, :]`, in 32-bit floats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reduce<S> {
    /// What is computed.
    pub reduction: Reduction,
    /// The dimensions, the reduced one last.
    pub extents: Vec<S>,
    /// What is reduced.
    pub input: Operand<S>,
    /// What the result is multiplied by.
    pub scale: f32,
    /// One number for every index of the dimensions but the last, row-major.
    pub output: Dense<S>,
}

/// Layer normalisation: each row minus its mean, over its deviation, times `weight`, plus `bias`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Norm<S> {
    /// Rows.
    pub rows: S,
    /// Elements of a row.
    pub width: S,
    /// The rows.
    pub input: Dense<S>,
    /// Rows that are added to the input first.
    pub residual: Option<Dense<S>>,
    /// One factor for each element of a row.
    pub weight: Dense<S>,
    /// One summand for each element of a row.
    pub bias: Dense<S>,
    /// Added to the variance.
    pub epsilon: f32,
    /// The rows that result.
    pub output: Dense<S>,
}

/// `output = softmax(scale * input + mask)` over the last dimension, in 32-bit floats.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Softmax<S> {
    /// The dimensions, the normalised one last.
    pub extents: Vec<S>,
    /// The scores, row-major.
    pub input: Dense<S>,
    /// What the scores are multiplied by.
    pub scale: f32,
    /// What is then added to them.
    pub mask: Option<Operand<S>>,
    /// The shares, row-major.
    pub output: Dense<S>,
}

/// `output[i, :] = table[indices[i], :]`, of 32-bit elements.
///
/// An index is a value that a peer sent, and becomes an address: one below `-rows` or not below
/// `rows` reads nothing, its row of the output is zero, and the flag of its request is set. As in
/// ONNX, a negative one counts from the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gather<S> {
    /// Rows of the table.
    pub rows: S,
    /// Elements of a row.
    pub width: S,
    /// The table.
    pub table: Dense<S>,
    /// How many indices.
    pub count: S,
    /// The indices, 32 or 64 bits each.
    pub indices: Dense<S>,
    /// How many indices belong to each request, in order; `None` where the request of an index is
    /// not known, and the whole batch is flagged.
    pub per_request: Option<S>,
    /// The rows that result.
    pub output: Dense<S>,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each variant is documented at its type")]
pub enum Op<S> {
    Product(Product<S>),
    Map(Map<S>),
    Reduce(Reduce<S>),
    Norm(Norm<S>),
    Softmax(Softmax<S>),
    Gather(Gather<S>),
}

impl<S> Op<S> {
    /// The same operation with every number replaced; the first failure ends it.
    pub fn with_numbers<T, E>(&self, number: impl FnMut(&S) -> Result<T, E>) -> Result<Op<T>, E> {
        Numbers(number).op(self)
    }
}

/// Replaces every number of an operation.
struct Numbers<F>(F);

impl<F> Numbers<F> {
    fn op<S, T, E>(&mut self, op: &Op<S>) -> Result<Op<T>, E>
    where
        F: FnMut(&S) -> Result<T, E>,
    {
        Ok(match op {
            Op::Product(it) => Op::Product(Product {
                batch: self.0(&it.batch)?,
                rows: self.0(&it.rows)?,
                columns: self.0(&it.columns)?,
                depth: self.0(&it.depth)?,
                left: self.matrix(&it.left)?,
                right: self.matrix(&it.right)?,
                bias: self.optional(&it.bias)?,
                output: self.matrix(&it.output)?,
            }),
            Op::Map(it) => Op::Map(Map {
                extents: self.list(&it.extents)?,
                inputs: it.inputs.iter().map(|it| self.operand(it)).collect::<Result<_, E>>()?,
                program: it.program.clone(),
                output: self.operand(&it.output)?,
            }),
            Op::Reduce(it) => Op::Reduce(Reduce {
                reduction: it.reduction,
                extents: self.list(&it.extents)?,
                input: self.operand(&it.input)?,
                scale: it.scale,
                output: self.dense(&it.output)?,
            }),
            Op::Norm(it) => Op::Norm(Norm {
                rows: self.0(&it.rows)?,
                width: self.0(&it.width)?,
                input: self.dense(&it.input)?,
                residual: self.optional(&it.residual)?,
                weight: self.dense(&it.weight)?,
                bias: self.dense(&it.bias)?,
                epsilon: it.epsilon,
                output: self.dense(&it.output)?,
            }),
            Op::Softmax(it) => Op::Softmax(Softmax {
                extents: self.list(&it.extents)?,
                input: self.dense(&it.input)?,
                scale: it.scale,
                mask: it.mask.as_ref().map(|it| self.operand(it)).transpose()?,
                output: self.dense(&it.output)?,
            }),
            Op::Gather(it) => Op::Gather(Gather {
                rows: self.0(&it.rows)?,
                width: self.0(&it.width)?,
                table: self.dense(&it.table)?,
                count: self.0(&it.count)?,
                indices: self.dense(&it.indices)?,
                per_request: it.per_request.as_ref().map(&mut self.0).transpose()?,
                output: self.dense(&it.output)?,
            }),
        })
    }

    fn list<S, T, E>(&mut self, sizes: &[S]) -> Result<Vec<T>, E>
    where
        F: FnMut(&S) -> Result<T, E>,
    {
        sizes.iter().map(&mut self.0).collect()
    }

    fn dense<S, T, E>(&mut self, it: &Dense<S>) -> Result<Dense<T>, E>
    where
        F: FnMut(&S) -> Result<T, E>,
    {
        Ok(Dense { buffer: it.buffer, offset: self.0(&it.offset)? })
    }

    fn optional<S, T, E>(&mut self, it: &Option<Dense<S>>) -> Result<Option<Dense<T>>, E>
    where
        F: FnMut(&S) -> Result<T, E>,
    {
        it.as_ref().map(|it| self.dense(it)).transpose()
    }

    fn operand<S, T, E>(&mut self, it: &Operand<S>) -> Result<Operand<T>, E>
    where
        F: FnMut(&S) -> Result<T, E>,
    {
        let offset = self.0(&it.offset)?;
        Ok(Operand { buffer: it.buffer, offset, strides: self.list(&it.strides)? })
    }

    fn matrix<S, T, E>(&mut self, it: &Matrix<S>) -> Result<Matrix<T>, E>
    where
        F: FnMut(&S) -> Result<T, E>,
    {
        Ok(Matrix {
            buffer: it.buffer,
            offset: self.0(&it.offset)?,
            row_stride: self.0(&it.row_stride)?,
            column_stride: self.0(&it.column_stride)?,
            batch_stride: self.0(&it.batch_stride)?,
        })
    }
}
