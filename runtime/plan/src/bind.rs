//! Binding: from a plan and a shape to a [`Bound`], or the reason why not.

use thiserror::Error;

use crate::bound::{Place, Placed};
use crate::layout::{self, Resident};
use crate::op::{Dense, Matrix, Operand};
use crate::{Bound, BufferIndex, Model, Op, Plan, Port, Role, Shape, SizeError, Slot};

/// Kernels compute places in 32 bits, so no operand may reach further.
const REACH_MAX: u64 = (1 << 31) - 1;

/// Why a plan cannot run at a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BindError {
    /// The plan was made for another batch size, or the batch is empty.
    #[error("the plan is not for this batch size")]
    Batch,
    /// A size has no value at this shape.
    #[error("operation {op}: {error}")]
    Size {
        /// Which operation.
        op: usize,
        /// Why.
        error: SizeError,
    },
    /// The size of a buffer or port has no value at this shape, or is too large.
    #[error("the size of buffer {0} has no value or is too large")]
    Buffer(usize),
    /// A port's dimensions do not describe its buffer.
    #[error("the dimensions of a port do not fit its buffer")]
    Port,
    /// An operation reaches beyond a buffer, or a dimension of it is empty or too large.
    #[error("operation {0} reaches beyond a buffer")]
    Reach(usize),
    /// An operation reads what was never written: it would show another batch's data.
    #[error("operation {0} reads a buffer that was not written")]
    Unwritten(usize),
    /// The first write of a buffer leaves a part of it as it was.
    #[error("operation {0} is the first to write a buffer and does not write all of it")]
    Partial(usize),
    /// An operation reads the buffer that it writes.
    #[error("operation {0} reads the buffer that it writes")]
    Alias(usize),
    /// A matrix without a dimension whose elements lie side by side, or that overlaps itself.
    #[error("operation {0} has a matrix that no product can read")]
    Matrix(usize),
    /// The indices that belong to each request are not all the indices.
    #[error("operation {0} divides its indices wrongly between the requests")]
    Requests(usize),
    /// An output that no operation writes.
    #[error("output {0} is never written")]
    Output(usize),
    /// The block is larger than memory can be.
    #[error("the plan needs more memory than can be addressed")]
    Memory,
}

impl Plan {
    /// Binds to a shape. `model` is the one that the plan belongs to.
    pub fn bind(&self, model: &Model, shape: Shape) -> Result<Bound, BindError> {
        if shape.batch == 0 || self.batch.is_some_and(|it| it != shape.batch) {
            return Err(BindError::Batch);
        }
        let sizes = self.buffer_sizes(shape)?;
        let mut ops = Vec::with_capacity(self.ops.len());
        let mut lives = vec![None; self.buffers.len()];
        for (index, op) in self.ops.iter().enumerate() {
            let op = op
                .with_numbers(|size| size.evaluate(shape))
                .map_err(|error| BindError::Size { op: index, error })?;
            if let Op::Gather(it) = &op
                && let Some(own) = it.per_request
                && own.checked_mul(shape.batch) != Some(it.count)
            {
                return Err(BindError::Requests(index));
            }
            Accesses::of(&op).check(index, &self.buffers, &sizes, &mut lives)?;
            ops.push(op);
        }
        self.place(model, shape, &sizes, lives, ops)
    }

    /// Elements of every buffer.
    fn buffer_sizes(&self, shape: Shape) -> Result<Vec<u64>, BindError> {
        let size = |(index, buffer): (usize, &crate::Buffer)| {
            let elements = buffer.elements.evaluate(shape).ok();
            elements.filter(|it| (1..=REACH_MAX).contains(it)).ok_or(BindError::Buffer(index))
        };
        self.buffers.iter().enumerate().map(size).collect()
    }

