//! Matrix products: what they are, when they are wrong, and how a prepared one is issued.
//!
//! `C[i] = alpha · op(A[i]) · op(B[i]) + beta · C[i] + bias` for each batch `i`, all f32, all
//! matrices by rows. op(A) is `m` by `k`, op(B) is `k` by `n`, C is `m` by `n`.

use crate::device::Shared;
use crate::error::{CudaError, ProductError};
use crate::lane::Lane;
use crate::lt::LtProduct;
use gpumux_kernels::{DeviceAddress, DevicePtr, Gemm};

/// How a matrix lies in memory. Strides count elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Matrix {
    /// From one stored row to the next: at least the stored row's length.
    pub row_stride: u32,
    /// From one batch to the next. Zero uses the same matrix for all batches; not for the result.
    pub batch_stride: u64,
    /// Whether what is stored is the transpose of what is multiplied; not for the result.
    pub transposed: bool,
}

/// A product, without its addresses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Product {
    /// Rows of the result.
    pub m: u32,
    /// Columns of the result.
    pub n: u32,
    /// Length of the sums.
    pub k: u32,
    /// How many products.
    pub batches: u32,
    /// The left operand.
    pub a: Matrix,
    /// The right operand.
    pub b: Matrix,
    /// The result.
    pub c: Matrix,
    /// Scales the product.
    pub alpha: f32,
    /// Scales what the result held; at zero that is not read.
    pub beta: f32,
    /// Bytes that the address of every operand is a multiple of: a power of two from 4 to 256. More
    /// allows faster algorithms.
    pub alignment: u32,
}

/// The addresses of a product. The result overlaps no other operand.
#[derive(Clone, Copy, Debug)]
pub struct Operands {
    /// The left operand.
    pub a: DevicePtr<f32>,
    /// The right operand.
    pub b: DevicePtr<f32>,
    /// The result.
    pub c: DevicePtr<f32>,
    /// [`PreparedProduct::workspace_bytes`] bytes, aligned to 256, used by nothing else meanwhile.
    pub workspace: DeviceAddress,
}

/// The largest extent or stride that the libraries take.
const EXTENT_MAX: u32 = i32::MAX.unsigned_abs();

impl Product {
    /// Refuses what no library could do.
    fn check(&self, bias: DevicePtr<f32>) -> Result<(), ProductError> {
        let Self { m, n, k, batches, a, b, c, alignment, .. } = *self;
        if [m, n, k, batches].contains(&0) {
            return Err(ProductError::Empty);
        }
        let strides = [a.row_stride, b.row_stride, c.row_stride];
        if [m, n, k, batches].into_iter().chain(strides).any(|extent| extent > EXTENT_MAX)
            || [a, b, c].iter().any(|matrix| matrix.batch_stride > u64::from(EXTENT_MAX))
        {
            return Err(ProductError::TooLarge);
        }
        if !alignment.is_power_of_two() || !(4..=256).contains(&alignment) {
            return Err(ProductError::Alignment(alignment));
        }
        let row_of_a = if a.transposed { m } else { k };
        let row_of_b = if b.transposed { k } else { n };
        for (operand, matrix, row) in [('a', a, row_of_a), ('b', b, row_of_b), ('c', c, n)] {
            if matrix.row_stride < row {
                return Err(ProductError::RowsOverlap { operand });
            }
        }
        if c.transposed {
            return Err(ProductError::ResultTransposed);
        }
        let result = u64::from(m - 1) * u64::from(c.row_stride) + u64::from(n);
        if batches > 1 && c.batch_stride < result {
            return Err(ProductError::BatchesOverlap);
        }
        if !bias.address().get().is_multiple_of(u64::from(alignment)) {
            return Err(ProductError::BiasMisaligned);
        }
        Ok(())
    }
}

/// A product that is ready to be issued, any number of times, on lanes of the device that it was
/// prepared on. Issuing it allocates nothing.
pub struct PreparedProduct {
    product: Product,
    path: Path,
}

enum Path {
    CublasLt(LtProduct),
    Kernel { bias: DevicePtr<f32> },
}

