//! The functions of cublasLt that we call, and the numbers of its header that we pass.

use crate::error::{Code, Failed};
use crate::library::library_functions;
use cudarc::cublaslt::sys::{
    cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatmulPreference_t, cublasLtMatrixLayout_t,
};
use cudarc::driver::sys::CUstream;
use std::ffi::{c_int, c_void};

/// `cublasLtMatmulAlgo_t`: opaque, and of this size in every version.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Algorithm([u64; 8]);

/// `cublasLtMatmulHeuristicResult_t`, its status as a number.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Heuristic {
    pub(crate) algorithm: Algorithm,
    pub(crate) workspace_bytes: usize,
    pub(crate) state: u32,
    waves: f32,
    reserved: [c_int; 4],
}

const _: () = assert!(
    size_of::<Heuristic>() == size_of::<cudarc::cublaslt::sys::cublasLtMatmulHeuristicResult_t>()
);

impl Heuristic {
    /// Room for one answer.
    pub(crate) const EMPTY: Self = Self {
        algorithm: Algorithm([0; 8]),
        workspace_bytes: 0,
        state: 0,
        waves: 0.0,
        reserved: [0; 4],
    };
}

/// `CUBLAS_COMPUTE_32F`: f32 throughout, without TF32.
pub(crate) const COMPUTE_32F: u32 = 68;
/// `CUDA_R_32F`.
pub(crate) const TYPE_32F: u32 = 0;
/// `CUBLAS_OP_T`.
pub(crate) const TRANSPOSED: i32 = 1;
/// `CUBLASLT_EPILOGUE_BIAS`.
pub(crate) const EPILOGUE_BIAS: u32 = 4;
/// `CUBLAS_STATUS_NOT_SUPPORTED`: also what no algorithm is reported as.
pub(crate) const NOT_SUPPORTED: u32 = 15;

/// `cublasLtMatmulDescAttributes_t`.
#[derive(Clone, Copy)]
pub(crate) enum DescAttribute {
    TransposeA = 3,
    TransposeB = 4,
    Epilogue = 7,
    BiasPointer = 8,
    SmCountTarget = 15,
}

/// `cublasLtMatrixLayoutAttribute_t`.
#[derive(Clone, Copy)]
pub(crate) enum LayoutAttribute {
    BatchCount = 5,
    BatchStride = 6,
}

/// `cublasLtMatmulPreferenceAttributes_t`.
#[derive(Clone, Copy)]
pub(crate) enum PreferenceAttribute {
    WorkspaceBytesMax = 1,
    AlignmentA = 5,
    AlignmentB = 6,
    AlignmentC = 7,
    AlignmentD = 8,
}

library_functions! {
    /// The functions of cublasLt. `CUstream` is what its header calls `cudaStream_t`.
    struct LtApi {
        fn cublasLtCreate(*mut cublasLtHandle_t);
        fn cublasLtDestroy(cublasLtHandle_t);
        fn cublasLtMatmulDescCreate(*mut cublasLtMatmulDesc_t, u32, u32);
        fn cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t);
        fn cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t, u32, *const c_void, usize);
        fn cublasLtMatrixLayoutCreate(*mut cublasLtMatrixLayout_t, u32, u64, u64, i64);
        fn cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t);
        fn cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t, u32, *const c_void, usize);
        fn cublasLtMatmulPreferenceCreate(*mut cublasLtMatmulPreference_t);
        fn cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t);
        fn cublasLtMatmulPreferenceSetAttribute(
            cublasLtMatmulPreference_t, u32, *const c_void, usize,
        );
        fn cublasLtMatmulAlgoGetHeuristic(
            cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
            cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatmulPreference_t, c_int,
            *mut Heuristic, *mut c_int,
        );
        fn cublasLtMatmul(
            cublasLtHandle_t, cublasLtMatmulDesc_t, *const c_void, *const c_void,
            cublasLtMatrixLayout_t, *const c_void, cublasLtMatrixLayout_t, *const c_void,
            *const c_void, cublasLtMatrixLayout_t, *mut c_void, cublasLtMatrixLayout_t,
            *const Algorithm, *mut c_void, usize, CUstream,
        );
    }
}

/// Names what `call` answered (`cublasStatus_t`).
pub(crate) fn failed(call: &'static str, number: u32) -> Failed {
    let name = match number {
        1 => "CUBLAS_STATUS_NOT_INITIALIZED",
        3 => "CUBLAS_STATUS_ALLOC_FAILED",
        7 => "CUBLAS_STATUS_INVALID_VALUE",
        8 => "CUBLAS_STATUS_ARCH_MISMATCH",
        11 => "CUBLAS_STATUS_MAPPING_ERROR",
        13 => "CUBLAS_STATUS_EXECUTION_FAILED",
        14 => "CUBLAS_STATUS_INTERNAL_ERROR",
        15 => "CUBLAS_STATUS_NOT_SUPPORTED",
        16 => "CUBLAS_STATUS_LICENSE_ERROR",
        _ => "unnamed",
    };
    Failed { call, code: Code { number, name } }
}

/// Turns what `call` answered into a result.
pub(crate) fn check(call: &'static str, number: u32) -> Result<(), Failed> {
    match number {
        0 => Ok(()),
        number => Err(failed(call, number)),
    }
}
