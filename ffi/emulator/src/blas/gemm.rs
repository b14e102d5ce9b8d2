//! The ABI of cuBLAS's products of two matrices.

use super::epilogue::Epilogue;
use super::layout::{Layout, Matrix};
use super::library::Library;
use super::numeric::Numeric;
use super::product::Product;
use super::status::{Status, edge};
use crate::handle::Handle;
use std::ffi::{c_int, c_longlong, c_void};

/// One matrix as the ABI names it.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    /// Its address.
    pub(super) start: u64,
    /// `cudaDataType_t`.
    pub(super) kind: u32,
    /// Elements from column to column.
    pub(super) leading: c_int,
    /// Elements from one matrix to the next.
    pub(super) stride: c_longlong,
}

impl Operand {
    /// A single matrix.
    pub(super) fn new(start: *const c_void, kind: u32, leading: c_int) -> Self {
        Self { start: start.addr() as u64, kind, leading, stride: 0 }
    }

    fn place(self, rows: u64, cols: u64, batch: u32) -> Result<Matrix, Status> {
        let numeric = Numeric::from_number(self.kind)?;
        let layout = Layout {
            batch,
            batch_stride: self.stride,
            ..Layout::new(numeric, rows, cols, self.leading.into())
        };
        layout.place(self.start)
    }

    /// As a factor, transposed where its operation says so.
    fn factor(
        self,
        operation: u32,
        (rows, cols): (u64, u64),
        batch: u32,
    ) -> Result<Matrix, Status> {
        Ok(match is_transposed(operation)? {
            false => self.place(rows, cols, batch)?,
            true => self.place(cols, rows, batch)?.transposed(),
        })
    }
}

/// `cublasOperation_t`. The conjugate of a real matrix is itself.
pub(super) fn is_transposed(operation: u32) -> Result<bool, Status> {
    match operation {
        0 => Ok(false),
        1 | 2 => Ok(true),
        _ => Err(Status::INVALID_VALUE),
    }
}

/// The sides of a product and how many there are.
#[derive(Clone, Copy)]
pub(super) struct Sides {
    /// M, N and K.
    pub(super) mnk: [c_int; 3],
    /// Products in the batch.
    pub(super) batch: c_int,
    /// What happens to A and to B.
    pub(super) operations: [u32; 2],
}

/// `CUDA_R_32F` and `CUDA_R_64F`.
pub(super) const R_32F: u32 = 0;
pub(super) const R_64F: u32 = 1;
/// `CUBLAS_COMPUTE_32F` and its variants, all of which are computed in full precision.
const COMPUTE_F32: [u32; 5] = [68, 69, 74, 75, 77];
/// `CUBLAS_COMPUTE_64F` and its pedantic variant.
const COMPUTE_F64: [u32; 2] = [70, 71];

/// Whether sums are in `f64`, if the types are a row of the manual's table that is offered.
pub(super) fn is_wide(compute: u32, [a, b, c]: [u32; 3]) -> Result<bool, Status> {
    let [a, b, c] = [Numeric::from_number(a)?, Numeric::from_number(b)?, Numeric::from_number(c)?];
    let like_a = a == b && c == a;
    let narrow = COMPUTE_F32.contains(&compute)
        && a != Numeric::F64
        && (like_a || (a == b && c == Numeric::F32));
    let wide = COMPUTE_F64.contains(&compute) && like_a && a == Numeric::F64;
    if narrow || wide { Ok(wide) } else { Err(Status::NOT_SUPPORTED) }
}

/// The product of operands, with factors that are not yet known; `None` where it has no element.
pub(super) fn product(
    sides: Sides,
    [a, b, c]: [Operand; 3],
    factors: (super::product::Scalar, super::product::Scalar),
    sms_max: usize,
) -> Result<Option<Product>, Status> {
    let side = |side: c_int| u64::try_from(side).map_err(|_| Status::INVALID_VALUE);
    let [m, n, k] = sides.mnk;
    let (m, n, k) = (side(m)?, side(n)?, side(k)?);
    let batch = u32::try_from(sides.batch).map_err(|_| Status::INVALID_VALUE)?;
    let [of_a, of_b] = sides.operations;
    is_transposed(of_a)?;
    is_transposed(of_b)?;
    if m == 0 || n == 0 || batch == 0 {
        return Ok(None);
    }
    let pair = if k == 0 {
        None
    } else {
        Some((a.factor(of_a, (m, k), batch)?, b.factor(of_b, (k, n), batch)?))
    };
    let c = c.place(m, n, batch)?;
    let (alpha, beta) = factors;
    // The number of the default: no epilogue.
    let epilogue = Epilogue::from_number(1)?;
    Ok(Some(Product { factors: pair, c, d: c, alpha, beta, epilogue, bias: None, sms_max }))
}

