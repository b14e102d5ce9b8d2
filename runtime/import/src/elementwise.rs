//! Elementwise operators: each becomes an instruction of a program that is computed later.

use gpumux_plan::{Binary, Domain, Element, Instruction, Program, Unary};
use tract_onnx::prelude::*;

use crate::builder::Refusal;
use crate::lower::Lowering;
use crate::value::{Value, domain};

/// A program longer than this is computed before it is repeated along a broadcast dimension.
const REPEATED_MAX: usize = 4;

impl Lowering<'_> {
    /// An operator on one value, by tract's name for it.
    pub(crate) fn unary(&mut self, node: &TypedNode, name: &str) -> Result<Value, Refusal> {
        let unary = match name {
            "Neg" => Unary::Negate,
            "Abs" => Unary::Absolute,
            "Square" => Unary::Square,
            "Sqrt" => Unary::SquareRoot,
            "Rsqrt" => Unary::ReciprocalSquareRoot,
            "Recip" => Unary::Reciprocal,
            "Exp" => Unary::Exponential,
            "Ln" => Unary::Logarithm,
            "Tanh" => Unary::Tanh,
            "Sigmoid" => Unary::Sigmoid,
            "Silu" => Unary::Silu,
            "Erf" => Unary::ErrorFunction,
            "GeluExact" => Unary::Gelu,
            "Floor" => Unary::Floor,
            "Ceil" => Unary::Ceil,
            "Not" => Unary::Not,
            _ => return Err("there is no kernel for this function".to_owned()),
        };
        let argument = self.argument(node.inputs[0])?;
        let element = argument.element;
        let wanted =
            if element == Element::Bool { argument.program.domain } else { domain(element) };
        self.builder.apply(&[argument], Instruction::Unary(unary), wanted, element)
    }

    /// An operator on two values, by tract's name for it.
    pub(crate) fn binary(&mut self, node: &TypedNode, name: &str) -> Result<Value, Refusal> {
        let (binary, is_comparison) = match name {
            "Add" => (Binary::Add, false),
            "Sub" => (Binary::Subtract, false),
            "Mul" => (Binary::Multiply, false),
            "Div" => (Binary::Divide, false),
            "Max" => (Binary::Maximum, false),
            "Min" => (Binary::Minimum, false),
            "Pow" => (Binary::Power, false),
            "Eq" => (Binary::Equal, true),
            "NE" => (Binary::NotEqual, true),
            "LT" => (Binary::Less, true),
            "LTE" => (Binary::LessOrEqual, true),
            "GT" => (Binary::Greater, true),
            "GTE" => (Binary::GreaterOrEqual, true),
            "And" => (Binary::And, true),
            "Or" => (Binary::Or, true),
            _ => return Err("there is no kernel for this function".to_owned()),
        };
        let extents = node.outputs[0].fact.shape.to_tvec().to_vec();
        let left = self.spread(node.inputs[0], &extents)?;
        let right = self.spread(node.inputs[1], &extents)?;
        if left.element != right.element {
            return Err(format!("its inputs are {:?} and {:?}", left.element, right.element));
        }
        let input = left.element;
        if input == Element::I32 && !is_comparison {
            // Programs compute in 64 bits; a chain would not wrap where the model's numbers do.
            return Err("arithmetic on 32-bit integers is not supported".to_owned());
        }
        if binary == Binary::Add
            && let Some(value) =
                self.add_bias(&left, &right).or_else(|| self.add_bias(&right, &left))
        {
            return Ok(value);
        }
        let element = if is_comparison { Element::Bool } else { input };
        let instruction = Instruction::Binary(binary);
        self.builder.apply(&[left, right], instruction, domain(input), element)
    }

    /// One value where a condition holds, another elsewhere.
    pub(crate) fn select(&mut self, node: &TypedNode) -> Result<Value, Refusal> {
        let extents = node.outputs[0].fact.shape.to_tvec().to_vec();
        let inputs = node.inputs.iter().map(|outlet| self.spread(*outlet, &extents));
        let arguments = inputs.collect::<Result<Vec<_>, _>>()?;
        let element = arguments[1].element;
        self.builder.apply(&arguments, Instruction::Select, domain(element), element)
    }

    /// A conversion.
    pub(crate) fn cast(&mut self, node: &TypedNode) -> Result<Value, Refusal> {
        let value = self.argument(node.inputs[0])?;
        let to = node.outputs[0].fact.datum_type;
        let to = crate::weights::element(to).ok_or_else(|| format!("{to:?} is not supported"))?;
        match (value.element, to) {
            (from, to) if from == to => Ok(value),
            // A program converts what it loads, and the result of one when it is stored.
            (_, Element::F32) if value.plain().is_some() => {
                Ok(Value { element: to, program: Program::copy(Domain::Real), ..value })
            }
            (Element::I32, Element::I64) | (Element::Bool, _) | (_, Element::F32) => {
                Ok(Value { element: to, ..value })
            }
            (from, to) => Err(format!("a conversion from {from:?} to {to:?} is not supported")),
        }
    }

    /// An input of a node, repeated along the dimensions where it is 1 and `extents` is not.
    fn spread(&mut self, outlet: OutletId, extents: &[TDim]) -> Result<Value, Refusal> {
        let mut value = self.argument(outlet)?;
        let is_repeated = value.extents != extents;
        if is_repeated && REPEATED_MAX < value.program.instructions.len() {
            value = self.builder.plain(&value)?;
        }
        Ok(value.broadcast(extents))
    }
}
