//! A model in device memory.

use std::borrow::Cow;

use gpumux_cuda::{DeviceBlock, DeviceMemory, OutOfDeviceMemory};
use gpumux_kernels::DeviceAddress;
use gpumux_plan::{Model, ReadError};
use thiserror::Error;

use crate::upload::Upload;

/// Why a model cannot be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The plan and the weights do not belong together.
    #[error(transparent)]
    Weights(#[from] ReadError),
    /// The device has not the memory for the weights.
    #[error("the weights do not fit: {0}")]
    Memory(#[from] OutOfDeviceMemory),
}

/// A model with memory for its weights on a device.
pub struct Resident {
    model: Model,
    weights: DeviceBlock,
}

impl Resident {
    /// Takes device memory for the weights of a checked model, and says what must be sent there
    /// before anything of it runs. `file` is the weights' file; its hashes are checked here.
    ///
    /// # Errors
    /// When the weights are not those of the model, or the device is full.
    pub fn load<'a>(
        model: Model,
        file: &'a [u8],
        memory: &DeviceMemory,
    ) -> Result<(Self, Upload<'a>), LoadError> {
        model.check()?;
        model.check_weights(file)?;
        let weights = memory.alloc(model.weight_bytes)?;
        let upload = Upload::new(Cow::Borrowed(file), weights.address());
        Ok((Self { model, weights }, upload))
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Where its weights begin.
    pub(crate) fn weights(&self) -> DeviceAddress {
        self.weights.address()
    }
}
