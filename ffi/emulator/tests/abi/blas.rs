//! cuBLAS through its ABI, against naive sums. cublasLt's tests try the product itself in every
//! shape; here it is what cuBLAS makes of its arguments.

use cudarc::cublas::sys::*;
use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr, DeviceRepr};
use half::bf16;
use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::sync::Arc;

use cublasOperation_t::*;
use cublasPointerMode_t::*;
use cublasStatus_t::*;
use cudaDataType_t::*;

/// Calls a library function and checks its status.
macro_rules! call {
    ($name:ident($($argument:expr),* $(,)?) is $status:expr) => {{
        // SAFETY: arguments of the right kinds; wrong values are what the test is about.
        let status = unsafe { $name($($argument),*) };
        assert_eq!(status, $status, stringify!($name));
    }};
    ($name:ident($($argument:expr),* $(,)?)) => {
        call!($name($($argument),*) is CUBLAS_STATUS_SUCCESS)
    };
}

fn open() -> (Arc<CudaStream>, cublasHandle_t) {
    let stream = CudaContext::new(0).unwrap().new_stream().unwrap();
    let mut handle = null_mut();
    call!(cublasCreate_v2(&mut handle));
    call!(cublasSetStream_v2(handle, stream.cu_stream().cast()));
    (stream, handle)
}

fn at<T: DeviceRepr>(slice: &CudaSlice<T>, stream: &CudaStream) -> *mut c_void {
    slice.device_ptr(stream).0 as *mut c_void
}

/// Small whole numbers, so that every type holds every sum.
fn numbers(count: usize, seed: usize) -> Vec<f64> {
    (0..count).map(|index| ((index * 7 + seed * 3) % 11) as f64 - 5.0).collect()
}

/// Element of a column-major matrix under an operation.
fn element(values: &[f64], leading: usize, transposed: bool, row: usize, col: usize) -> f64 {
    let (row, col) = if transposed { (col, row) } else { (row, col) };
    values[col * leading + row]
}

const M: usize = 33;
const N: usize = 5;
const K: usize = 70;
/// Elements from column to column, more than any matrix here has rows.
const LEADING: usize = 80;
const BATCH: usize = 2;
const STRIDE: usize = LEADING * 80;

/// alpha · op(A) · op(B) + beta · C for one matrix of the batch.
fn expected(a: &[f64], b: &[f64], c: &[f64], flips: [bool; 2], factors: [f64; 2]) -> Vec<f64> {
    let mut out = c.to_vec();
    for row in 0..M {
        for col in 0..N {
            let term =
                |i| element(a, LEADING, flips[0], row, i) * element(b, LEADING, flips[1], i, col);
            let sum: f64 = (0..K).map(term).sum();
            out[col * LEADING + row] = factors[0] * sum + factors[1] * c[col * LEADING + row];
        }
    }
    out
}

fn operation(flip: bool) -> cublasOperation_t {
    if flip { CUBLAS_OP_T } else { CUBLAS_OP_N }
}

/// Elements of a type that tests use.
trait Real: DeviceRepr + Copy {
    fn of(value: f64) -> Self;
    fn value(self) -> f64;
}

macro_rules! real {
    ($type:ty, $of:expr, $value:expr) => {
        impl Real for $type {
            fn of(value: f64) -> Self {
                $of(value)
            }
            fn value(self) -> f64 {
                $value(self)
            }
        }
    };
}

#[expect(clippy::cast_possible_truncation, reason = "the numbers are small and whole")]
fn narrow(value: f64) -> f32 {
    value as f32
}

real!(f32, narrow, f64::from);
real!(f64, |value| value, |value| value);
real!(bf16, bf16::from_f64, bf16::to_f64);

fn upload<T: Real>(stream: &Arc<CudaStream>, values: &[f64]) -> CudaSlice<T> {
    stream.clone_htod(&values.iter().map(|value| T::of(*value)).collect::<Vec<_>>()).unwrap()
}

