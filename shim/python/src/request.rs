//! A request that is being filled, as a Python object.

use crate::errors;
use crate::pending::Pending;
use crate::session::seconds;
use crate::slot::Slot;
use crate::tensor::Tensor;
use gpumux_shim::SubmitOptions;
use pyo3::prelude::*;
use std::sync::Arc;

/// A request that is being filled.
#[pyclass(module = "gpumux._gpumux", frozen)]
pub(crate) struct Request {
    slot: Arc<Slot>,
    length: u32,
}

impl Request {
    pub(crate) fn new(slot: Slot, length: u32) -> Self {
        Self { slot: Arc::new(slot), length }
    }
}

#[pymethods]
impl Request {
    /// An input by its place in the signature. It counts as written from now on.
    fn input(&self, index: usize) -> PyResult<Tensor> {
        let start = self.slot.input(index).map_err(|error| errors::of_slot(&error))?;
        let spec = &self.slot.function.inputs()[index];
        Ok(Tensor::new(Arc::clone(&self.slot), spec, self.length, start, true))
    }

    /// Hands it to the worker.
    fn submit(&self, budget: Option<f64>) -> PyResult<Pending> {
        let budget = budget.map(|budget| seconds("budget", budget)).transpose()?;
        self.slot.submit(SubmitOptions { budget }).map_err(|error| errors::of_slot(&error))?;
        Ok(Pending::new(Arc::clone(&self.slot), self.length))
    }
}
