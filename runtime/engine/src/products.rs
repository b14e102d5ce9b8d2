//! Matrix products, as the BLAS library takes them.

use gpumux_cuda::{Matrix, Operands, Product};
use gpumux_kernels::DevicePtr;
use gpumux_plan::{Matrix as PlanMatrix, Product as PlanProduct};

use crate::address::{Addresses, narrow};

/// A product as it is prepared: everything but the addresses that change with the block.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Description {
    pub(crate) product: Product,
    /// Lies among the weights, whose place does not change.
    pub(crate) bias: DevicePtr<f32>,
}

pub(crate) fn describe(it: &PlanProduct<u64>, at: &Addresses) -> Description {
    let operands = operands(it, at);
    let bias = at.optional(it.bias.as_ref());
    let addresses = [operands.a, operands.b, operands.c, bias].map(|it| it.address().get());
    // The block itself is aligned to 256 bytes wherever it lies.
    let alignment = addresses.iter().fold(256, |bits, address| bits | address);
    let product = Product {
        m: narrow(it.rows),
        n: narrow(it.columns),
        k: narrow(it.depth),
        batches: narrow(it.batch),
        a: matrix(&it.left, it.depth),
        b: matrix(&it.right, it.columns),
        c: matrix(&it.output, it.columns),
        alpha: 1.,
        beta: 0.,
        alignment: 1 << alignment.trailing_zeros(),
    };
    Description { product, bias }
}

pub(crate) fn operands(it: &PlanProduct<u64>, at: &Addresses) -> Operands {
    Operands {
        a: at.element(it.left.buffer, it.left.offset).of(),
        b: at.element(it.right.buffer, it.right.offset).of(),
        c: at.element(it.output.buffer, it.output.offset).of(),
        workspace: at.workspace,
    }
}

/// A checked matrix of so many columns: its rows or its columns lie side by side. Where both strides
/// are 1 there is one row or one column, and only the length of a row tells which.
fn matrix(it: &PlanMatrix<u64>, columns: u64) -> Matrix {
    let by_rows = it.column_stride == 1 && columns <= it.row_stride;
    let row_stride = if by_rows { it.row_stride } else { it.column_stride };
    Matrix { row_stride: narrow(row_stride), batch_stride: it.batch_stride, transposed: !by_rows }
}
