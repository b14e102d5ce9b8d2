//! Matrix products against sums in f64, by cublasLt and by our own kernel.

use crate::machine::{Machine, open};
use gpumux_cuda::{
    CudaError, Device, DeviceOptions, Lane, Matrix, Operands, Product, ProductPath, Wake,
};
use gpumux_kernels::{DeviceAddress, DevicePtr};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Bytes of each matrix of a test; all its products fit.
const BYTES: usize = 1 << 20;

/// Elements of it.
const ELEMENTS: usize = BYTES / size_of::<f32>();

/// Host copies of the four operands.
struct Values {
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
    bias: Vec<f32>,
}

fn random_product(random: &mut StdRng) -> Product {
    let (m, n, k) = match random.random_range(0..3) {
        0 => (1, random.random_range(1..300), random.random_range(1..200)),
        1 => (random.random_range(60..70), random.random_range(60..70), 16),
        _ => {
            let mut extent = || random.random_range(1..100);
            (extent(), extent(), extent())
        }
    };
    let mut operand = |rows: u32, columns: u32| {
        let transposed = random.random_bool(0.5);
        let (rows, columns) = if transposed { (columns, rows) } else { (rows, columns) };
        let row_stride = columns + random.random_range(0..3);
        let batch_stride = u64::from(rows * row_stride);
        let batch_stride = if random.random_bool(0.3) { 0 } else { batch_stride + 4 };
        Matrix { row_stride, batch_stride, transposed }
    };
    let (a, b) = (operand(m, k), operand(k, n));
    let row_stride = n + random.random_range(0..3);
    let c = Matrix { row_stride, batch_stride: u64::from(m * row_stride), transposed: false };
    Product {
        m,
        n,
        k,
        batches: random.random_range(1..5),
        a,
        b,
        c,
        alpha: random.random_range(0.5..2.0),
        beta: if random.random_bool(0.5) { 0.0 } else { 0.5 },
        alignment: 16,
    }
}

/// Where element (`row`, `column`) of op(matrix) lies.
fn at(matrix: Matrix, batch: u32, row: u32, column: u32) -> usize {
    let (row, column) = if matrix.transposed { (column, row) } else { (row, column) };
    let element = u64::from(batch) * matrix.batch_stride
        + u64::from(row) * u64::from(matrix.row_stride)
        + u64::from(column);
    usize::try_from(element).expect("inside a test's matrix")
}

/// Compares every result with its sum, and everything between the results with what was there.
fn check(product: &Product, has_bias: bool, values: &Values, found: &[f32]) {
    let mut untouched = values.c.clone();
    for batch in 0..product.batches {
        for row in 0..product.m {
            for column in 0..product.n {
                let here = at(product.c, batch, row, column);
                // The sum, and the sum of its magnitudes, which bounds what rounding can lose.
                let (mut sum, mut magnitude) = (0.0, 0.0);
                let mut add = |term: f64| {
                    sum += term;
                    magnitude += term.abs();
                };
                for d in 0..product.k {
                    let a = f64::from(values.a[at(product.a, batch, row, d)]);
                    let b = f64::from(values.b[at(product.b, batch, d, column)]);
                    add(f64::from(product.alpha) * a * b);
                }
                add(f64::from(product.beta) * f64::from(values.c[here]));
                if has_bias {
                    add(f64::from(values.bias[usize::try_from(column).expect("small")]));
                }
                let bound = f64::from(product.k + 4) * f64::from(f32::EPSILON) * magnitude;
                let difference = (f64::from(found[here]) - sum).abs();
                assert!(difference <= bound, "{product:?} at {batch},{row},{column}: {difference}");
                untouched[here] = found[here];
            }
        }
    }
    let same = untouched.iter().zip(found).all(|(left, right)| left.to_bits() == right.to_bits());
    assert!(same, "{product:?} wrote between its results");
}

/// Device memory and the way in and out.
struct Bench {
    device: Device,
    lane: Lane,
}

impl Bench {
    fn new(products: ProductPath) -> Self {
        let products = Some(products);
        let device = open(DeviceOptions { products, ..DeviceOptions::default() });
        let lane = device.lane(&Wake::new().expect("a descriptor")).expect("a lane");
        Self { device, lane }
    }