    fn place(
        &self,
        model: &Model,
        shape: Shape,
        sizes: &[u64],
        lives: Vec<Option<(usize, usize)>>,
        ops: Vec<Op<u64>>,
    ) -> Result<Bound, BindError> {
        let bytes = |index: usize| sizes[index] * self.buffers[index].element.bytes();
        let mut places = vec![Place::Block(0); self.buffers.len()];
        let mut end = 0;
        let mut put = |ports: &[Port], end: &mut u64| {
            ports.iter().try_for_each(|port| {
                let index = position(port.buffer);
                places[index] = Place::Block(layout::append(end, bytes(index))?);
                Some(())
            })
        };
        put(&self.inputs, &mut end).ok_or(BindError::Memory)?;
        let flag_bytes = shape.batch.checked_add(1).and_then(|it| it.checked_mul(4));
        let flag_bytes = flag_bytes.ok_or(BindError::Memory)?;
        let flags = layout::append(&mut end, flag_bytes).ok_or(BindError::Memory)?;
        put(&self.outputs, &mut end).ok_or(BindError::Memory)?;
        let outgoing_end = end;

        let mut scratch = Vec::new();
        let mut residents = Vec::new();
        for (index, buffer) in self.buffers.iter().enumerate() {
            match (buffer.role, lives[index]) {
                (Role::Scratch, Some((first, last))) => {
                    scratch.push(index);
                    residents.push(Resident { bytes: bytes(index), life: first..last + 1 });
                }
                (Role::Output, None) => return Err(BindError::Output(index)),
                (Role::Weight(number), _) => {
                    places[index] = Place::Weights(model.weights[position_of(number)].offset);
                }
                (Role::Scratch | Role::Input | Role::Output, _) => {}
            }
        }
        let (offsets, shared) = layout::pack(&residents).ok_or(BindError::Memory)?;
        for (index, offset) in scratch.into_iter().zip(offsets) {
            places[index] = Place::Block(end.checked_add(offset).ok_or(BindError::Memory)?);
        }
        let slots = |ports: &[Port]| {
            ports.iter().map(|it| self.slot(it, shape, sizes, &places)).collect::<Result<_, _>>()
        };
        Ok(Bound {
            shape,
            ops,
            inputs: slots(&self.inputs)?,
            outputs: slots(&self.outputs)?,
            flags: flags..flags + flag_bytes,
            outgoing_end,
            bytes: end.checked_add(shared).ok_or(BindError::Memory)?,
            buffers: places
                .into_iter()
                .zip(&self.buffers)
                .map(|(place, buffer)| Placed { place, element: buffer.element })
                .collect(),
        })
    }

    fn slot(
        &self,
        port: &Port,
        shape: Shape,
        sizes: &[u64],
        places: &[Place],
    ) -> Result<Slot, BindError> {
        let index = position(port.buffer);
        let evaluate = |shape: Shape| -> Result<Vec<u64>, BindError> {
            let dims = port.dims.iter().map(|it| it.evaluate(shape)).collect::<Result<Vec<_>, _>>();
            dims.map_err(|_| BindError::Port)
        };
        let dims = evaluate(shape)?;
        // Only the first dimension may know the batch: the others are one request's.
        let alone = evaluate(Shape { batch: 1, ..shape })?;
        let elements = dims.iter().try_fold(1u64, |all, it| all.checked_mul(*it));
        if dims[0] != shape.batch || dims[1..] != alone[1..] || elements != Some(sizes[index]) {
            return Err(BindError::Port);
        }
        let Place::Block(offset) = places[index] else { return Err(BindError::Port) };
        Ok(Slot {
            name: port.name.clone(),
            element: self.buffers[index].element,
            offset,
            dims: dims[1..].to_vec(),
            sizes: port.dims[1..].to_vec(),
        })
    }
}

/// A checked index as a position.
fn position(index: BufferIndex) -> usize {
    position_of(index.0)
}

fn position_of(number: u32) -> usize {
    usize::try_from(number).expect("a checked index is a position")
}

/// The places that one operand reaches: an offset, and a stride for each extent.
struct Access {
    buffer: BufferIndex,
    offset: u64,
    dims: Vec<(u64, u64)>,
}

impl Access {
    fn dense(it: &Dense<u64>, extents: &[u64]) -> Self {
        let mut stride = 1u64;
        let mut dims: Vec<_> = extents
            .iter()
            .rev()
            .map(|&extent| {
                let dim = (extent, stride);
                // One that wraps reaches nothing: `reach` refuses its product first.
                stride = stride.saturating_mul(extent);
                dim
            })
            .collect();
        dims.reverse();
        Self { buffer: it.buffer, offset: it.offset, dims }
    }

    fn strided(it: &Operand<u64>, extents: &[u64]) -> Self {
        let dims = extents.iter().copied().zip(it.strides.iter().copied()).collect();
        Self { buffer: it.buffer, offset: it.offset, dims }
    }

    fn matrix(it: &Matrix<u64>, batch: u64, rows: u64, columns: u64) -> Self {
        let dims =
            vec![(batch, it.batch_stride), (rows, it.row_stride), (columns, it.column_stride)];
        Self { buffer: it.buffer, offset: it.offset, dims }
    }