fn multiply(
    handle: Handle,
    sides: Sides,
    compute: u32,
    operands: [Operand; 3],
    (alpha, beta): (*const c_void, *const c_void),
) -> Status {
    edge(|| {
        let library = Library::of(handle)?;
        let wide = is_wide(compute, operands.map(|operand| operand.kind))?;
        let factors = (library.scalar(alpha, wide, 0)?, library.scalar(beta, wide, 0)?);
        match product(sides, operands, factors, library.sms_max())? {
            Some(product) => library.multiply(product),
            None => Ok(()),
        }
    })
}

/// Exports a product of matrices of one type, and that of many that lie evenly apart.
macro_rules! gemm {
    ($name:ident, $strided:ident, $real:ty, $kind:expr, $compute:expr) => {
        #[unsafe(no_mangle)]
        extern "C" fn $name(
            handle: Handle,
            of_a: u32,
            of_b: u32,
            m: c_int,
            n: c_int,
            k: c_int,
            alpha: *const $real,
            a: *const c_void,
            lda: c_int,
            b: *const c_void,
            ldb: c_int,
            beta: *const $real,
            c: *mut c_void,
            ldc: c_int,
        ) -> Status {
            let sides = Sides { mnk: [m, n, k], batch: 1, operations: [of_a, of_b] };
            let operands = [
                Operand::new(a, $kind, lda),
                Operand::new(b, $kind, ldb),
                Operand::new(c, $kind, ldc),
            ];
            multiply(handle, sides, $compute, operands, (alpha.cast(), beta.cast()))
        }

        #[unsafe(no_mangle)]
        extern "C" fn $strided(
            handle: Handle,
            of_a: u32,
            of_b: u32,
            m: c_int,
            n: c_int,
            k: c_int,
            alpha: *const $real,
            a: *const c_void,
            lda: c_int,
            stride_a: c_longlong,
            b: *const c_void,
            ldb: c_int,
            stride_b: c_longlong,
            beta: *const $real,
            c: *mut c_void,
            ldc: c_int,
            stride_c: c_longlong,
            batch: c_int,
        ) -> Status {
            let sides = Sides { mnk: [m, n, k], batch, operations: [of_a, of_b] };
            let operands = [
                Operand { stride: stride_a, ..Operand::new(a, $kind, lda) },
                Operand { stride: stride_b, ..Operand::new(b, $kind, ldb) },
                Operand { stride: stride_c, ..Operand::new(c, $kind, ldc) },
            ];
            multiply(handle, sides, $compute, operands, (alpha.cast(), beta.cast()))
        }
    };
}

gemm!(cublasSgemm_v2, cublasSgemmStridedBatched, f32, R_32F, COMPUTE_F32[0]);
gemm!(cublasDgemm_v2, cublasDgemmStridedBatched, f64, R_64F, COMPUTE_F64[0]);

/// `cublasGemmAlgo_t`: all are the one algorithm that there is.
fn check_algorithm(algorithm: c_int) -> Result<(), Status> {
    match algorithm {
        -1..=23 | 99..=115 => Ok(()),
        _ => Err(Status::INVALID_VALUE),
    }
}

#[unsafe(no_mangle)]
extern "C" fn cublasGemmEx(
    handle: Handle,
    of_a: u32,
    of_b: u32,
    m: c_int,
    n: c_int,
    k: c_int,
    alpha: *const c_void,
    a: *const c_void,
    a_kind: u32,
    lda: c_int,
    b: *const c_void,
    b_kind: u32,
    ldb: c_int,
    beta: *const c_void,
    c: *mut c_void,
    c_kind: u32,
    ldc: c_int,
    compute: u32,
    algorithm: c_int,
) -> Status {
    if let Err(status) = check_algorithm(algorithm) {
        return status;
    }
    let sides = Sides { mnk: [m, n, k], batch: 1, operations: [of_a, of_b] };
    let operands =
        [Operand::new(a, a_kind, lda), Operand::new(b, b_kind, ldb), Operand::new(c, c_kind, ldc)];
    multiply(handle, sides, compute, operands, (alpha, beta))
}

#[unsafe(no_mangle)]
extern "C" fn cublasGemmStridedBatchedEx(
    handle: Handle,
    of_a: u32,
    of_b: u32,
    m: c_int,
    n: c_int,
    k: c_int,
    alpha: *const c_void,
    a: *const c_void,
    a_kind: u32,
    lda: c_int,
    stride_a: c_longlong,
    b: *const c_void,
    b_kind: u32,
    ldb: c_int,
    stride_b: c_longlong,
    beta: *const c_void,
    c: *mut c_void,
    c_kind: u32,
    ldc: c_int,
    stride_c: c_longlong,
    batch: c_int,
    compute: u32,
    algorithm: c_int,
) -> Status {
    if let Err(status) = check_algorithm(algorithm) {
        return status;
    }
    let sides = Sides { mnk: [m, n, k], batch, operations: [of_a, of_b] };
    let operands = [
        Operand { stride: stride_a, ..Operand::new(a, a_kind, lda) },
        Operand { stride: stride_b, ..Operand::new(b, b_kind, ldb) },
        Operand { stride: stride_c, ..Operand::new(c, c_kind, ldc) },
    ];
    multiply(handle, sides, compute, operands, (alpha, beta))
}
