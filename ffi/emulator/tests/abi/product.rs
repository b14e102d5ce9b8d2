//! cublasLt through its ABI, against a naive product in double precision.

use cudarc::cublaslt::sys::*;
use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr};
use half::{bf16, f16};
use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::sync::Arc;

use cublasStatus_t::*;

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

/// One matrix: how it lies, and its elements.
#[derive(Clone)]
struct Matrix {
    rows: usize,
    cols: usize,
    leading: usize,
    row_major: bool,
    batch_stride: usize,
    values: Vec<f32>,
}

impl Matrix {
    fn new(
        seed: &mut u64,
        rows: usize,
        cols: usize,
        row_major: bool,
        pad: usize,
        batch: usize,
    ) -> Self {
        let (run, runs) = if row_major { (cols, rows) } else { (rows, cols) };
        let leading = run + pad;
        let batch_stride = leading * runs;
        let values = (0..batch_stride * batch).map(|_| random(seed)).collect();
        Self { rows, cols, leading, row_major, batch_stride, values }
    }

    fn index(&self, batch: usize, row: usize, col: usize) -> usize {
        let (major, minor) = if self.row_major { (row, col) } else { (col, row) };
        batch * self.batch_stride + major * self.leading + minor
    }

    fn at(&self, batch: usize, row: usize, col: usize, transposed: bool) -> f64 {
        let (row, col) = if transposed { (col, row) } else { (row, col) };
        f64::from(self.values[self.index(batch, row, col)])
    }

    fn layout(&self, kind: cudaDataType, batch: i32) -> cublasLtMatrixLayout_t {
        let mut layout = null_mut();
        let (rows, cols) = (self.rows as u64, self.cols as u64);
        call!(cublasLtMatrixLayoutCreate(&mut layout, kind, rows, cols, self.leading as i64));
        let order = i32::from(self.row_major);
        use cublasLtMatrixLayoutAttribute_t as A;
        set_layout(layout, A::CUBLASLT_MATRIX_LAYOUT_ORDER, &order);
        set_layout(layout, A::CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch);
        let stride = self.batch_stride as i64;
        set_layout(layout, A::CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride);
        layout
    }
}

fn set_layout<T>(
    layout: cublasLtMatrixLayout_t,
    attribute: cublasLtMatrixLayoutAttribute_t,
    value: &T,
) {
    let pointer: *const T = value;
    call!(cublasLtMatrixLayoutSetAttribute(layout, attribute, pointer.cast(), size_of::<T>()));
}

fn set<T>(descriptor: cublasLtMatmulDesc_t, attribute: cublasLtMatmulDescAttributes_t, value: &T) {
    let pointer: *const T = value;
    call!(cublasLtMatmulDescSetAttribute(descriptor, attribute, pointer.cast(), size_of::<T>()));
}

/// A number in -1..1 that is exact in all three types; the generator is SplitMix64's step.
fn random(seed: &mut u64) -> f32 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) % 129) as f32 / 64.0 - 1.0
}

/// What a product is made of.
struct Case {
    shape: [usize; 3],
    transpose: [bool; 2],
    row_major: [bool; 3],
    pad: usize,
    batch: usize,
    factors: [f32; 2],
    epilogue: cublasLtEpilogue_t,
    sm_count: i32,
}

const PLAIN: Case = Case {
    shape: [33, 47, 21],
    transpose: [false; 2],
    row_major: [false; 3],
    pad: 0,
    batch: 1,
    factors: [1.0, 0.0],
    epilogue: cublasLtEpilogue_t::CUBLASLT_EPILOGUE_DEFAULT,
    sm_count: 0,
};

/// The device side of one element type.
trait Element: cudarc::driver::DeviceRepr + Copy {
    const KIND: cudaDataType;
    /// How far a result may be from the exact one, relative to its size.
    const PRECISION: f64;
    fn from(value: f32) -> Self;
    fn value(self) -> f64;
}

impl Element for f32 {
    const KIND: cudaDataType = cudaDataType_t::CUDA_R_32F;
    const PRECISION: f64 = 1e-5;
    fn from(value: f32) -> Self {
        value
    }
    fn value(self) -> f64 {
        f64::from(self)
    }
}

impl Element for f16 {
    const KIND: cudaDataType = cudaDataType_t::CUDA_R_16F;
    const PRECISION: f64 = 1.0 / 1024.0;
    fn from(value: f32) -> Self {
        f16::from_f32(value)
    }
    fn value(self) -> f64 {
        self.to_f64()
    }
}

