//! `gpumux_function`: what a function takes and gives.

use crate::codes::{gpumux_code, gpumux_element};
use crate::entry::{borrow, check_out, enter, free, hand_out, write};
use crate::error::Failure;
use crate::options::{self, Versioned};
use crate::request::gpumux_request;
use gpumux_shim::{Dim, ElementType, Function, TensorSpec};
use std::ffi::{CString, c_char};

/// Dimensions that a tensor has at most.
pub const GPUMUX_RANK_MAX: usize = 6;

/// An open function. Any number of threads may use it at once; it is freed once, when no call uses
/// it. Requests that were made for it live on without it.
#[derive(Debug)]
pub struct gpumux_function {
    pub(crate) function: Function,
    inputs: Vec<CString>,
    outputs: Vec<CString>,
}

/// A tensor of one request.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct gpumux_tensor {
    /// sizeof(gpumux_tensor), set by the caller.
    pub struct_size: usize,
    /// The model's name for it; valid until the function is freed.
    pub name: *const c_char,
    /// Bytes that it takes.
    pub bytes: u64,
    /// The type of its elements, a gpumux_element.
    pub element: i32,
    /// Dimensions that it has.
    pub rank: u32,
    /// Its dimensions, outermost first; those beyond its rank are 0.
    pub dims: [u32; GPUMUX_RANK_MAX],
    /// A bit for each dimension, the lowest for the outermost: set where it is the request's length.
    pub varies: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: it is as the trait asks.
unsafe impl Versioned for gpumux_tensor {
    const FIRST: usize = 64;
    const NAME: &'static str = "gpumux_tensor";

    fn zero() -> Self {
        Self {
            struct_size: 0,
            name: std::ptr::null(),
            bytes: 0,
            element: 0,
            rank: 0,
            dims: [0; GPUMUX_RANK_MAX],
            varies: 0,
            reserved: 0,
        }
    }
}

fn element(element: ElementType) -> gpumux_element {
    match element {
        ElementType::U8 => gpumux_element::GPUMUX_ELEMENT_U8,
        ElementType::I32 => gpumux_element::GPUMUX_ELEMENT_I32,
        ElementType::I64 => gpumux_element::GPUMUX_ELEMENT_I64,
        ElementType::F32 => gpumux_element::GPUMUX_ELEMENT_F32,
        ElementType::Bool => gpumux_element::GPUMUX_ELEMENT_BOOL,
    }
}

impl gpumux_function {
    pub(crate) fn new(function: Function) -> Self {
        let names = |specs: &[TensorSpec]| {
            // A name with a zero in it is cut off there, as C would.
            let name = |spec: &TensorSpec| spec.name.split('\0').next().unwrap_or("").to_owned();
            specs.iter().map(|spec| CString::new(name(spec)).unwrap_or_default()).collect()
        };
        let (inputs, outputs) = (names(function.inputs()), names(function.outputs()));
        Self { function, inputs, outputs }
    }

    fn check_length(&self, length: u32) -> Result<(), Failure> {
        let max = self.function.signature().length_max;
        if (1..=max).contains(&length) {
            return Ok(());
        }
        let message = format!("length {length} is not between 1 and the function's limit of {max}");
        Err(Failure::new(gpumux_code::GPUMUX_ERROR_LENGTH, message))
    }

    /// A tensor of one side, as a request of `length` has it.
    fn describe(
        &self,
        side: (&[TensorSpec], &[CString], &str),
        index: usize,
        length: u32,
    ) -> Result<gpumux_tensor, Failure> {
        self.check_length(length)?;
        let (specs, names, what) = side;
        let (Some(spec), Some(name)) = (specs.get(index), names.get(index)) else {
            let message = format!("there is no {what} {index}: the function has {}", specs.len());
            return Err(Failure::new(gpumux_code::GPUMUX_ERROR_NO_TENSOR, message));
        };
        let mut tensor = gpumux_tensor::zero();
        tensor.name = name.as_ptr();
        // The daemon checked the signature at the longest length.
        tensor.bytes = spec.bytes(length).unwrap_or(u64::MAX);
        tensor.element = element(spec.element) as i32;
        for (place, dim) in spec.dims.iter().enumerate() {
            tensor.rank += 1;
            tensor.dims[place] = match dim {
                Dim::Fixed(size) => *size,
                Dim::Length => length,
            };
            tensor.varies |= u32::from(*dim == Dim::Length) << place;
        }
        Ok(tensor)
    }
}

