//! What can be checked of a plan before its shape is known: indices, ranks, types, programs.

use thiserror::Error;

use crate::op::{Op, Operand};
use crate::{
    BufferIndex, Domain, Element, OPERANDS_MAX, Plan, Port, ProgramError, RANK_MAX, Role, Size,
    Weight,
};

/// Buffers, and operations: placing them takes time that grows with the square.
const COUNT_MAX: usize = 16_384;

/// Which rule a plan breaks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// A buffer that is not there.
    #[error("it names buffer {0}, which it does not have")]
    Buffer(u32),
    /// A weight that is not there, or is of another type.
    #[error("buffer {0} is not the weight that it claims to be")]
    Weight(usize),
    /// A port and its buffer do not belong together.
    #[error("port {0:?} has a buffer of another role, or shares it")]
    Port(String),
    /// A port without dimensions, or with too many.
    #[error("port {0:?} has a number of dimensions that is not supported")]
    PortRank(String),
    /// Two ports of one direction with the same name.
    #[error("two ports are named {0:?}")]
    PortName(String),
    /// Too many dimensions or operands, or strides that do not match the extents.
    #[error("operation {0} has a number of dimensions or operands that is not supported")]
    Rank(usize),
    /// An operation on a type that it does not have.
    #[error("operation {0} does not work on the type of its operands")]
    Type(usize),
    /// An elementwise program that cannot run.
    #[error("operation {0}: {1}")]
    Program(usize, ProgramError),
    /// Writes what must not be written.
    #[error("operation {0} writes an input or a weight")]
    Target(usize),
    /// More buffers or operations than any model needs.
    #[error("it has more than {COUNT_MAX} buffers or operations")]
    TooMany,
    /// No input says how many requests there are.
    #[error("it has no input")]
    NoInput,
}

impl Plan {
    /// Checks everything that does not depend on a shape.
    pub(crate) fn check(&self, weights: &[Weight]) -> Result<(), PlanError> {
        if COUNT_MAX < self.buffers.len() || COUNT_MAX < self.ops.len() {
            return Err(PlanError::TooMany);
        }
        for (index, buffer) in self.buffers.iter().enumerate() {
            if let Role::Weight(number) = buffer.role {
                let weight = usize::try_from(number).ok().and_then(|it| weights.get(it));
                let count = weight.and_then(|it| u32::try_from(it.elements).ok());
                let same = weight.is_some_and(|it| it.element == buffer.element)
                    && count.is_some_and(|it| buffer.elements == Size::number(it));
                if !same {
                    return Err(PlanError::Weight(index));
                }
            }
        }
        if self.inputs.is_empty() {
            return Err(PlanError::NoInput);
        }
        self.check_ports(&self.inputs, Role::Input)?;
        self.check_ports(&self.outputs, Role::Output)?;
        for (index, op) in self.ops.iter().enumerate() {
            self.check_op(index, op)?;
        }
        Ok(())
    }

    /// A port has the buffer to itself, and every buffer of its role has a port.
    fn check_ports(&self, ports: &[Port], role: Role) -> Result<(), PlanError> {
        for (index, port) in ports.iter().enumerate() {
            let buffer = self.buffer(port.buffer)?;
            if buffer.role != role || ports[..index].iter().any(|it| it.buffer == port.buffer) {
                return Err(PlanError::Port(port.name.clone()));
            }
            if ports[..index].iter().any(|it| it.name == port.name) {
                return Err(PlanError::PortName(port.name.clone()));
            }
            if port.dims.is_empty() || RANK_MAX < port.dims.len() {
                return Err(PlanError::PortRank(port.name.clone()));
            }
        }
        let owned = self.buffers.iter().filter(|it| it.role == role).count();
        match owned == ports.len() {
            true => Ok(()),
            false => Err(PlanError::Port(format!("{role:?}"))),
        }
    }

    pub(crate) fn buffer(&self, index: BufferIndex) -> Result<&crate::Buffer, PlanError> {
        let found = usize::try_from(index.0).ok().and_then(|it| self.buffers.get(it));
        found.ok_or(PlanError::Buffer(index.0))
    }

    fn check_op(&self, index: usize, op: &Op<Size>) -> Result<(), PlanError> {
        let is = |buffer, element| Ok(self.buffer(buffer)?.element == element);
        let real = |buffer| is(buffer, Element::F32);
        let ranked = |extents: usize, operand: &Operand<Size>| {
            (1..=RANK_MAX).contains(&extents) && operand.strides.len() == extents
        };
        let (right_types, right_ranks, output) = match op {
            Op::Product(it) => {
                let mut right =
                    real(it.left.buffer)? && real(it.right.buffer)? && real(it.output.buffer)?;
                if let Some(bias) = &it.bias {
                    right &= real(bias.buffer)?;
                }
                (right, true, it.output.buffer)
            }
            Op::Map(it) => {
                it.program.check(it.inputs.len()).map_err(|why| PlanError::Program(index, why))?;
                let mut ranks = it.inputs.len() <= OPERANDS_MAX;
                let mut types = true;
                for operand in it.inputs.iter().chain([&it.output]) {
                    ranks &= ranked(it.extents.len(), operand);
                    // Only what is kept exactly: floats do not enter a program on integers, and
                    // integers do not leave one on floats.
                    let real = real(operand.buffer)?;
                    let is_output = std::ptr::eq(operand, &it.output);
                    types &= match it.program.domain {
                        Domain::Real => !is_output || real || is(operand.buffer, Element::Bool)?,
                        Domain::Whole => is_output || !real,
                    };
                }
                (types, ranks, it.output.buffer)
            }
            Op::Reduce(it) => {
                let types = real(it.input.buffer)? && real(it.output.buffer)?;
                (types, ranked(it.extents.len(), &it.input), it.output.buffer)
            }
            Op::Norm(it) => {
                let mut types = real(it.input.buffer)?
                    && real(it.weight.buffer)?
                    && real(it.bias.buffer)?
                    && real(it.output.buffer)?;
                if let Some(residual) = &it.residual {
                    types &= real(residual.buffer)?;
                }
                (types, true, it.output.buffer)
            }
            Op::Softmax(it) => {
                let mut types = real(it.input.buffer)? && real(it.output.buffer)?;
                let mut ranks = (1..=RANK_MAX).contains(&it.extents.len());
                if let Some(mask) = &it.mask {
                    types &= real(mask.buffer)?;
                    ranks &= ranked(it.extents.len(), mask);
                }
                (types, ranks, it.output.buffer)
            }
            Op::Gather(it) => {
                let index = self.buffer(it.indices.buffer)?.element;
                let types = real(it.table.buffer)?
                    && matches!(index, Element::I64 | Element::I32)
                    && real(it.output.buffer)?;
                (types, true, it.output.buffer)
            }
        };
        if !right_ranks {
            return Err(PlanError::Rank(index));
        }
        if !right_types {
            return Err(PlanError::Type(index));
        }
        match self.buffer(output)?.role {
            Role::Scratch | Role::Output => Ok(()),
            Role::Input | Role::Weight(_) => Err(PlanError::Target(index)),
        }
    }
}
