//! Every kernel there is: its module, its entry in PTX, its arguments.
//!
//! The one list that Rust, CUDA C++ and PTX must agree on; `tests/ptx.rs` compares all three.
//! Geometry does not stand here: a file per family gives each kernel its grid (`copies.rs`).

use crate::argument::{Argument, DevicePtr};
use crate::declare::{catalog, layout};
use crate::launch::{Module, Param, ParamBuffer, Signature};

/// A kernel with its arguments, ready to be packed in a [`crate::Launch`].
pub trait Kernel: Copy {
    /// Which kernel.
    const ID: KernelId;

    /// Writes each argument where the kernel's signature wants it.
    fn pack(self, params: &mut ParamBuffer);
}

catalog! {
    module echo {
        /// Copies a batch's inputs to its outputs: the whole of `builtin:echo`. A batch whose
        /// requests lie one after another, the same way in both blocks, is one copy.
        Echo as "echo" {
            /// Where the inputs lie, aligned to 16 bytes.
            input: DevicePtr<u8>,
            /// Where the outputs go, aligned to 16 bytes; not overlapping the inputs.
            output: DevicePtr<u8>,
            /// Bytes to copy.
            bytes: u64,
        }
    }
    module gemm {
        /// `c[i] = alpha · a[i] · b[i] + beta · c[i] + bias` for each batch `i`: an `m` by `k` matrix
        /// times a `k` by `n` one. Strides count elements; swapping an operand's two strides transposes
        /// it. Extents and strides are below 2^31.
        Gemm as "gemm" {
            /// The left operand.
            a: DevicePtr<f32>,
            /// The right operand.
            b: DevicePtr<f32>,
            /// The result, which overlaps no operand.
            c: DevicePtr<f32>,
            /// `n` elements that are added to each row, or null.
            bias: DevicePtr<f32>,
            /// From one batch of `a` to the next; zero uses the same for all.
            a_batch_stride: u64,
            /// From one batch of `b` to the next; zero uses the same for all.
            b_batch_stride: u64,
            /// From one batch of `c` to the next.
            c_batch_stride: u64,
            /// Rows of the result.
            m: u32,
            /// Columns of the result.
            n: u32,
            /// Length of the sums.
            k: u32,
            /// How many products.
            batches: u32,
            /// From one row of `a` to the next.
            a_row_stride: u32,
            /// From one column of `a` to the next.
            a_column_stride: u32,
            /// From one row of `b` to the next.
            b_row_stride: u32,
            /// From one column of `b` to the next.
            b_column_stride: u32,
            /// From one row of `c` to the next; its columns touch.
            c_row_stride: u32,
            /// Scales the product.
            alpha: f32,
            /// Scales what `c` held; at zero that is not read.
            beta: f32,
        }
    }
    module lane {
        /// Stores a sequence number where the host can read it, after all that ran before on the
        /// lane is visible to the host: the way to mark on a driver without stream value writes.
        Retire as "retire" {
            /// The device address of the pinned word.
            word: DevicePtr<u32>,
            /// What to store.
            sequence: u32,
        }
        /// Records the SM that each block runs on: `sm[block] = %smid`.
        SmidProbe as "smid_probe" {
            /// One word a block.
            sm: DevicePtr<u32>,
            /// Clock cycles that a block keeps its SM, so that later blocks must go elsewhere.
            hold_cycles: u64,
        }
    }
}