impl Element for bf16 {
    const KIND: cudaDataType = cudaDataType_t::CUDA_R_16BF;
    const PRECISION: f64 = 1.0 / 128.0;
    fn from(value: f32) -> Self {
        bf16::from_f32(value)
    }
    fn value(self) -> f64 {
        self.to_f64()
    }
}

fn upload<T: Element>(stream: &Arc<CudaStream>, values: &[f32]) -> CudaSlice<T> {
    let values: Vec<T> = values.iter().map(|value| T::from(*value)).collect();
    stream.clone_htod(&values).unwrap()
}

fn address<T>(slice: &CudaSlice<T>, stream: &CudaStream) -> u64 {
    slice.device_ptr(stream).0
}

/// Runs a case on the device and compares it with the naive product.
fn check<T: Element>(case: &Case, seed: u64) {
    eprintln!("seed {seed}, shape {:?}, batch {}", case.shape, case.batch);
    let mut seed = seed;
    let [m, n, k] = case.shape;
    let side = |rows, cols, transposed| if transposed { (cols, rows) } else { (rows, cols) };
    let (a_rows, a_cols) = side(m, k, case.transpose[0]);
    let (b_rows, b_cols) = side(k, n, case.transpose[1]);
    let a = Matrix::new(&mut seed, a_rows, a_cols, case.row_major[0], case.pad, case.batch);
    let b = Matrix::new(&mut seed, b_rows, b_cols, case.row_major[1], case.pad, case.batch);
    let c = Matrix::new(&mut seed, m, n, case.row_major[2], case.pad, case.batch);
    let bias: Vec<f32> = (0..m).map(|_| random(&mut seed)).collect();

    let context = CudaContext::new(0).unwrap();
    let stream = context.new_stream().unwrap();
    let [on_a, on_b, on_c] = [&a, &b, &c].map(|matrix| upload::<T>(&stream, &matrix.values));
    let on_bias = upload::<T>(&stream, &bias);
    let (mut library, mut descriptor) = (null_mut(), null_mut());
    call!(cublasLtCreate(&mut library));
    let compute = cublasComputeType_t::CUBLAS_COMPUTE_32F;
    call!(cublasLtMatmulDescCreate(&mut descriptor, compute, cudaDataType_t::CUDA_R_32F));
    use cublasLtMatmulDescAttributes_t as A;
    set(descriptor, A::CUBLASLT_MATMUL_DESC_TRANSA, &i32::from(case.transpose[0]));
    set(descriptor, A::CUBLASLT_MATMUL_DESC_TRANSB, &i32::from(case.transpose[1]));
    set(descriptor, A::CUBLASLT_MATMUL_DESC_EPILOGUE, &case.epilogue);
    set(descriptor, A::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &address(&on_bias, &stream));
    set(descriptor, A::CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, &case.sm_count);
    let batch = i32::try_from(case.batch).unwrap();
    let [la, lb, lc] = [&a, &b, &c].map(|matrix| matrix.layout(T::KIND, batch));
    let algorithm = algorithm(library, descriptor, [la, lb, lc]);
    let at = |slice| address(slice, &stream) as *mut c_void;
    let [alpha, beta] = &case.factors;
    let (alpha, beta): (*const f32, *const f32) = (alpha, beta);
    call!(cublasLtMatmul(
        library,
        descriptor,
        alpha.cast(),
        at(&on_a),
        la,
        at(&on_b),
        lb,
        beta.cast(),
        at(&on_c),
        lc,
        at(&on_c),
        lc,
        &algorithm,
        null_mut(),
        0,
        stream.cu_stream().cast()
    ));
    let got = stream.clone_dtoh(&on_c).unwrap();

    for batch in 0..case.batch {
        for row in 0..m {
            for col in 0..n {
                let sum: f64 = (0..k)
                    .map(|i| {
                        a.at(batch, row, i, case.transpose[0])
                            * b.at(batch, i, col, case.transpose[1])
                    })
                    .sum();
                let [alpha, beta] = case.factors.map(f64::from);
                let before = alpha * sum + beta * c.at(batch, row, col, false);
                let expected = finish(case.epilogue, before, f64::from(bias[row]));
                let got = got[c.index(batch, row, col)].value();
                let bound = T::PRECISION * expected.abs().max(1.0);
                assert!(
                    (got - expected).abs() <= bound,
                    "({batch}, {row}, {col}): {got}, not {expected}"
                );
            }
        }
    }
    // What lies between the columns is nobody's to write.
    let mut inside = vec![false; got.len()];
    for batch in 0..case.batch {
        (0..m).for_each(|row| (0..n).for_each(|col| inside[c.index(batch, row, col)] = true));
    }
    for (index, _) in inside.iter().enumerate().filter(|(_, inside)| !**inside) {
        assert_eq!(got[index].value(), T::from(c.values[index]).value(), "padding at {index}");
    }
    call!(cublasLtDestroy(library));
}

