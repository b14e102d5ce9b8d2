//! An open function, as a Python object.

use crate::bell::Bell;
use crate::errors;
use crate::request::Request;
use crate::room::Room;
use crate::session::seconds;
use crate::slot::Slot;
use gpumux_shim::{Dim, SubmitError, TensorSpec};
use pyo3::prelude::*;
use std::sync::Arc;

/// A tensor of a signature: name, element type, dimensions, `None` for the request's length.
type Spec = (String, String, Vec<Option<u32>>);

/// An open function.
#[pyclass(module = "gpumux._gpumux", frozen)]
pub(crate) struct Function {
    function: gpumux_shim::Function,
    room: Arc<Room>,
}

impl Function {
    pub(crate) fn new(function: gpumux_shim::Function) -> Self {
        Self { function, room: Arc::new(Room::new()) }
    }

    fn reserve(&self, length: u32) -> Result<gpumux_shim::Request, SubmitError> {
        match self.function.request(length) {
            Err(SubmitError::SlotsFull { .. } | SubmitError::ArenaFull { .. }) => {
                self.room.reap();
                self.function.request(length)
            }
            other => other,
        }
    }
}

#[pymethods]
impl Function {
    fn inputs(&self) -> Vec<Spec> {
        self.function.inputs().iter().map(spec).collect()
    }

    fn outputs(&self) -> Vec<Spec> {
        self.function.outputs().iter().map(spec).collect()
    }

    fn length_max(&self) -> u32 {
        self.function.signature().length_max
    }

    /// Takes a slot. One that is `passing` is given back by the call that takes it.
    fn request(&self, length: u32, passing: bool) -> PyResult<Request> {
        let request = self.reserve(length).map_err(|error| errors::not_submitted(&error))?;
        let slot = Slot::new(self.function.clone(), Arc::clone(&self.room), request, passing);
        Ok(Request::new(slot, length))
    }

    /// The epoch, and whether a slot will be given back whatever the caller does.
    fn room(&self) -> (u64, bool) {
        let look = self.room.look();
        (look.epoch, look.will_free)
    }

    /// Waits until the epoch is another, for at most so many seconds.
    fn await_room(&self, py: Python<'_>, epoch: u64, timeout: f64) -> PyResult<()> {
        let span = seconds("timeout", timeout)?;
        py.detach(|| self.room.wait(epoch, span));
        py.check_signals()
    }

    /// Rings `bell` with `token` when the epoch moves on. Says whether it has not yet.
    fn watch_room(&self, epoch: u64, bell: &Bell, token: u64) -> bool {
        self.room.watch(epoch, bell.waker(token))
    }
}

fn spec(spec: &TensorSpec) -> Spec {
    let dims = spec.dims.iter().map(|dim| match dim {
        Dim::Fixed(size) => Some(*size),
        Dim::Length => None,
    });
    (spec.name.clone(), spec.element.to_string(), dims.collect())
}