/// Frees a function's handle; NULL is ignored. The function is closed when its requests, pending
/// requests, replies and readiness descriptors are freed too.
///
/// # Safety
/// `function` is NULL or was not freed before, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpumux_function_free(function: *mut gpumux_function) {
    // SAFETY: the caller's promise.
    unsafe { free(function) }
}

/// How many inputs the function takes, how many outputs it gives, and the longest length that it
/// serves, 1 where no dimension varies. Each place may be NULL.
///
/// # Safety
/// `function` is NULL or a function; the others are NULL or places for what they are named after.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpumux_function_signature(
    function: *const gpumux_function,
    inputs: *mut usize,
    outputs: *mut usize,
    length_max: *mut u32,
) -> gpumux_code {
    enter(|| {
        // SAFETY: the caller's promise.
        let function = unsafe { borrow(function, "function") }?;
        if !inputs.is_null() {
            // SAFETY: the caller's promise.
            unsafe { write(inputs, function.inputs.len(), "inputs") }?;
        }
        if !outputs.is_null() {
            // SAFETY: the caller's promise.
            unsafe { write(outputs, function.outputs.len(), "outputs") }?;
        }
        if !length_max.is_null() {
            let longest = function.function.signature().length_max;
            // SAFETY: the caller's promise.
            unsafe { write(length_max, longest, "length_max") }?;
        }
        Ok(())
    })
}

/// Describes an input as a request of `length` has it. Set `tensor->struct_size` before.
///
/// # Safety
/// `function` is NULL or a function; `tensor` is NULL or has the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpumux_function_input(
    function: *const gpumux_function,
    index: usize,
    length: u32,
    tensor: *mut gpumux_tensor,
) -> gpumux_code {
    enter(|| {
        // SAFETY: the caller's promise.
        let it = unsafe { borrow(function, "function") }?;
        let found = it.describe((it.function.inputs(), &it.inputs, "input"), index, length)?;
        // SAFETY: the caller's promise.
        unsafe { options::fill(tensor, &found, "tensor") }
    })
}

/// Describes an output as a request of `length` has it. Set `tensor->struct_size` before.
///
/// # Safety
/// `function` is NULL or a function; `tensor` is NULL or has the size that it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpumux_function_output(
    function: *const gpumux_function,
    index: usize,
    length: u32,
    tensor: *mut gpumux_tensor,
) -> gpumux_code {
    enter(|| {
        // SAFETY: the caller's promise.
        let it = unsafe { borrow(function, "function") }?;
        let found = it.describe((it.function.outputs(), &it.outputs, "output"), index, length)?;
        // SAFETY: the caller's promise.
        unsafe { options::fill(tensor, &found, "tensor") }
    })
}

/// Makes a request of `length`: its size along the model's variable dimension, 1 where none varies.
/// Free `*request` with gpumux_request_free.
///
/// # Safety
/// `function` is NULL or a function; `request` is a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpumux_request_new(
    function: *const gpumux_function,
    length: u32,
    request: *mut *mut gpumux_request,
) -> gpumux_code {
    enter(|| {
        check_out(request, "request")?;
        // SAFETY: the caller's promise.
        let function = unsafe { borrow(function, "function") }?;
        let made = gpumux_request(Some(function.function.request(length)?));
        // SAFETY: the caller's promise.
        unsafe { hand_out(request, made, "request") }
    })
}