    /// The last place, where all dimensions are within bounds.
    fn reach(&self) -> Option<u64> {
        let count = self.dims.iter().try_fold(1u64, |all, (extent, _)| all.checked_mul(*extent))?;
        if !(1..=REACH_MAX).contains(&count) {
            return None;
        }
        let step = |place: u64, (extent, stride): &(u64, u64)| {
            place.checked_add((extent - 1).checked_mul(*stride)?)
        };
        let last = self.dims.iter().try_fold(self.offset, step)?;
        // A stride that is never taken still goes to the device as a number.
        (last <= REACH_MAX && self.dims.iter().all(|it| it.1 <= REACH_MAX)).then_some(last)
    }

    /// Whether it is all of `elements`, each once, in order.
    fn is_whole(&self, elements: u64) -> bool {
        let mut stride = 1;
        for &(extent, own) in self.dims.iter().rev() {
            if extent != 1 && own != stride {
                return false;
            }
            stride *= extent;
        }
        self.offset == 0 && stride == elements
    }
}

/// All that an operation reads, and what it writes.
struct Accesses {
    reads: Vec<Access>,
    write: Access,
    /// Whether its matrices, if any, are such as a product can read.
    matrices: bool,
}

impl Accesses {
    fn of(op: &Op<u64>) -> Self {
        let mut matrices = true;
        let (reads, write) = match op {
            Op::Product(it) => {
                matrices = is_matrix(&it.left, it.rows, it.depth)
                    && is_matrix(&it.right, it.depth, it.columns)
                    && it.output.column_stride == 1
                    && is_matrix(&it.output, it.rows, it.columns);
                let mut reads = vec![
                    Access::matrix(&it.left, it.batch, it.rows, it.depth),
                    Access::matrix(&it.right, it.batch, it.depth, it.columns),
                ];
                reads.extend(it.bias.iter().map(|it_| Access::dense(it_, &[it.columns])));
                (reads, Access::matrix(&it.output, it.batch, it.rows, it.columns))
            }
            Op::Map(it) => {
                let strided = |operand| Access::strided(operand, &it.extents);
                (it.inputs.iter().map(strided).collect(), strided(&it.output))
            }
            Op::Reduce(it) => {
                let outer = &it.extents[..it.extents.len() - 1];
                let reads = vec![Access::strided(&it.input, &it.extents)];
                (reads, Access::dense(&it.output, outer))
            }
            Op::Norm(it) => {
                let rows = [it.rows, it.width];
                let mut reads = vec![
                    Access::dense(&it.input, &rows),
                    Access::dense(&it.weight, &[it.width]),
                    Access::dense(&it.bias, &[it.width]),
                ];
                reads.extend(it.residual.iter().map(|it| Access::dense(it, &rows)));
                (reads, Access::dense(&it.output, &rows))
            }
            Op::Softmax(it) => {
                let mut reads = vec![Access::dense(&it.input, &it.extents)];
                reads.extend(it.mask.iter().map(|mask| Access::strided(mask, &it.extents)));
                (reads, Access::dense(&it.output, &it.extents))
            }
            Op::Gather(it) => {
                let reads = vec![
                    Access::dense(&it.table, &[it.rows, it.width]),
                    Access::dense(&it.indices, &[it.count]),
                ];
                (reads, Access::dense(&it.output, &[it.count, it.width]))
            }
        };
        Self { reads, write, matrices }
    }

    fn check(
        &self,
        op: usize,
        buffers: &[crate::Buffer],
        sizes: &[u64],
        lives: &mut [Option<(usize, usize)>],
    ) -> Result<(), BindError> {
        for access in self.reads.iter().chain([&self.write]) {
            let inside = access.reach().is_some_and(|last| last < sizes[position(access.buffer)]);
            if !inside {
                return Err(BindError::Reach(op));
            }
        }
        if !self.matrices {
            return Err(BindError::Matrix(op));
        }
        for read in &self.reads {
            let index = position(read.buffer);
            match (&mut lives[index], buffers[index].role) {
                _ if read.buffer == self.write.buffer => return Err(BindError::Alias(op)),
                (Some((_, last)), _) => *last = op,
                (None, Role::Input | Role::Weight(_)) => {}
                (None, Role::Scratch | Role::Output) => return Err(BindError::Unwritten(op)),
            }
        }
        let index = position(self.write.buffer);
        match &mut lives[index] {
            Some((_, last)) => *last = op,
            None if self.write.is_whole(sizes[index]) => lives[index] = Some((op, op)),
            None => return Err(BindError::Partial(op)),
        }
        Ok(())
    }
}

/// Whether the elements of its rows, or of its columns, lie side by side, and the others do not
/// overlap them.
fn is_matrix(it: &Matrix<u64>, rows: u64, columns: u64) -> bool {
    let by_rows = it.column_stride == 1 && columns <= it.row_stride;
    let by_columns = it.row_stride == 1 && rows <= it.column_stride;
    by_rows || by_columns
}
