//! A plan under construction: its buffers and operations, their sizes still symbolic.

use gpumux_plan::{
    Binary, Buffer, BufferIndex, Domain, Element, Instruction, Map, Matrix, Op, Operand, Program,
    ProgramError, RANK_MAX, Role,
};
use tract_onnx::prelude::{TDim, Tensor};

use crate::dims::{Symbols, product, zero};
use crate::value::{Value, View};
use crate::weights::Weights;

/// Why an operator cannot be lowered, in words for whoever made the model.
pub(crate) type Refusal = String;

pub(crate) struct Builder<'a> {
    pub(crate) symbols: &'a Symbols,
    pub(crate) weights: &'a mut Weights,
    pub(crate) buffers: Vec<Buffer>,
    pub(crate) ops: Vec<Op<TDim>>,
}

impl Builder<'_> {
    /// A new buffer.
    pub(crate) fn buffer(
        &mut self,
        role: Role,
        element: Element,
        elements: &TDim,
    ) -> Result<BufferIndex, Refusal> {
        let index = u32::try_from(self.buffers.len()).map_err(|_| "there are too many buffers")?;
        let elements = self.symbols.size(elements)?;
        self.buffers.push(Buffer { role, element, elements });
        Ok(BufferIndex(index))
    }

    /// A new buffer within the plan, for a tensor without gaps.
    pub(crate) fn scratch(&mut self, element: Element, extents: &[TDim]) -> Result<Value, Refusal> {
        let buffer = self.buffer(Role::Scratch, element, &product(extents))?;
        Ok(Value::dense(buffer, element, extents.to_vec()))
    }

    /// A constant in memory.
    pub(crate) fn weight(&mut self, tensor: &Tensor) -> Result<Value, Refusal> {
        let number = self.weights.add(tensor)?;
        let element = crate::weights::element(tensor.datum_type()).expect("the table took it");
        let extents: Vec<TDim> = tensor.shape().iter().map(TDim::from).collect();
        let known = self.buffers.iter().position(|it| it.role == Role::Weight(number));
        let buffer = match known.and_then(|it| u32::try_from(it).ok()) {
            Some(index) => BufferIndex(index),
            None => self.buffer(Role::Weight(number), element, &product(&extents))?,
        };
        Ok(Value::dense(buffer, element, extents))
    }

    /// The value's elements in memory, seen in whatever way.
    pub(crate) fn plain(&mut self, value: &Value) -> Result<Value, Refusal> {
        match value.plain() {
            Some(_) => Ok(value.clone()),
            None => self.compute(value, Role::Scratch),
        }
    }

    /// The value's elements in memory, one after the other.
    pub(crate) fn row_major(&mut self, value: &Value) -> Result<Value, Refusal> {
        match value.row_major() {
            Some(_) => Ok(value.clone()),
            None => self.compute(value, Role::Scratch),
        }
    }

    /// Computes the value into a buffer of its own.
    pub(crate) fn compute(&mut self, value: &Value, role: Role) -> Result<Value, Refusal> {
        let buffer = self.buffer(role, value.element, &product(&value.extents))?;
        let target = Value::dense(buffer, value.element, value.extents.clone());
        self.store(value, &target)?;
        Ok(target)
    }

    /// Computes the value into the elements that a plain value of the same extents shows.
    pub(crate) fn store(&mut self, value: &Value, target: &Value) -> Result<(), Refusal> {
        value.program.check(value.operands.len()).map_err(|error| error.to_string())?;
        let view = target.plain().ok_or("its result has no place in memory")?;
        if RANK_MAX < value.extents.len() {
            return Err(format!("it has more than {RANK_MAX} dimensions"));
        }
        // A plan's tensors have at least one dimension.
        let scalar = value.extents.is_empty();
        let extents = if scalar { vec![TDim::Val(1)] } else { value.extents.clone() };
        let operand = |view: &View| Operand {
            buffer: view.buffer,
            offset: view.offset.clone(),
            strides: if scalar { vec![zero()] } else { view.strides.clone() },
        };
        self.ops.push(Op::Map(Map {
            extents,
            inputs: value.operands.iter().map(operand).collect(),
            program: value.program.clone(),
            output: operand(view),
        }));
        Ok(())
    }

    /// The value of `instructions` on the program of `arguments`, which have the same extents.
    /// Arguments that do not fit in one program are computed first.
    pub(crate) fn apply(
        &mut self,
        arguments: &[Value],
        instruction: Instruction,
        wanted: Domain,
        element: Element,
    ) -> Result<Value, Refusal> {
        let mut arguments = arguments.to_vec();
        for argument in &mut arguments {
            if !argument.is_in(wanted) {
                *argument = self.plain(argument)?;
                // What is in memory is converted when it is loaded.
                argument.program = Program::copy(wanted);
            }
        }
        // The last resort first fails only where one operand alone is too much.
        for computed in 0..=arguments.len() {
            if let Some(last) = computed.checked_sub(1) {
                let index = arguments.len() - 1 - last;
                arguments[index] = self.plain(&arguments[index])?;
                arguments[index].program = Program::copy(wanted);
            }
            if let Ok(value) = chain(&arguments, instruction, element) {
                return Ok(value);
            }
        }
        Err("its program is too long".to_owned())
    }

    /// The matrices that the last two dimensions of a plain value show, or `None` where its
    /// elements would have to move for a product to read them.
    pub(crate) fn matrix(value: &Value, transposed: bool) -> Option<Matrix<TDim>> {
        let view = value.plain()?;
        let split = value.extents.len().checked_sub(2)?;
        let (outer, inner) = (&value.extents[..split], &value.extents[split..]);
        let batch_stride = merged_stride(outer, &view.strides[..split])?;
        let (mut row, mut column) = (0, 1);
        if transposed {
            (row, column) = (1, 0);
        }
        let one = TDim::Val(1);
        let (rows, columns) = (&inner[row], &inner[column]);
        let mut row_stride = view.strides[split + row].clone();
        let mut column_stride = view.strides[split + column].clone();
        // A stride along one element is never taken, so it may as well be a proper one.
        if *columns == one && row_stride != one {
            column_stride = one.clone();
        } else if *rows == one && column_stride != one {
            row_stride = one.clone();
        }
        if *rows == one && column_stride == one {
            row_stride = columns.clone();
        }
        if *columns == one && row_stride == one {
            column_stride = rows.clone();
        }
        (row_stride == one || column_stride == one).then(|| Matrix {
            buffer: view.buffer,
            offset: view.offset.clone(),
            row_stride,
            column_stride,
            batch_stride,
        })
    }
}

