//! `cublasStatus_t`, and what a driver's code becomes in it.

use crate::code::Code;
use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A `cublasStatus_t` as it crosses the ABI.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(u32);

impl Status {
    pub(crate) const SUCCESS: Status = Status(0);
    pub(crate) const NOT_INITIALIZED: Status = Status(1);
    pub(crate) const INVALID_VALUE: Status = Status(7);
    pub(crate) const EXECUTION_FAILED: Status = Status(13);
    pub(crate) const INTERNAL_ERROR: Status = Status(14);
    pub(crate) const NOT_SUPPORTED: Status = Status(15);

    /// Its name in the headers.
    pub(crate) fn name(self) -> &'static CStr {
        match self.0 {
            0 => c"CUBLAS_STATUS_SUCCESS",
            1 => c"CUBLAS_STATUS_NOT_INITIALIZED",
            3 => c"CUBLAS_STATUS_ALLOC_FAILED",
            7 => c"CUBLAS_STATUS_INVALID_VALUE",
            8 => c"CUBLAS_STATUS_ARCH_MISMATCH",
            11 => c"CUBLAS_STATUS_MAPPING_ERROR",
            13 => c"CUBLAS_STATUS_EXECUTION_FAILED",
            14 => c"CUBLAS_STATUS_INTERNAL_ERROR",
            15 => c"CUBLAS_STATUS_NOT_SUPPORTED",
            16 => c"CUBLAS_STATUS_LICENSE_ERROR",
            _ => c"CUBLAS_STATUS_UNKNOWN",
        }
    }
}

/// Runs the body of an exported function: no panic leaves it.
pub(super) fn edge(body: impl FnOnce() -> Result<(), Status>) -> Status {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => Status::SUCCESS,
        Ok(Err(status)) => status,
        Err(_) => Status::INTERNAL_ERROR,
    }
}

impl From<Code> for Status {
    fn from(code: Code) -> Self {
        match code {
            Code::NOT_INITIALIZED | Code::INVALID_CONTEXT | Code::NO_DEVICE => {
                Status::NOT_INITIALIZED
            }
            Code::INVALID_VALUE | Code::INVALID_HANDLE => Status::INVALID_VALUE,
            _ => Status::EXECUTION_FAILED,
        }
    }
}
