//! Sizes that stay symbolic until a bucket binds them: expressions in the batch and the length.
//!
//! An expression is a postfix program, not a tree: it comes from another process, and a program
//! cannot overflow our stack however deep it is.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a plan is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Requests in the batch.
    pub batch: u64,
    /// The length of every request, after padding; 1 for a plan without a variable dimension.
    pub length: u64,
}

/// One step of an expression, on a stack of integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Step {
    /// Pushes a number.
    Number(i64),
    /// Pushes the batch.
    Batch,
    /// Pushes the length.
    Length,
    /// Adds the two upper numbers.
    Add,
    /// Multiplies the two upper numbers.
    Multiply,
    /// Divides the upper number by a positive one, rounding down.
    Divide(i64),
}

/// A size as an expression in the batch and the length. Its value is never negative.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    steps: Vec<Step>,
}

/// Why an expression has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SizeError {
    /// Not an expression at all.
    #[error("a size is not a well-formed expression")]
    Malformed,
    /// The value, or one on the way to it, is beyond 63 bits.
    #[error("a size overflows")]
    Overflow,
    /// The value is below zero.
    #[error("a size is negative")]
    Negative,
}

/// Steps of one expression, and numbers that wait on its stack.
const STEPS_MAX: usize = 64;
const DEPTH_MAX: usize = 16;

impl Size {
    /// An expression from its steps, unchecked: [`Size::evaluate`] refuses what is malformed.
    pub fn from_steps(steps: Vec<Step>) -> Self {
        Self { steps }
    }

    /// A size that depends on nothing.
    pub fn number(value: u32) -> Self {
        Self { steps: vec![Step::Number(i64::from(value))] }
    }

    /// The steps, for those who print or compare.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The value at `shape`.
    pub fn evaluate(&self, shape: Shape) -> Result<u64, SizeError> {
        let batch = i64::try_from(shape.batch).map_err(|_| SizeError::Overflow)?;
        let length = i64::try_from(shape.length).map_err(|_| SizeError::Overflow)?;
        let mut stack = Stack::default();
        if STEPS_MAX < self.steps.len() {
            return Err(SizeError::Malformed);
        }
        for step in &self.steps {
            match *step {
                Step::Number(value) => stack.push(value)?,
                Step::Batch => stack.push(batch)?,
                Step::Length => stack.push(length)?,
                Step::Add => stack.combine(i64::checked_add)?,
                Step::Multiply => stack.combine(i64::checked_mul)?,
                Step::Divide(by) if 0 < by => {
                    let value = stack.pop()?;
                    stack.push(value.div_euclid(by))?;
                }
                Step::Divide(_) => return Err(SizeError::Malformed),
            }
        }
        let value = stack.pop()?;
        if stack.depth != 0 {
            return Err(SizeError::Malformed);
        }
        u64::try_from(value).map_err(|_| SizeError::Negative)
    }
}

#[derive(Default)]
struct Stack {
    values: [i64; DEPTH_MAX],
    depth: usize,
}

impl Stack {
    fn push(&mut self, value: i64) -> Result<(), SizeError> {
        *self.values.get_mut(self.depth).ok_or(SizeError::Malformed)? = value;
        self.depth += 1;
        Ok(())
    }

    fn pop(&mut self) -> Result<i64, SizeError> {
        self.depth = self.depth.checked_sub(1).ok_or(SizeError::Malformed)?;
        Ok(self.values[self.depth])
    }

    fn combine(&mut self, with: fn(i64, i64) -> Option<i64>) -> Result<(), SizeError> {
        let (right, left) = (self.pop()?, self.pop()?);
        self.push(with(left, right).ok_or(SizeError::Overflow)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { batch: 8, length: 320 };

    #[track_caller]
    fn check(steps: &[Step], expected: Result<u64, SizeError>) {
        assert_eq!(Size::from_steps(steps.to_vec()).evaluate(SHAPE), expected);
    }

    #[test]
    fn expressions_have_the_value_that_arithmetic_gives() {
        use Step::*;
        check(&[Number(7)], Ok(7));
        check(&[Batch, Length, Multiply, Number(384), Multiply], Ok(8 * 320 * 384));
        check(&[Length, Number(3), Add, Divide(8)], Ok(40));
        check(&[Length, Number(-5), Add, Divide(3)], Ok(105));
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        use Step::*;
        check(&[], Err(SizeError::Malformed));
        check(&[Add], Err(SizeError::Malformed));
        check(&[Number(1), Number(2)], Err(SizeError::Malformed));
        check(&[Number(1), Divide(0)], Err(SizeError::Malformed));
        check(&[Number(1), Divide(-1)], Err(SizeError::Malformed));
        check(&[Batch; 17], Err(SizeError::Malformed));
        check(&[Divide(1); 65], Err(SizeError::Malformed));
    }

    #[test]
    fn sizes_that_wrap_or_go_below_zero_are_refused() {
        use Step::*;
        check(&[Number(i64::MAX), Number(1), Add], Err(SizeError::Overflow));
        check(&[Number(i64::MAX), Batch, Multiply], Err(SizeError::Overflow));
        check(&[Length, Number(-321), Add], Err(SizeError::Negative));
    }
}
