//! The ABI of cuBLAS's products of a matrix and a vector, which are products of matrices here: a
//! vector is a matrix of one column, whose rows lie as far apart as the vector's elements.

use super::epilogue::Epilogue;
use super::gemm::is_transposed;
use super::layout::{Layout, Matrix};
use super::library::Library;
use super::numeric::Numeric;
use super::product::Product;
use super::status::{Status, edge};
use crate::handle::Handle;
use std::ffi::{c_int, c_void};

/// A vector: its address and the elements from one to the next.
type Vector = (*const c_void, c_int);

fn column(numeric: Numeric, count: u64, (start, step): Vector) -> Result<Matrix, Status> {
    match step {
        0 => Err(Status::INVALID_VALUE),
        // Backwards from the end.
        ..0 => Err(Status::NOT_SUPPORTED),
        _ => {
            let layout = Layout { row_major: true, ..Layout::new(numeric, count, 1, step.into()) };
            layout.place(start.addr() as u64)
        }
    }
}

fn multiply(
    handle: Handle,
    numeric: Numeric,
    operation: u32,
    (m, n): (c_int, c_int),
    (a, leading): (*const c_void, c_int),
    [x, y]: [Vector; 2],
    (alpha, beta): (*const c_void, *const c_void),
) -> Status {
    edge(|| {
        let library = Library::of(handle)?;
        let side = |side: c_int| u64::try_from(side).map_err(|_| Status::INVALID_VALUE);
        let (m, n) = (side(m)?, side(n)?);
        let transposed = is_transposed(operation)?;
        let wide = numeric == Numeric::F64;
        let (alpha, beta) = (library.scalar(alpha, wide, 0)?, library.scalar(beta, wide, 0)?);
        if m == 0 || n == 0 {
            return Ok(());
        }
        let a = Layout::new(numeric, m, n, leading.into()).place(a.addr() as u64)?;
        let a = if transposed { a.transposed() } else { a };
        let (x, y) = (column(numeric, a.cols, x)?, column(numeric, a.rows, y)?);
        let sms_max = library.sms_max();
        let epilogue = Epilogue::from_number(1)?;
        let factors = Some((a, x));
        library.multiply(Product {
            factors,
            c: y,
            d: y,
            alpha,
            beta,
            epilogue,
            bias: None,
            sms_max,
        })
    })
}

/// Exports the product for one type.
macro_rules! gemv {
    ($name:ident, $real:ty, $numeric:expr) => {
        #[unsafe(no_mangle)]
        extern "C" fn $name(
            handle: Handle,
            operation: u32,
            m: c_int,
            n: c_int,
            alpha: *const $real,
            a: *const c_void,
            lda: c_int,
            x: *const c_void,
            x_step: c_int,
            beta: *const $real,
            y: *mut c_void,
            y_step: c_int,
        ) -> Status {
            let vectors = [(x, x_step), (y.cast_const(), y_step)];
            let factors = (alpha.cast(), beta.cast());
            multiply(handle, $numeric, operation, (m, n), (a, lda), vectors, factors)
        }
    };
}

gemv!(cublasSgemv_v2, f32, Numeric::F32);
gemv!(cublasDgemv_v2, f64, Numeric::F64);
