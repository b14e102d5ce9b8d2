//! A result, as a Python object.

use crate::errors;
use crate::slot::Slot;
use crate::tensor::Tensor;
use gpumux_shim::Reply as Ended;
use pyo3::prelude::*;
use std::sync::Arc;

/// A result.
#[pyclass(module = "gpumux._gpumux", frozen)]
pub(crate) struct Reply {
    slot: Arc<Slot>,
    length: u32,
}

impl Reply {
    pub(crate) fn new(slot: Arc<Slot>, length: u32) -> Self {
        Self { slot, length }
    }

    fn look<T>(&self, look: impl FnOnce(&Ended) -> T) -> PyResult<T> {
        self.slot.reply(look).map_err(|error| errors::of_slot(&error))
    }
}

#[pymethods]
impl Reply {
    /// An output by its place in the signature.
    fn output(&self, index: usize) -> PyResult<Tensor> {
        let start = self.look(|reply| reply.output_at(index).map(<[u8]>::as_ptr))?;
        let start = start.map_err(|error| errors::no_output(&error))?;
        let spec = &self.slot.function.outputs()[index];
        // It is handed out for reading alone.
        Ok(Tensor::new(Arc::clone(&self.slot), spec, self.length, start.cast_mut(), false))
    }

    /// Seconds from being read by the worker until its batch began.
    fn queued(&self) -> PyResult<f64> {
        self.look(|reply| reply.queued().as_secs_f64())
    }

    /// Seconds from there until its batch ended.
    fn ran(&self) -> PyResult<f64> {
        self.look(|reply| reply.ran().as_secs_f64())
    }

    /// Requests in its batch.
    fn batch(&self) -> PyResult<u32> {
        self.look(Ended::batch)
    }
}