fn algorithm(
    library: cublasLtHandle_t,
    descriptor: cublasLtMatmulDesc_t,
    [a, b, c]: [cublasLtMatrixLayout_t; 3],
) -> cublasLtMatmulAlgo_t {
    let (mut preference, mut found) = (null_mut(), 0);
    call!(cublasLtMatmulPreferenceCreate(&mut preference));
    let mut results = [std::mem::MaybeUninit::<cublasLtMatmulHeuristicResult_t>::zeroed(); 2];
    call!(cublasLtMatmulAlgoGetHeuristic(
        library,
        descriptor,
        a,
        b,
        c,
        c,
        preference,
        2,
        results.as_mut_ptr().cast(),
        &mut found
    ));
    assert_eq!(found, 1);
    call!(cublasLtMatmulPreferenceDestroy(preference));
    // SAFETY: one result was written, as `found` says.
    unsafe { results[0].assume_init() }.algo
}

fn finish(epilogue: cublasLtEpilogue_t, x: f64, bias: f64) -> f64 {
    use cublasLtEpilogue_t::*;
    let gelu = |x: f64| {
        0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh())
    };
    match epilogue {
        CUBLASLT_EPILOGUE_DEFAULT => x,
        CUBLASLT_EPILOGUE_BIAS => x + bias,
        CUBLASLT_EPILOGUE_RELU => x.max(0.0),
        CUBLASLT_EPILOGUE_RELU_BIAS => (x + bias).max(0.0),
        CUBLASLT_EPILOGUE_GELU => gelu(x),
        CUBLASLT_EPILOGUE_GELU_BIAS => gelu(x + bias),
        other => panic!("{other:?} is not tested"),
    }
}

/// Enqueues a product of many tiles on a stream of the current context.
pub(crate) fn multiply_on(stream: crate::calls::CUstream) {
    let (mut library, mut descriptor) = (null_mut(), null_mut());
    call!(cublasLtCreate(&mut library));
    let compute = cublasComputeType_t::CUBLAS_COMPUTE_32F;
    call!(cublasLtMatmulDescCreate(&mut descriptor, compute, cudaDataType_t::CUDA_R_32F));
    let side = 512;
    let layout = || {
        let mut layout = null_mut();
        let kind = cudaDataType_t::CUDA_R_32F;
        call!(cublasLtMatrixLayoutCreate(&mut layout, kind, side, side, side as i64));
        layout
    };
    let [a, b, c] = [(); 3].map(|()| layout());
    let bytes = usize::try_from(side * side * 4).unwrap();
    let [on_a, on_b, on_c] = [(); 3].map(|()| crate::calls::allocate(bytes) as *mut c_void);
    let factors: [*const f32; 2] = [&1.0, &0.0];
    let [one, zero] = factors.map(|factor| factor.cast());
    let algorithm = null();
    call!(cublasLtMatmul(
        library,
        descriptor,
        one,
        on_a,
        a,
        on_b,
        b,
        zero,
        on_c,
        c,
        on_c,
        c,
        algorithm,
        null_mut(),
        0,
        stream.cast()
    ));
}

