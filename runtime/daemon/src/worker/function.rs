//! A function as a worker has loaded it.

use crate::config::{FunctionConfig, Model};
use gpumux_core::{FunctionSpec, Sharing};
use gpumux_wire::signature::{Dim, ElementType, Signature, TensorSpec};

/// A loaded function.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) config: FunctionConfig,
    pub(super) signature: Signature,
}

impl Function {
    /// Loads a function.
    ///
    /// # Errors
    /// Why it cannot be served, and what to do.
    pub(super) fn load(name: String, config: FunctionConfig) -> Result<Self, String> {
        let bytes = |name: &str| TensorSpec {
            name: name.to_owned(),
            element: ElementType::U8,
            dims: vec![Dim::Length],
        };
        let (inputs, outputs) = match &config.model {
            Model::Null => (vec![bytes("data")], vec![]),
            Model::Echo => {
                return Err("`builtin:echo` needs a device, and this worker has none".to_owned());
            }
            Model::Onnx(file) => {
                return Err(format!("`{file}` needs a device, and this worker has none"));
            }
        };
        let signature = Signature { inputs, outputs, length_max: config.length_max() };
        signature.check().map_err(|error| error.to_string())?;
        Ok(Self { name, config, signature })
    }

    /// What the scheduler knows of it.
    pub(super) fn spec(&self) -> FunctionSpec {
        FunctionSpec {
            buckets: vec![self.signature.length_max],
            max_batch: self.config.max_batch,
            max_wait: self.config.max_wait.0,
            queue: self.config.queue,
            sharing: Sharing::AnyLength,
        }
    }
}