impl PreparedProduct {
    pub(crate) fn new(
        shared: &Shared,
        product: &Product,
        bias: DevicePtr<f32>,
        sm_count: u32,
        workspace_bytes_max: u64,
    ) -> Result<Self, ProductError> {
        product.check(bias)?;
        let path = match &shared.lt {
            Some(lt) => Path::CublasLt(lt.prepare(product, bias, sm_count, workspace_bytes_max)?),
            None => Path::Kernel { bias },
        };
        Ok(Self { product: *product, path })
    }

    /// What it computes.
    pub fn product(&self) -> &Product {
        &self.product
    }

    /// Workspace that each issue needs.
    pub fn workspace_bytes(&self) -> u64 {
        match &self.path {
            Path::CublasLt(lt) => lt.workspace_bytes() as u64,
            Path::Kernel { .. } => 0,
        }
    }

    pub(crate) fn issue(&self, lane: &mut Lane, operands: &Operands) -> Result<(), CudaError> {
        let alignment = self.product.alignment;
        let addresses = [operands.a, operands.b, operands.c].map(|operand| operand.address().get());
        if !addresses.iter().all(|address| address.is_multiple_of(u64::from(alignment))) {
            return Err(CudaError::Misaligned { alignment });
        }
        match &self.path {
            Path::CublasLt(lt) => lt.issue(&self.product, operands, lane.stream()),
            Path::Kernel { bias } => lane.launch(&gemm(&self.product, operands, *bias).launch()),
        }
    }
}

/// The arguments of our own kernel, which takes a stride for rows and one for columns.
fn gemm(product: &Product, operands: &Operands, bias: DevicePtr<f32>) -> Gemm {
    let strides = |matrix: Matrix| match matrix.transposed {
        false => (matrix.row_stride, 1),
        true => (1, matrix.row_stride),
    };
    let Product { m, n, k, batches, a, b, c, alpha, beta, .. } = *product;
    let (a_row_stride, a_column_stride) = strides(a);
    let (b_row_stride, b_column_stride) = strides(b);
    Gemm {
        a: operands.a,
        b: operands.b,
        c: operands.c,
        bias,
        a_batch_stride: a.batch_stride,
        b_batch_stride: b.batch_stride,
        c_batch_stride: c.batch_stride,
        m,
        n,
        k,
        batches,
        a_row_stride,
        a_column_stride,
        b_row_stride,
        b_column_stride,
        c_row_stride: c.row_stride,
        alpha,
        beta,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(row_stride: u32, batch_stride: u64) -> Matrix {
        Matrix { row_stride, batch_stride, transposed: false }
    }

    fn product() -> Product {
        Product {
            m: 2,
            n: 3,
            k: 4,
            batches: 2,
            a: plain(4, 8),
            b: plain(3, 0),
            c: plain(3, 6),
            alpha: 1.0,
            beta: 0.0,
            alignment: 16,
        }
    }

    fn check(change: impl FnOnce(&mut Product), expected: Result<(), ProductError>) {
        let mut changed = product();
        change(&mut changed);
        assert_eq!(changed.check(DevicePtr::NULL), expected, "{changed:?}");
    }

    #[test]
    fn wrong_products_are_refused() {
        check(|_| {}, Ok(()));
        check(|product| product.k = 0, Err(ProductError::Empty));
        check(|product| product.batches = 0, Err(ProductError::Empty));
        check(|product| product.m = 1 << 31, Err(ProductError::TooLarge));
        check(|product| product.a.batch_stride = 1 << 31, Err(ProductError::TooLarge));
        check(|product| product.a.row_stride = 3, Err(ProductError::RowsOverlap { operand: 'a' }));
        check(
            |product| product.b.transposed = true,
            Err(ProductError::RowsOverlap { operand: 'b' }),
        );
        check(|product| product.c.row_stride = 2, Err(ProductError::RowsOverlap { operand: 'c' }));
        check(|product| product.c.transposed = true, Err(ProductError::ResultTransposed));
        check(|product| product.c.batch_stride = 5, Err(ProductError::BatchesOverlap));
        check(|product| product.alignment = 2, Err(ProductError::Alignment(2)));
        check(|product| product.alignment = 48, Err(ProductError::Alignment(48)));
    }

    #[test]
    fn a_misaligned_bias_is_refused() {
        let bias = DeviceAddress::new(4).of();
        assert_eq!(product().check(bias), Err(ProductError::BiasMisaligned));
    }
}
