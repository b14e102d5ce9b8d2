//! The end of a request, and its outputs, read where the worker wrote them.

use crate::channel::Held;
use crate::element::Element;
use crate::error::{OutputError, WaitError};
use crate::request::{layout, names};
use gpumux_wire::outcome::Outcome;
use gpumux_wire::record::ResponseRecord;
use gpumux_wire::signature::Signature;
use std::time::Duration;

/// How a request ended. Dropping it gives its room back.
#[derive(Debug)]
pub struct Reply {
    held: Held,
    outcome: Outcome,
    response: ResponseRecord,
}

impl Reply {
    pub(crate) fn new(held: Held, response: ResponseRecord) -> Result<Self, WaitError> {
        let outcome = response.outcome().ok_or(WaitError::UnknownOutcome(response.outcome))?;
        Ok(Self { held, outcome, response })
    }

    /// The one end of the request.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// From being read by the worker until its batch began.
    pub fn queued(&self) -> Duration {
        Duration::from_micros(self.response.queue_us)
    }

    /// From there until its batch ended.
    pub fn ran(&self) -> Duration {
        Duration::from_micros(self.response.run_us)
    }

    /// Requests in its batch; 0 when it did not run.
    pub fn batch(&self) -> u32 {
        self.response.batch
    }

    /// What the function takes and gives.
    pub fn signature(&self) -> &Signature {
        &self.held.channel.signature
    }

    /// The request's length, which is its outputs' too.
    pub fn length(&self) -> u32 {
        self.held.length
    }

    /// An output's elements.
    ///
    /// # Errors
    /// [`OutputError`]: no result, no such output, or another type.
    pub fn output<T: Element>(&self, name: &str) -> Result<&[T], OutputError> {
        let index = self.find(name)?;
        let spec = &self.held.channel.signature.outputs[index];
        if !T::stands_for(spec.element) {
            let (name, expected) = (name.to_owned(), spec.element);
            return Err(OutputError::WrongType { name, expected, given: T::NAME });
        }
        Ok(bytemuck::cast_slice(self.bytes_of(index)))
    }

    /// An output's bytes, whatever their type.
    ///
    /// # Errors
    /// [`OutputError`]: no result, or no such output.
    pub fn output_bytes(&self, name: &str) -> Result<&[u8], OutputError> {
        Ok(self.bytes_of(self.find(name)?))
    }

    /// An output's bytes by its index in the signature, whatever their type.
    ///
    /// # Errors
    /// [`OutputError`]: no result, or no such output.
    pub fn output_at(&self, index: usize) -> Result<&[u8], OutputError> {
        self.check_done()?;
        let count = self.signature().outputs.len();
        if index < count {
            Ok(self.bytes_of(index))
        } else {
            Err(OutputError::NoOutput { index, count })
        }
    }

    /// An output's dimensions.
    ///
    /// # Errors
    /// [`OutputError`]: no result, or no such output.
    pub fn dims(&self, name: &str) -> Result<Vec<u32>, OutputError> {
        let index = self.find(name)?;
        let spec = &self.held.channel.signature.outputs[index];
        Ok(spec.dims_at(self.held.length)[..spec.dims.len()].to_vec())
    }

    fn check_done(&self) -> Result<(), OutputError> {
        match self.outcome {
            Outcome::Done => Ok(()),
            other @ (Outcome::Refused(_) | Outcome::DeadlineMissed | Outcome::Cancelled) => {
                Err(OutputError::NoResult(other.label()))
            }
        }
    }

    fn find(&self, name: &str) -> Result<usize, OutputError> {
        self.check_done()?;
        let outputs = &self.held.channel.signature.outputs;
        outputs.iter().position(|spec| spec.name == name).ok_or_else(|| {
            OutputError::UnknownOutput { name: name.to_owned(), known: names(outputs) }
        })
    }

    fn bytes_of(&self, index: usize) -> &[u8] {
        let signature = &self.held.channel.signature;
        let place = signature.inputs.len() + index;
        let (offset, bytes) = layout(signature, self.held.length).nth(place).expect("it was found");
        let start = self.held.channel.tensor(self.held.offset + offset, bytes);
        let bytes = usize::try_from(bytes).expect("the arena is mapped");
        // SAFETY: the bytes are in the mapped arena, in the block that this reply holds until it is
        // dropped. The worker wrote them before it published the completion and does not touch the
        // slot again before its next submission; every byte pattern is a `u8`.
        unsafe { std::slice::from_raw_parts(start, bytes) }
    }
}