fn download<T: Real>(stream: &Arc<CudaStream>, slice: &CudaSlice<T>) -> Vec<f64> {
    stream.clone_dtoh(slice).unwrap().into_iter().map(Real::value).collect()
}

/// Checks a strided batch of a type through `multiply`, in every combination of operations.
fn check<A: Real, C: Real>(
    multiply: impl Fn(cublasHandle_t, [cublasOperation_t; 2], [f64; 2], [*mut c_void; 3]),
) {
    let (stream, handle) = open();
    for flips in [[false, false], [true, false], [false, true], [true, true]] {
        let (a, b, c) =
            (numbers(STRIDE * BATCH, 1), numbers(STRIDE * BATCH, 2), numbers(STRIDE * BATCH, 3));
        let on = (upload::<A>(&stream, &a), upload::<A>(&stream, &b), upload::<C>(&stream, &c));
        let factors = [2.0, -1.0];
        let places = [at(&on.0, &stream), at(&on.1, &stream), at(&on.2, &stream)];
        multiply(handle, flips.map(operation), factors, places);
        let got = download(&stream, &on.2);
        for batch in 0..BATCH {
            let part = batch * STRIDE..(batch + 1) * STRIDE;
            let of = |values: &[f64]| values[part.clone()].to_vec();
            let expected = expected(&of(&a), &of(&b), &of(&c), flips, factors);
            assert_eq!(got[part], expected, "{flips:?}, matrix {batch}");
        }
    }
    call!(cublasDestroy_v2(handle));
}

/// The sizes as the ABI takes them.
const SIDES: [i32; 3] = [33, 5, 70];
const LD: i32 = 80;
const COUNT: i32 = 2;
const _: () = assert!(M == 33 && N == 5 && K == 70 && LEADING == 80 && BATCH == 2);