crate::child::in_child! {
    every_transposition_and_order_is_right("sms=4,memory=64MiB") {
        for bits in 0..32_u32 {
            let bit = |n: u32| bits >> n & 1 == 1;
            let case = Case {
                transpose: [bit(0), bit(1)],
                row_major: [bit(2), bit(3), bit(4)],
                pad: 3,
                factors: [0.5, -2.0],
                ..PLAIN
            };
            check::<f32>(&case, u64::from(bits));
        }
    }

    shapes_from_one_element_to_many_tiles("sms=4,cores=2,memory=64MiB") {
        for (seed, shape) in
            (0..).zip([[1, 1, 1], [1, 300, 7], [300, 1, 2], [128, 128, 1], [129, 257, 65], [384, 40, 300]])
        {
            check::<f32>(&Case { shape, ..PLAIN }, seed);
        }
    }

    batches_are_products_of_their_own("sms=8,cores=2,memory=64MiB") {
        check::<f32>(&Case { batch: 5, pad: 1, factors: [1.0, 1.0], ..PLAIN }, 1);
        check::<f32>(&Case { batch: 64, shape: [8, 8, 8], row_major: [true; 3], ..PLAIN }, 2);
    }

    every_epilogue_is_right("sms=4,memory=64MiB") {
        use cublasLtEpilogue_t::*;
        for (seed, epilogue) in (0..).zip([
            CUBLASLT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_RELU, CUBLASLT_EPILOGUE_RELU_BIAS,
            CUBLASLT_EPILOGUE_GELU, CUBLASLT_EPILOGUE_GELU_BIAS,
        ]) {
            let row_major = [seed % 2 == 0; 3];
            check::<f32>(&Case { epilogue, row_major, batch: 2, ..PLAIN }, seed);
        }
    }

    half_precision_is_summed_in_single("sms=4,memory=64MiB") {
        let case = Case { transpose: [true, false], batch: 2, pad: 2, ..PLAIN };
        check::<f16>(&case, 1);
        check::<bf16>(&case, 2);
    }

    a_target_of_few_sms_changes_no_result("sms=8,cores=2,memory=64MiB") {
        check::<f32>(&Case { sm_count: 2, shape: [200, 200, 50], ..PLAIN }, 1);
    }

    products_that_do_not_fit_are_refused("memory=1MiB") {
        let context = CudaContext::new(0).unwrap();
        let stream = context.default_stream();
        let (mut library, mut descriptor) = (null_mut(), null_mut());
        call!(cublasLtCreate(&mut library));
        let compute = cublasComputeType_t::CUBLAS_COMPUTE_32F;
        call!(cublasLtMatmulDescCreate(&mut descriptor, compute, cudaDataType_t::CUDA_R_32F));
        let layout = |rows, cols| {
            Matrix::new(&mut 0, rows, cols, false, 0, 1).layout(cudaDataType_t::CUDA_R_32F, 1)
        };
        let (a, b, c) = (layout(4, 5), layout(6, 7), layout(4, 7));
        let one: *const f32 = &1.0;
        let product = |library, descriptor, b, status| {
            call!(cublasLtMatmul(
                library, descriptor, one.cast(), null(), a, null(), b, one.cast(), null(), c,
                null_mut(), c, null(), null_mut(), 0, stream.cu_stream().cast()
            ) is status);
        };
        product(library, descriptor, b, CUBLAS_STATUS_INVALID_VALUE);
        product(library, a.cast(), b, CUBLAS_STATUS_INVALID_VALUE);
        product(descriptor.cast(), descriptor, b, CUBLAS_STATUS_NOT_INITIALIZED);
        let double = cublasComputeType_t::CUBLAS_COMPUTE_64F;
        call!(cublasLtMatmulDescCreate(&mut null_mut(), double, cudaDataType_t::CUDA_R_64F)
            is CUBLAS_STATUS_NOT_SUPPORTED);
        use cublasLtMatmulDescAttributes_t as A;
        let drelu = cublasLtEpilogue_t::CUBLASLT_EPILOGUE_DRELU;
        call!(cublasLtMatmulDescSetAttribute(
            descriptor, A::CUBLASLT_MATMUL_DESC_EPILOGUE, (&raw const drelu).cast(), 4
        ) is CUBLAS_STATUS_NOT_SUPPORTED);
        call!(cublasLtMatmulDescSetAttribute(
            descriptor, A::CUBLASLT_MATMUL_DESC_TRANSA, (&raw const drelu).cast(), 1
        ) is CUBLAS_STATUS_INVALID_VALUE);
        // Shapes that fit at addresses that do not: the device faults.
        product(library, descriptor, layout(5, 7), CUBLAS_STATUS_SUCCESS);
        let failed = context.synchronize().unwrap_err();
        assert_eq!(failed.0, cudarc::driver::sys::CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
        product(library, descriptor, layout(5, 7), CUBLAS_STATUS_EXECUTION_FAILED);
    }
}
