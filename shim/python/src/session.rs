//! A session as a Python object.

use crate::errors;
use crate::function::Function;
use gpumux_shim::{ChannelSize, SessionOptions};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::path::PathBuf;
use std::time::Duration;

/// A connection to the daemon.
#[pyclass(module = "gpumux._gpumux", frozen)]
pub(crate) struct Session(gpumux_shim::Session);

#[pymethods]
impl Session {
    /// Connects to the daemon's socket and greets it.
    #[new]
    fn connect(py: Python<'_>, path: PathBuf, reconnect_for: f64) -> PyResult<Self> {
        let reconnect_for = seconds("reconnect_for", reconnect_for)?;
        let connected = py
            .detach(|| gpumux_shim::Session::connect_with(path, SessionOptions { reconnect_for }));
        Ok(Self(connected.map_err(|error| errors::not_connected(&error))?))
    }

    /// Opens a function.
    fn open(&self, py: Python<'_>, name: &str, slots: u32, arena_bytes: u64) -> PyResult<Function> {
        let opened = py.detach(|| self.0.open(name, ChannelSize { slots, arena_bytes }));
        Ok(Function::new(opened.map_err(|error| errors::not_opened(&error))?))
    }
}

/// A span that the caller gave in seconds.
pub(crate) fn seconds(name: &str, span: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(span)
        .map_err(|error| PyValueError::new_err(format!("{name}={span} is no time: {error}")))
}