crate::child::in_child! {
    single_and_double_products_are_right("sms=4,memory=64MiB") {
        let (count, stride) = (COUNT, STRIDE as i64);
        check::<f32, f32>(|handle, [of_a, of_b], factors, [a, b, c]| {
            let [m, n, k] = SIDES;
            let [alpha, beta] = factors.map(narrow);
            call!(cublasSgemmStridedBatched(
                handle, of_a, of_b, m, n, k, &alpha, a.cast(), LD, stride, b.cast(), LD, stride,
                &beta, c.cast(), LD, stride, count
            ));
        });
        check::<f64, f64>(|handle, [of_a, of_b], [alpha, beta], [a, b, c]| {
            let [m, n, k] = SIDES;
            call!(cublasDgemmStridedBatched(
                handle, of_a, of_b, m, n, k, &alpha, a.cast(), LD, stride, b.cast(), LD, stride,
                &beta, c.cast(), LD, stride, count
            ));
        });
    }

    types_may_mix_as_the_manual_has_it("sms=4,memory=64MiB") {
        let (count, stride) = (COUNT, STRIDE as i64);
        let compute = cublasComputeType_t::CUBLAS_COMPUTE_32F;
        let algorithm = cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT;
        check::<bf16, f32>(|handle, [of_a, of_b], factors, [a, b, c]| {
            let [m, n, k] = SIDES;
            let [alpha, beta] = factors.map(narrow);
            call!(cublasGemmStridedBatchedEx(
                handle, of_a, of_b, m, n, k, (&raw const alpha).cast(), a, CUDA_R_16BF, LD, stride,
                b, CUDA_R_16BF, LD, stride, (&raw const beta).cast(), c, CUDA_R_32F, LD, stride,
                count, compute, algorithm
            ));
        });
        let (_stream, handle) = open();
        let one = 1.0_f32;
        let one = (&raw const one).cast();
        let none = null_mut();
        call!(cublasGemmEx(
            handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, one, none, CUDA_R_32F, 1, none, CUDA_R_16F,
            1, one, none, CUDA_R_32F, 1, compute, algorithm
        ) is CUBLAS_STATUS_NOT_SUPPORTED);
    }

    factors_may_lie_on_the_device("sms=4,memory=16MiB") {
        let (stream, handle) = open();
        call!(cublasSetPointerMode_v2(handle, CUBLAS_POINTER_MODE_DEVICE));
        let factors = stream.clone_htod(&[3.0_f64, 0.0]).unwrap();
        let (a, b) = (stream.clone_htod(&[2.0_f64]).unwrap(), stream.clone_htod(&[5.0_f64]).unwrap());
        // What beta makes nothing of is not read, so it may be no number.
        let c = stream.clone_htod(&[f64::NAN]).unwrap();
        let place = at(&factors, &stream).cast::<f64>();
        call!(cublasDgemm_v2(
            handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, place, at(&a, &stream).cast(), 1,
            at(&b, &stream).cast(), 1, place.wrapping_add(1), at(&c, &stream).cast(), 1
        ));
        assert_eq!(stream.clone_dtoh(&c).unwrap(), [30.0]);
    }

    a_product_of_no_terms_scales("sms=4,memory=16MiB") {
        let (stream, handle) = open();
        let c = stream.clone_htod(&[4.0_f32, 6.0]).unwrap();
        let (alpha, beta) = (1.0_f32, 0.5_f32);
        let place = at(&c, &stream).cast();
        call!(cublasSgemm_v2(
            handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 1, 0, &alpha, null(), 2, null(), 1, &beta, place, 2
        ));
        assert_eq!(stream.clone_dtoh(&c).unwrap(), [2.0, 3.0]);
        // And one of no elements does nothing at all.
        call!(cublasSgemm_v2(
            handle, CUBLAS_OP_N, CUBLAS_OP_N, 0, 1, 1, &alpha, null(), 2, null(), 1, &beta, place, 2
        ));
        call!(cublasSgemm_v2(
            handle, CUBLAS_OP_N, CUBLAS_OP_N, -1, 1, 1, &alpha, null(), 2, null(), 1, &beta, place, 2
        ) is CUBLAS_STATUS_INVALID_VALUE);
    }

    matrix_times_vector_takes_strides("sms=4,memory=16MiB") {
        let (stream, handle) = open();
        // 2 × 3, column after column.
        let a = stream.clone_htod(&[1.0_f64, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        let x = stream.clone_htod(&[1.0_f64, 0.0, 10.0, 0.0, 100.0]).unwrap();
        let y = stream.clone_htod(&[1.0_f64, 9.0, 9.0, 1.0, 9.0, 9.0, 1.0]).unwrap();
        let (alpha, beta) = (1.0_f64, 2.0_f64);
        let (a, x, place) = (at(&a, &stream).cast(), at(&x, &stream).cast(), at(&y, &stream).cast());
        call!(cublasDgemv_v2(handle, CUBLAS_OP_N, 2, 3, &alpha, a, 2, x, 2, &beta, place, 3));
        assert_eq!(stream.clone_dtoh(&y).unwrap(), [533.0, 9.0, 9.0, 644.0, 9.0, 9.0, 1.0]);
        call!(cublasDgemv_v2(handle, CUBLAS_OP_T, 2, 3, &alpha, a, 2, x, 2, &beta, place, 3));
        let expected = [1.0 + 20.0 + 1066.0, 9.0, 9.0, 3.0 + 40.0 + 1288.0, 9.0, 9.0, 5.0 + 60.0 + 2.0];
        assert_eq!(stream.clone_dtoh(&y).unwrap(), expected);
        call!(cublasDgemv_v2(handle, CUBLAS_OP_N, 2, 3, &alpha, a, 2, x, 0, &beta, place, 3)
            is CUBLAS_STATUS_INVALID_VALUE);
        call!(cublasDgemv_v2(handle, CUBLAS_OP_N, 2, 3, &alpha, a, 2, x, -1, &beta, place, 3)
            is CUBLAS_STATUS_NOT_SUPPORTED);
    }

    sums_go_to_the_host_or_the_device("sms=4,memory=16MiB") {
        let (stream, handle) = open();
        let x = stream.clone_htod(&[1.0_f32, -7.0, -2.0, 7.0, 4.0]).unwrap();
        let place = at(&x, &stream).cast::<f32>();
        let mut sum = 0.0;
        call!(cublasSasum_v2(handle, 3, place, 2, &mut sum));
        assert_eq!(sum, 7.0);
        call!(cublasSasum_v2(handle, 0, place, 1, &mut sum));
        assert_eq!(sum, 0.0);
        call!(cublasSetPointerMode_v2(handle, CUBLAS_POINTER_MODE_DEVICE));
        call!(cublasSasum_v2(handle, 5, place, 1, place));
        assert_eq!(stream.clone_dtoh(&x).unwrap()[0], 21.0);
    }

    groups_read_their_addresses_when_they_run("sms=4,memory=16MiB") {
        let (stream, handle) = open();
        let (a, b) = (numbers(64, 1), numbers(64, 2));
        let on = (upload::<bf16>(&stream, &a), upload::<bf16>(&stream, &b));
        let out: CudaSlice<bf16> = stream.alloc_zeros(12).unwrap();
        let base = [at(&on.0, &stream), at(&on.1, &stream), at(&out, &stream)].map(|at| at as u64);
        // Two products of 2 × 2 and one of 1 × 3 times 3 × 2, each in a place of its own.
        let mut arrays: CudaSlice<u64> = stream.alloc_zeros(9).unwrap();
        let addresses: Vec<u64> = [0, 8, 16, 0, 8, 16, 0, 4, 8]
            .iter()
            .zip([0, 0, 0, 1, 1, 1, 2, 2, 2])
            .map(|(offset, which)| base[which] + 2 * offset)
            .collect();
        stream.memcpy_htod(&addresses, &mut arrays).unwrap();
        let array = |which: usize| at(&arrays, &stream).cast::<*mut c_void>().wrapping_add(3 * which);
        let none = [CUBLAS_OP_N; 2];
        let (m, n, k, sizes) = ([2, 1], [2, 2], [2, 3], [2, 1]);
        let (alpha, beta) = ([1.0_f32, 2.0], [0.0_f32, 0.0]);
        call!(cublasGemmGroupedBatchedEx(
            handle, none.as_ptr(), none.as_ptr(), m.as_ptr(), n.as_ptr(), k.as_ptr(),
            alpha.as_ptr().cast(), array(0).cast(), CUDA_R_16BF, m.as_ptr(), array(1).cast(), CUDA_R_16BF,
            k.as_ptr(), beta.as_ptr().cast(), array(2), CUDA_R_16BF, m.as_ptr(), 2, sizes.as_ptr(),
            cublasComputeType_t::CUBLAS_COMPUTE_32F
        ));
        let got = download(&stream, &out);
        for (at, to, rows, inner, factor) in [(0, 0, 2, 2, 1.0), (8, 4, 2, 2, 1.0), (16, 8, 1, 3, 2.0)] {
            for row in 0..rows {
                for col in 0..2 {
                    let term = |i| a[at + i * rows + row] * b[at + col * inner + i];
                    let sum: f64 = factor * (0..inner).map(term).sum::<f64>();
                    assert_eq!(got[to + col * rows + row], sum, "({row}, {col}) of the one at {at}");
                }
            }
        }
    }

    what_a_handle_is_set_to_it_says("memory=16MiB") {
        let (_stream, handle) = open();
        let mut mode = CUBLAS_POINTER_MODE_DEVICE;
        call!(cublasGetPointerMode_v2(handle, &mut mode));
        assert_eq!(mode, CUBLAS_POINTER_MODE_HOST);
        let (mut version, mut got) = (0, null_mut());
        call!(cublasGetVersion_v2(handle, &mut version));
        assert_eq!(version, 130_300);
        call!(cublasGetStream_v2(handle, &mut got));
        assert!(!got.is_null());
        call!(cublasDestroy_v2(handle));
        call!(cublasDestroy_v2(handle) is CUBLAS_STATUS_NOT_INITIALIZED);
        call!(cublasSetStream_v2(handle, null_mut()) is CUBLAS_STATUS_NOT_INITIALIZED);
    }
}
