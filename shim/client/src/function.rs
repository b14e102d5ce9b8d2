//! An open function: what it takes and gives, and requests to it.

use crate::channel::Channel;
use crate::error::{SubmitError, WaitError};
use crate::readiness::Readiness;
use crate::request::Request;
use gpumux_wire::signature::{Signature, TensorSpec};
use std::sync::Arc;

/// An open function. Handles are cheap to clone; the channel closes with the last of them and of
/// the requests made from them.
#[derive(Clone, Debug)]
pub struct Function(Arc<Channel>);

impl Function {
    pub(crate) fn new(channel: Arc<Channel>) -> Self {
        Self(channel)
    }

    /// What it takes and gives, and its longest length.
    pub fn signature(&self) -> &Signature {
        &self.0.signature
    }

    /// Its inputs, for one item.
    pub fn inputs(&self) -> &[TensorSpec] {
        &self.0.signature.inputs
    }

    /// Its outputs, for one item.
    pub fn outputs(&self) -> &[TensorSpec] {
        &self.0.signature.outputs
    }

    /// A descriptor that is readable when requests may have ended, for a loop that polls.
    ///
    /// # Errors
    /// [`WaitError::Forked`], or this process is out of descriptors.
    pub fn readiness(&self) -> Result<Readiness, WaitError> {
        Readiness::new(&self.0)
    }

    /// Reserves a slot and room for all tensors of one request of `length`: its size along the
    /// model's variable dimension, 1 where none varies.
    ///
    /// # Errors
    /// [`SubmitError`]: the length is not served, the channel is full, or it is lost.
    pub fn request(&self, length: u32) -> Result<Request, SubmitError> {
        let signature = &self.0.signature;
        if length == 0 {
            return Err(SubmitError::BadLength { length, why: "a request has at least length 1" });
        }
        if !signature.has_length() && length != 1 {
            let why = "no dimension of this function varies, so every length is 1";
            return Err(SubmitError::BadLength { length, why });
        }
        if length > signature.length_max {
            return Err(SubmitError::TooLong { length, max: signature.length_max });
        }
        Request::reserve(&self.0, length)
    }
}
