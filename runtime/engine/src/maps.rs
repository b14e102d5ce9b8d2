//! Elementwise operations: their tables, and their launches.

use gpumux_kernels::{Code, DevicePtr, Launch, MapReal, MapTable, MapWhole, Stored, View};
use gpumux_plan::{Binary, Bound, Domain, Element, Instruction, Map, Operand, Unary};

use crate::address::{Addresses, add, narrow};
use crate::coalesce::coalesce;

/// What is known of an elementwise operation once its table is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableAt {
    /// Where it lies among the tables, in bytes.
    pub(crate) offset: u64,
    pub(crate) groups: u32,
}

/// The table of a checked operation, or `None` when it has more elements than a kernel counts.
pub(crate) fn table(map: &Map<u64>, bound: &Bound) -> Option<MapTable> {
    let operands: Vec<&Operand<u64>> = [&map.output].into_iter().chain(&map.inputs).collect();
    let strides: Vec<&[u64]> = operands.iter().map(|it| it.strides.as_slice()).collect();
    let (extents, strides) = coalesce(&map.extents, &strides);
    let narrowed = |numbers: &Vec<u64>| numbers.iter().map(|it| narrow(*it)).collect::<Vec<_>>();
    let strides: Vec<_> = strides.iter().map(narrowed).collect();
    let view = |(operand, strides)| {
        let operand: &Operand<u64> = operand;
        View { stored: stored(bound.buffer(operand.buffer).1), strides }
    };
    let mut views = operands.into_iter().zip(strides.iter().map(Vec::as_slice)).map(view);
    let output = views.next().expect("the output is the first");
    let inputs: Vec<_> = views.collect();
    let instructions: Vec<_> = map.program.instructions.iter().map(code).collect();
    MapTable::new(&narrowed(&extents), output, &inputs, &instructions)
}

/// The launch of an operation whose table is on the device.
pub(crate) fn launch(map: &Map<u64>, table: TableAt, at: &Addresses) -> Launch {
    let program = add(at.tables, table.offset).of();
    let address = |operand: &Operand<u64>| at.element(operand.buffer, operand.offset).of();
    let mut inputs = [DevicePtr::NULL; 6];
    for (input, operand) in inputs.iter_mut().zip(&map.inputs) {
        *input = address(operand);
    }
    let [input_0, input_1, input_2, input_3, input_4, input_5] = inputs;
    let output = address(&map.output);
    let groups = table.groups;
    match map.program.domain {
        Domain::Real => MapReal {
            program,
            input_0,
            input_1,
            input_2,
            input_3,
            input_4,
            input_5,
            output,
            groups,
        }
        .launch(),
        Domain::Whole => MapWhole {
            program,
            input_0,
            input_1,
            input_2,
            input_3,
            input_4,
            input_5,
            output,
            groups,
        }
        .launch(),
    }
}

fn stored(element: Element) -> Stored {
    match element {
        Element::F32 => Stored::F32,
        Element::I64 => Stored::I64,
        Element::I32 => Stored::I32,
        Element::Bool => Stored::Bool,
    }
}

fn code(instruction: &Instruction) -> (Code, u32) {
    match *instruction {
        Instruction::Load(operand) => (Code::Load, u32::from(operand)),
        Instruction::Real(number) => (Code::Constant, number.to_bits()),
        Instruction::Whole(number) => (Code::Constant, number.cast_unsigned()),
        Instruction::Unary(unary) => (unary_code(unary), 0),
        Instruction::Binary(binary) => (binary_code(binary), 0),
        Instruction::Select => (Code::Select, 0),
    }
}

fn unary_code(unary: Unary) -> Code {
    match unary {
        Unary::Negate => Code::Negate,
        Unary::Absolute => Code::Absolute,
        Unary::Square => Code::Square,
        Unary::SquareRoot => Code::SquareRoot,
        Unary::ReciprocalSquareRoot => Code::ReciprocalSquareRoot,
        Unary::Reciprocal => Code::Reciprocal,
        Unary::Exponential => Code::Exponential,
        Unary::Logarithm => Code::Logarithm,
        Unary::Tanh => Code::Tanh,
        Unary::Sigmoid => Code::Sigmoid,
        Unary::Silu => Code::Silu,
        Unary::ErrorFunction => Code::ErrorFunction,
        Unary::Gelu => Code::Gelu,
        Unary::Floor => Code::Floor,
        Unary::Ceil => Code::Ceil,
        Unary::Not => Code::Not,
    }
}

fn binary_code(binary: Binary) -> Code {
    match binary {
        Binary::Add => Code::Add,
        Binary::Subtract => Code::Subtract,
        Binary::Multiply => Code::Multiply,
        Binary::Divide => Code::Divide,
        Binary::Maximum => Code::Maximum,
        Binary::Minimum => Code::Minimum,
        Binary::Power => Code::Power,
        Binary::Equal => Code::Equal,
        Binary::NotEqual => Code::NotEqual,
        Binary::Less => Code::Less,
        Binary::LessOrEqual => Code::LessOrEqual,
        Binary::Greater => Code::Greater,
        Binary::GreaterOrEqual => Code::GreaterOrEqual,
        Binary::And => Code::And,
        Binary::Or => Code::Or,
    }
}
