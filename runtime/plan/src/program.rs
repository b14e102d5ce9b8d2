//! The small program that an elementwise operation runs for every element.
//!
//! A chain of elementwise operators (a GELU written out, a scale and a shift) is one launch: its
//! operands are loaded once and the arithmetic happens on a stack of [`STACK_MAX`] numbers that a
//! GPU thread holds in registers.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Operands of one program.
pub const OPERANDS_MAX: usize = 6;
/// Instructions of one program.
pub const INSTRUCTIONS_MAX: usize = 32;
/// Numbers that may wait on the stack.
pub const STACK_MAX: usize = 4;

/// The numbers that a program computes with: operands are converted when loaded, the result when
/// stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Domain {
    /// 32-bit floats.
    Real,
    /// 64-bit integers, wrapping.
    Whole,
}

/// From the upper number to one in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the mathematical function of its name")]
pub enum Unary {
    Negate,
    Absolute,
    Square,
    SquareRoot,
    ReciprocalSquareRoot,
    Reciprocal,
    Exponential,
    Logarithm,
    Tanh,
    Sigmoid,
    /// `x * sigmoid(x)`.
    Silu,
    ErrorFunction,
    /// `x / 2 * (1 + erf(x / sqrt 2))`: the exact form.
    Gelu,
    Floor,
    Ceil,
    /// 1 for 0, otherwise 0.
    Not,
}

/// From the two upper numbers, of which the left was pushed first, to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the mathematical function of its name")]
pub enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    /// A NaN on either side is the result, as in ONNX.
    Maximum,
    /// A NaN on either side is the result, as in ONNX.
    Minimum,
    Power,
    /// 1 where it holds, otherwise 0; so are the next ones.
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// 1 where both are not 0.
    And,
    /// 1 where one is not 0.
    Or,
}

/// One step of a program.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Instruction {
    /// Pushes the element of an operand.
    Load(u8),
    /// Pushes a number; only in [`Domain::Real`].
    Real(f32),
    /// Pushes a number; only in [`Domain::Whole`].
    Whole(i32),
    /// Replaces the upper number.
    Unary(Unary),
    /// Replaces the two upper numbers.
    Binary(Binary),
    /// Replaces the three upper numbers (a condition, then two choices, the last on top) by the
    /// first choice where the condition is not 0, by the second elsewhere.
    Select,
}

/// A program and the numbers it computes with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// What it computes with.
    pub domain: Domain,
    /// Its steps, which leave one number.
    pub instructions: Vec<Instruction>,
}

/// Why a program cannot run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProgramError {
    /// More than [`INSTRUCTIONS_MAX`].
    #[error("a program has too many instructions")]
    TooLong,
    /// Takes from an empty stack, needs more than [`STACK_MAX`], or leaves not exactly one number.
    #[error("a program uses its stack wrongly")]
    Stack,
    /// Loads an operand that is not there.
    #[error("a program loads an operand that it does not have")]
    Operand,
    /// An instruction that its domain does not have.
    #[error("a program mixes domains")]
    Domain,
}

impl Program {
    /// A program that gives its only operand.
    pub fn copy(domain: Domain) -> Self {
        Self { domain, instructions: vec![Instruction::Load(0)] }
    }

    /// Whether the program only copies its first operand.
    pub fn is_copy(&self) -> bool {
        self.instructions == [Instruction::Load(0)]
    }

    /// The numbers that wait on the stack at most, once all is known to be right.
    pub fn check(&self, operands: usize) -> Result<usize, ProgramError> {
        if INSTRUCTIONS_MAX < self.instructions.len() {
            return Err(ProgramError::TooLong);
        }
        let (mut depth, mut deepest) = (0usize, 0);
        for instruction in &self.instructions {
            let (taken, wanted) = match *instruction {
                Instruction::Load(operand) if operands <= usize::from(operand) => {
                    return Err(ProgramError::Operand);
                }
                Instruction::Load(_) => (0, None),
                Instruction::Real(_) => (0, Some(Domain::Real)),
                Instruction::Whole(_) => (0, Some(Domain::Whole)),
                Instruction::Unary(unary) => (1, unary.domain()),
                Instruction::Binary(binary) => (2, binary.domain()),
                Instruction::Select => (3, None),
            };
            if wanted.is_some_and(|it| it != self.domain) {
                return Err(ProgramError::Domain);
            }
            depth = depth.checked_sub(taken).ok_or(ProgramError::Stack)? + 1;
            deepest = deepest.max(depth);
        }
        match depth == 1 && deepest <= STACK_MAX {
            true => Ok(deepest),
            false => Err(ProgramError::Stack),
        }
    }
}

impl Unary {
    /// The only domain that has this function, if it is not in both.
    fn domain(self) -> Option<Domain> {
        match self {
            Unary::Negate | Unary::Absolute | Unary::Square | Unary::Not => None,
            _ => Some(Domain::Real),
        }
    }
}

impl Binary {
    /// The only domain that has this function, if it is not in both.
    fn domain(self) -> Option<Domain> {
        match self {
            // An integer division could divide by zero on the device.
            Binary::Divide | Binary::Power => Some(Domain::Real),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Instruction::*;

    #[track_caller]
    fn check(instructions: &[Instruction], expected: Result<usize, ProgramError>) {
        let program = Program { domain: Domain::Real, instructions: instructions.to_vec() };
        assert_eq!(program.check(2), expected);
    }

    #[test]
    fn a_program_leaves_one_number() {
        check(&[Load(0)], Ok(1));
        check(&[Load(0), Load(1), Binary(super::Binary::Add)], Ok(2));
        check(&[Load(0), Load(1), Real(0.0), Select], Ok(3));
        check(&[], Err(ProgramError::Stack));
        check(&[Load(0), Load(1)], Err(ProgramError::Stack));
    }

    #[test]
    fn what_would_leave_the_registers_is_refused() {
        check(&[Binary(super::Binary::Add)], Err(ProgramError::Stack));
        check(&[Load(0), Select], Err(ProgramError::Stack));
        let mut deep = vec![Load(0); STACK_MAX + 1];
        deep.extend([Binary(super::Binary::Add); STACK_MAX]);
        check(&deep, Err(ProgramError::Stack));
        check(&[Load(2)], Err(ProgramError::Operand));
        check(&[Load(0); INSTRUCTIONS_MAX + 1], Err(ProgramError::TooLong));
    }

    #[test]
    fn instructions_of_the_other_domain_are_refused() {
        check(&[Whole(1)], Err(ProgramError::Domain));
        let whole = |instruction| Program { domain: Domain::Whole, instructions: instruction };
        assert_eq!(whole(vec![Real(1.0)]).check(0), Err(ProgramError::Domain));
        let root = vec![Load(0), Unary(super::Unary::SquareRoot)];
        assert_eq!(whole(root).check(1), Err(ProgramError::Domain));
        let divide = vec![Load(0), Load(1), Binary(super::Binary::Divide)];
        assert_eq!(whole(divide).check(2), Err(ProgramError::Domain));
    }
}