    fn upload(&mut self, values: &[f32], to: DeviceAddress) {
        let mut block = self.device.pinned_pool(BYTES, 1).expect("pinned").take().expect("one");
        for (bytes, value) in block.bytes_mut().chunks_exact_mut(4).zip(values) {
            bytes.copy_from_slice(&value.to_ne_bytes());
        }
        let mut lent = self.lane.lend(block);
        self.lane.copy_in(&mut lent, 0, values.len() * 4, to).expect("a copy");
        self.lane.mark().expect("a mark");
        self.lane.drain().expect("it drains");
        assert!(self.lane.reclaim(lent).is_ok());
    }

    fn download(&mut self, from: DeviceAddress) -> Vec<f32> {
        let block = self.device.pinned_pool(BYTES, 1).expect("pinned").take().expect("one");
        let mut lent = self.lane.lend(block);
        self.lane.copy_out(from, &mut lent, 0, BYTES).expect("a copy");
        self.lane.mark().expect("a mark");
        self.lane.drain().expect("it drains");
        let Ok(block) = self.lane.reclaim(lent) else { panic!("the mark has retired") };
        let word = |bytes: &[u8]| f32::from_ne_bytes(bytes.try_into().expect("four bytes"));
        block.bytes().chunks_exact(4).map(word).collect()
    }
}

fn products_are_sums(path: ProductPath) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut bench = Bench::new(path);
    let memory = bench.device.reserve(16 << 20).expect("memory");
    let [a, b, c, bias] = [0; 4].map(|_| memory.alloc(BYTES as u64).expect("a block"));
    let workspace = memory.alloc(4 << 20).expect("a block");
    let mut values = || (0..ELEMENTS).map(|_| random.random_range(-1.0..1.0)).collect();
    let values = Values { a: values(), b: values(), c: values(), bias: values() };
    bench.upload(&values.a, a.address());
    bench.upload(&values.b, b.address());
    bench.upload(&values.bias, bias.address());
    for _ in 0..30 {
        let product = random_product(&mut random);
        let has_bias = random.random_bool(0.5);
        let bias = if has_bias { bias.address().of() } else { DevicePtr::NULL };
        bench.upload(&values.c, c.address());
        let prepared = bench
            .device
            .prepare(&product, bias, 0, workspace.bytes())
            .unwrap_or_else(|error| panic!("{product:?}: {error}"));
        assert!(prepared.workspace_bytes() <= workspace.bytes());
        let operands = Operands {
            a: a.address().of(),
            b: b.address().of(),
            c: c.address().of(),
            workspace: workspace.address(),
        };
        bench.lane.multiply(&prepared, &operands).expect("a product");
        check(&product, has_bias, &values, &bench.download(c.address()));
    }
}

#[test]
fn products_by_cublaslt_are_sums() {
    Machine::WHOLE.run(|| products_are_sums(ProductPath::CublasLt));
}

#[test]
fn products_by_our_kernel_are_sums() {
    Machine::WHOLE.run(|| products_are_sums(ProductPath::Kernel));
}

#[test]
fn an_operand_that_is_not_aligned_as_promised_is_refused() {
    Machine::WHOLE.run(|| {
        let mut bench = Bench::new(ProductPath::CublasLt);
        let plain = Matrix { row_stride: 4, batch_stride: 0, transposed: false };
        let product = Product {
            m: 4,
            n: 4,
            k: 4,
            batches: 1,
            a: plain,
            b: plain,
            c: plain,
            alpha: 1.0,
            beta: 0.0,
            alignment: 16,
        };
        let prepared = bench.device.prepare(&product, DevicePtr::NULL, 0, 0).expect("a product");
        let aligned = DeviceAddress::new(256);
        let operands = Operands {
            a: aligned.of(),
            b: DeviceAddress::new(264).of(),
            c: aligned.of(),
            workspace: aligned,
        };
        let refused = bench.lane.multiply(&prepared, &operands);
        assert_eq!(refused, Err(CudaError::Misaligned { alignment: 16 }));
    });
}
