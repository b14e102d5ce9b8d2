//! A tensor of the arena as a Python buffer: numpy sees it where it lies.
//!
//! It shares the request's slot, so the memory is no other request's for as long as any view of it
//! lives, whatever became of the request meanwhile.

use crate::slot::Slot;
use gpumux_shim::{ElementType, TensorSpec};
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{CStr, c_int, c_long};
use std::ptr;
use std::sync::Arc;

/// The buffer protocol has no format of a fixed 64 bits: `l` is a C `long`.
const _: () = assert!(size_of::<c_long>() == 8);

/// A tensor in the arena.
#[pyclass(module = "gpumux._gpumux", frozen)]
pub(crate) struct Tensor {
    start: *mut u8,
    bytes: isize,
    element_bytes: isize,
    format: &'static CStr,
    /// As the buffer protocol wants it: elements by dimension. It stays where it is while views live.
    shape: Box<[isize]>,
    /// Likewise: bytes from one element to the next.
    strides: Box<[isize]>,
    writable: bool,
    /// Keeps the memory this tensor's.
    _slot: Arc<Slot>,
}

// SAFETY: the pointer is into shared memory that is mapped for as long as `_slot` lives, and is only
// handed to Python, whose views are bound to no thread.
unsafe impl Send for Tensor {}
// SAFETY: nothing in it changes after it is made, and it never reads or writes through the pointer.
unsafe impl Sync for Tensor {}

impl Tensor {
    /// Wraps the memory of one tensor, which lies at `start` and is `slot`'s.
    pub(crate) fn new(
        slot: Arc<Slot>,
        spec: &TensorSpec,
        length: u32,
        start: *mut u8,
        writable: bool,
    ) -> Self {
        let element_bytes = signed(spec.element.bytes());
        let dims = spec.dims_at(length);
        let shape: Box<[isize]> =
            dims[..spec.dims.len()].iter().map(|dim| signed(u64::from(*dim))).collect();
        let mut strides = vec![element_bytes; shape.len()].into_boxed_slice();
        for index in (1..shape.len()).rev() {
            strides[index - 1] = strides[index] * shape[index];
        }
        let bytes = element_bytes * shape.iter().product::<isize>();
        let format = format(spec.element);
        Self { start, bytes, element_bytes, format, shape, strides, writable, _slot: slot }
    }
}

#[pymethods]
impl Tensor {
    /// Fills `view`.
    ///
    /// # Safety
    /// As of `bf_getbuffer`: Python gives a `Py_buffer` of its own.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("there is no view to fill"));
        }
        let tensor = slf.get();
        let asks = |flag: c_int| flags & flag == flag;
        if asks(ffi::PyBUF_WRITABLE) && !tensor.writable {
            return Err(PyBufferError::new_err("an output is read, not written"));
        }
        let filled = ffi::Py_buffer {
            buf: tensor.start.cast(),
            // Python lets go of it when the view is released; until then the arrays stay in place.
            obj: slf.clone().into_any().into_ptr(),
            len: tensor.bytes,
            itemsize: tensor.element_bytes,
            readonly: c_int::from(!tensor.writable),
            ndim: c_int::try_from(tensor.shape.len()).expect("a slot has few dimensions"),
            format: match asks(ffi::PyBUF_FORMAT) {
                true => tensor.format.as_ptr().cast_mut(),
                false => ptr::null_mut(),
            },
            shape: match asks(ffi::PyBUF_ND) {
                true => tensor.shape.as_ptr().cast_mut(),
                false => ptr::null_mut(),
            },
            strides: match asks(ffi::PyBUF_STRIDES) {
                true => tensor.strides.as_ptr().cast_mut(),
                false => ptr::null_mut(),
            },
            suboffsets: ptr::null_mut(),
            internal: ptr::null_mut(),
        };
        // SAFETY: `view` is not null, and Python's for us to fill.
        unsafe { view.write(filled) };
        Ok(())
    }
}

/// The buffer protocol's word for an element type.
fn format(element: ElementType) -> &'static CStr {
    match element {
        ElementType::U8 => c"B",
        ElementType::I32 => c"i",
        ElementType::I64 => c"l",
        ElementType::F32 => c"f",
        ElementType::Bool => c"?",
    }
}

fn signed(size: u64) -> isize {
    isize::try_from(size).expect("a tensor fits a mapped arena")
}