/// One program for an instruction on programs, or why there is none.
fn chain(
    arguments: &[Value],
    instruction: Instruction,
    element: Element,
) -> Result<Value, ProgramError> {
    let mut order: Vec<&Value> = arguments.iter().collect();
    // The deeper program first needs fewer registers, where the order does not matter.
    if let Instruction::Binary(binary) = instruction
        && is_commutative(binary)
        && depth(order[0]) < depth(order[1])
    {
        order.swap(0, 1);
    }
    let mut value = Value {
        element,
        product: None,
        operands: Vec::new(),
        program: Program { domain: order[0].program.domain, instructions: Vec::new() },
        extents: order[0].extents.clone(),
    };
    for argument in order {
        let instructions = value.join(argument).ok_or(ProgramError::Operand)?;
        value.program.instructions.extend(instructions);
    }
    value.program.instructions.push(instruction);
    value.program.check(value.operands.len())?;
    Ok(value)
}

fn depth(value: &Value) -> usize {
    value.program.check(value.operands.len()).unwrap_or(usize::MAX)
}

fn is_commutative(binary: Binary) -> bool {
    use Binary::*;
    match binary {
        Add | Multiply | Maximum | Minimum | Equal | NotEqual | And | Or => true,
        Subtract | Divide | Power | Less | LessOrEqual | Greater | GreaterOrEqual => false,
    }
}

/// The one stride that walks through all of `extents`, or `None` where there is none.
fn merged_stride(extents: &[TDim], strides: &[TDim]) -> Option<TDim> {
    let one = TDim::Val(1);
    let mut dims = extents.iter().zip(strides).filter(|(extent, _)| **extent != one).rev();
    let Some((extent, innermost)) = dims.next() else { return Some(zero()) };
    let mut next = innermost.clone() * extent;
    for (extent, stride) in dims {
        if *stride != next {
            return None;
        }
        next = stride.clone() * extent;
    }
    Some(innermost.clone())
}
