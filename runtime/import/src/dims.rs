//! Arithmetic on symbolic dimensions, and their way into a plan.

use gpumux_plan::{Size, Step};
use tract_onnx::prelude::{Symbol, TDim};

/// The two symbols that a plan knows.
#[derive(Clone, Debug)]
pub(crate) struct Symbols {
    /// The number of requests, where it is free.
    pub(crate) batch: Option<Symbol>,
    /// Their length, where the model has a variable dimension.
    pub(crate) length: Option<Symbol>,
}

impl Symbols {
    /// `dim` as a plan says it, or why a plan cannot.
    pub(crate) fn size(&self, dim: &TDim) -> Result<Size, String> {
        let mut steps = Vec::new();
        self.push(dim, &mut steps)?;
        Ok(Size::from_steps(steps))
    }

    fn push(&self, dim: &TDim, steps: &mut Vec<Step>) -> Result<(), String> {
        match dim {
            TDim::Val(value) => steps.push(Step::Number(*value)),
            TDim::Sym(symbol) if Some(symbol) == self.batch.as_ref() => steps.push(Step::Batch),
            TDim::Sym(symbol) if Some(symbol) == self.length.as_ref() => steps.push(Step::Length),
            TDim::Sym(symbol) => {
                return Err(format!(
                    "its dimension `{symbol}` is neither the batch nor the length"
                ));
            }
            TDim::Add(terms) => self.push_all(terms, Step::Add, steps)?,
            TDim::Mul(terms) => self.push_all(terms, Step::Multiply, steps)?,
            TDim::MulInt(factor, dim) => {
                self.push(dim, steps)?;
                steps.extend([Step::Number(*factor), Step::Multiply]);
            }
            TDim::Div(dim, by) => {
                self.push(dim, steps)?;
                let by = i64::try_from(*by).map_err(|_| format!("it divides by {by}"))?;
                steps.push(Step::Divide(by));
            }
            TDim::Broadcast(_) | TDim::Min(_) | TDim::Max(_) | TDim::Ge(..) | TDim::Eq(..) => {
                return Err(format!("a plan has no word for its dimension `{dim}`"));
            }
        }
        Ok(())
    }

    fn push_all(&self, terms: &[TDim], with: Step, steps: &mut Vec<Step>) -> Result<(), String> {
        let (first, rest) = terms.split_first().ok_or("it has an empty dimension")?;
        self.push(first, steps)?;
        for term in rest {
            self.push(term, steps)?;
            steps.push(with);
        }
        Ok(())
    }
}

pub(crate) fn one() -> TDim {
    TDim::Val(1)
}

pub(crate) fn zero() -> TDim {
    TDim::Val(0)
}

/// The number of elements of a tensor with these dimensions.
pub(crate) fn product(dims: &[TDim]) -> TDim {
    dims.iter().fold(one(), |all, dim| all * dim)
}

/// The strides of a tensor without gaps.
pub(crate) fn row_major(extents: &[TDim]) -> Vec<TDim> {
    (0..extents.len()).map(|axis| product(&extents[axis + 1..])).collect()
}
