//! A model on disk: a file with the plans, and one with the weights.
//!
//! The plan file is a magic line, the BLAKE3 hash of what follows, and a [`Model`] in postcard's
//! encoding. The weights' file is nothing but the weights, each at an aligned offset, so that it
//! can be sent to a device in pieces of any size.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Element, Plan, PlanError};

/// The first bytes of a plan file: what it is, and the version of the encoding.
const MAGIC: &[u8; 16] = b"gpumux plan 001\n";
/// A plan is small: names, sizes and operations. More than this is not believed.
const PLAN_BYTES_MAX: usize = 16 << 20;
const HASH_BYTES: usize = blake3::OUT_LEN;

/// A tensor of constants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// BLAKE3 of its bytes.
    pub hash: [u8; HASH_BYTES],
    /// Type of the elements.
    pub element: Element,
    /// How many elements.
    pub elements: u64,
    /// Where its bytes begin in the weights' file, a multiple of [`crate::ALIGNMENT`].
    pub offset: u64,
}

/// Weights, and the plans that use them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Length of the weights' file.
    pub weight_bytes: u64,
    /// What is in it, in order of their offsets.
    pub weights: Vec<Weight>,
    /// One plan for every batch size, or one for each that there is.
    pub plans: Vec<Plan>,
}

/// Why a model cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Not written by this version of the importer.
    #[error("not a plan file of this version")]
    Magic,
    /// Larger than any plan.
    #[error("the plan file is larger than {PLAN_BYTES_MAX} bytes")]
    TooLarge,
    /// The bytes changed after they were written.
    #[error("the plan file is damaged: its hash differs")]
    Damaged,
    /// The encoding is wrong.
    #[error("the plan file cannot be decoded")]
    Encoding,
    /// The weights do not fit each other or their file.
    #[error("weight {0} does not lie within the weights' file as it should")]
    Weight(usize),
    /// A weight is not what the plan was made with.
    #[error("the weights' file is damaged: the hash of weight {0} differs")]
    WeightHash(usize),
    /// A plan breaks a rule.
    #[error("plan {plan}: {error}")]
    Plan {
        /// Which plan.
        plan: usize,
        /// Which rule.
        error: PlanError,
    },
}

impl Weight {
    /// Its length, or `None` where that overflows.
    pub fn bytes(&self) -> Option<u64> {
        self.elements.checked_mul(self.element.bytes())
    }
}

impl Model {
    /// The plan file's bytes.
    pub fn write(&self) -> Vec<u8> {
        let body = postcard::to_stdvec(self).expect("a model in memory has an encoding");
        [&MAGIC[..], blake3::hash(&body).as_bytes(), &body].concat()
    }

    /// Decodes and checks a plan file.
    pub fn read(file: &[u8]) -> Result<Self, ReadError> {
        if PLAN_BYTES_MAX < file.len() {
            return Err(ReadError::TooLarge);
        }
        let rest = file.strip_prefix(MAGIC).ok_or(ReadError::Magic)?;
        let (hash, body) = rest.split_at_checked(HASH_BYTES).ok_or(ReadError::Damaged)?;
        if blake3::hash(body).as_bytes() != hash {
            return Err(ReadError::Damaged);
        }
        let (model, left) =
            postcard::take_from_bytes::<Self>(body).map_err(|_| ReadError::Encoding)?;
        if !left.is_empty() {
            return Err(ReadError::Encoding);
        }
        model.check()?;
        Ok(model)
    }

    /// Checks everything that does not depend on a shape.
    pub fn check(&self) -> Result<(), ReadError> {
        let mut free = 0;
        for (index, weight) in self.weights.iter().enumerate() {
            let end = weight.bytes().and_then(|bytes| weight.offset.checked_add(bytes));
            let aligned = weight.offset.is_multiple_of(crate::ALIGNMENT);
            match end {
                Some(end) if aligned && free <= weight.offset && end <= self.weight_bytes => {
                    free = end;
                }
                _ => return Err(ReadError::Weight(index)),
            }
        }
        for (index, plan) in self.plans.iter().enumerate() {
            plan.check(&self.weights).map_err(|error| ReadError::Plan { plan: index, error })?;
        }
        Ok(())
    }

    /// Checks that the weights' file is the one that the plans were made with.
    pub fn check_weights(&self, file: &[u8]) -> Result<(), ReadError> {
        for (index, weight) in self.weights.iter().enumerate() {
            let range = weight.bytes().and_then(|bytes| {
                let begin = usize::try_from(weight.offset).ok()?;
                Some(begin..begin.checked_add(usize::try_from(bytes).ok()?)?)
            });
            let bytes = range.and_then(|range| file.get(range)).ok_or(ReadError::Weight(index))?;
            if blake3::hash(bytes).as_bytes() != &weight.hash {
                return Err(ReadError::WeightHash(index));
            }
        }
        Ok(())
    }

    /// The plan for `batch` requests: the one made for that batch size, else one that is right for
    /// every batch size.
    pub fn plan(&self, batch: u64) -> Option<&Plan> {
        let with = |wanted| self.plans.iter().find(move |plan| plan.batch == wanted);
        with(Some(batch)).or_else(|| with(None))
    }
}
