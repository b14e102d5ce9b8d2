//! The native part of the Python package `gpumux`.

use pyo3::prelude::*;

/// The native part of `gpumux`.
#[pymodule]
mod _gpumux {}
