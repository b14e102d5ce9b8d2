//! A plan that only has to be issued: every address known.

use std::rc::Rc;

use gpumux_cuda::{CudaError, Lane, Operands};
use gpumux_kernels::Launch;
use gpumux_plan::Op;

use crate::address::Addresses;
use crate::prepared::{Extra, Prepared};
use crate::{maps, products, rows};

/// One call on a lane.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::large_enum_variant, reason = "steps are read in order, and most are launches")]
pub(crate) enum Step {
    Launch(Launch),
    Product { index: usize, operands: Operands },
}

/// A plan at one shape in one block of memory.
pub struct Placed {
    prepared: Rc<Prepared>,
    steps: Vec<Step>,
}

pub(crate) fn step(op: &Op<u64>, extra: Extra, at: &Addresses) -> Step {
    Step::Launch(match (op, extra) {
        (Op::Product(it), Extra::Product(index)) => {
            return Step::Product { index, operands: products::operands(it, at) };
        }
        (Op::Map(it), Extra::Table(table)) => maps::launch(it, table, at),
        (Op::Reduce(it), _) => rows::reduce(it, at),
        (Op::Norm(it), _) => rows::norm(it, at),
        (Op::Softmax(it), _) => rows::softmax(it, at),
        (Op::Gather(it), _) => rows::gather(it, at),
        (Op::Product(_) | Op::Map(_), _) => unreachable!("preparing gave it what it needs"),
    })
}

impl Placed {
    pub(crate) fn new(prepared: Rc<Prepared>, steps: impl Iterator<Item = Step>) -> Self {
        Self { prepared, steps: steps.collect() }
    }

    /// The plan.
    pub fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// Issues one segment. The inputs must be on the device, or on their way there on the same lane.
    /// Allocates nothing. A segment beyond the last has nothing in it.
    ///
    /// # Errors
    /// What the driver answered. The rest of the batch must not be issued then.
    pub fn issue(&self, segment: usize, lane: &mut Lane) -> Result<(), CudaError> {
        for step in &self.steps[self.prepared.segment(segment)] {
            match step {
                Step::Launch(launch) => lane.launch(launch)?,
                Step::Product { index, operands } => {
                    lane.multiply(self.prepared.product(*index), operands)?;
                }
            }
        }
        Ok(())
    }
}
