//! The native part of the Python package `gpumux`: the shim's handles as Python objects.
//!
//! It knows nothing of numpy, of event loops or of what is convenient; the Python part does. What it
//! adds to the shim is what Python needs and Rust does not: tensors as buffers that keep their slot
//! alive, waits that let other Python threads run and end with Ctrl-C, and a wake-up that an event
//! loop can watch.

mod bell;
mod errors;
mod function;
mod pending;
mod reply;
mod request;
mod room;
mod session;
mod slot;
mod tensor;

use pyo3::prelude::*;

/// The native part of `gpumux`.
#[pymodule]
mod _gpumux {
    #[pymodule_export]
    use crate::bell::Bell;
    #[pymodule_export]
    use crate::function::Function;
    #[pymodule_export]
    use crate::pending::Pending;
    #[pymodule_export]
    use crate::reply::Reply;
    #[pymodule_export]
    use crate::request::Request;
    #[pymodule_export]
    use crate::session::Session;
    #[pymodule_export]
    use crate::tensor::Tensor;
}
