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
    module gather {
        /// `output[i, :] = table[indices[i], :]`. An index below `-rows` or not below `rows` reads
        /// nothing, gives a row of zeros and sets a flag; a negative one counts from the end.
        GatherI64 as "gather_i64" {
            /// The table.
            table: DevicePtr<f32>,
            /// The indices.
            indices: DevicePtr<i64>,
            /// The rows that result.
            output: DevicePtr<f32>,
            /// Set to 1 where an index is wrong: `flags[i / per_flag]` for the index of place `i`.
            flags: DevicePtr<u32>,
            /// Rows of the table, below 2^31.
            rows: u32,
            /// Elements of a row.
            width: u32,
            /// How many indices.
            count: u32,
            /// Indices that share a flag, at least 1.
            per_flag: u32,
        }
        /// As [`struct@GatherI64`], with 32-bit indices.
        GatherI32 as "gather_i32" {
            /// The table.
            table: DevicePtr<f32>,
            /// The indices.
            indices: DevicePtr<i32>,
            /// The rows that result.
            output: DevicePtr<f32>,
            /// Set to 1 where an index is wrong: `flags[i / per_flag]` for the index of place `i`.
            flags: DevicePtr<u32>,
            /// Rows of the table, below 2^31.
            rows: u32,
            /// Elements of a row.
            width: u32,
            /// How many indices.
            count: u32,
            /// Indices that share a flag, at least 1.
            per_flag: u32,
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
        /// One side of a handshake between two lanes: it ends when it sees the other side run, or
        /// after `wait_ns`.
        Handshake as "handshake" {
            /// Set to 1 while this side runs, and left at 1 when it saw the other.
            mine: DevicePtr<u32>,
            /// What the other side sets.
            theirs: DevicePtr<u32>,
            /// Becomes 1 when both ran at the same time, 2 when the time went by first.
            outcome: DevicePtr<u32>,
            /// Nanoseconds to wait at most.
            wait_ns: u64,
        }
    }
    module map {
        /// Runs an elementwise program on floats; what is loaded is converted.
        MapReal as "map_real" {
            /// The words of a [`crate::MapTable`].
            program: DevicePtr<u32>,
            /// Operand 0, or null where the program has none.
            input_0: DevicePtr<u8>,
            /// Operand 1, or null where the program has none.
            input_1: DevicePtr<u8>,
            /// Operand 2, or null where the program has none.
            input_2: DevicePtr<u8>,
            /// Operand 3, or null where the program has none.
            input_3: DevicePtr<u8>,
            /// Operand 4, or null where the program has none.
            input_4: DevicePtr<u8>,
            /// Operand 5, or null where the program has none.
            input_5: DevicePtr<u8>,
            /// Where the results go; not overlapping an operand.
            output: DevicePtr<u8>,
            /// [`crate::MapTable::groups`] of the same table.
            groups: u32,
        }
        /// Runs an elementwise program on 64-bit integers; what is stored is converted.
        MapWhole as "map_whole" {
            /// The words of a [`crate::MapTable`].
            program: DevicePtr<u32>,
            /// Operand 0, or null where the program has none.
            input_0: DevicePtr<u8>,
            /// Operand 1, or null where the program has none.
            input_1: DevicePtr<u8>,
            /// Operand 2, or null where the program has none.
            input_2: DevicePtr<u8>,
            /// Operand 3, or null where the program has none.
            input_3: DevicePtr<u8>,
            /// Operand 4, or null where the program has none.
            input_4: DevicePtr<u8>,
            /// Operand 5, or null where the program has none.
            input_5: DevicePtr<u8>,
            /// Where the results go; not overlapping an operand.
            output: DevicePtr<u8>,
            /// [`crate::MapTable::groups`] of the same table.
            groups: u32,
        }
    }
    module norm {
        /// Layer normalisation of rows: minus the mean, over the deviation, `· weight + bias`.
        LayerNorm as "layer_norm" {
            /// The rows.
            input: DevicePtr<f32>,
            /// Rows that are added first, or null.
            residual: DevicePtr<f32>,
            /// `width` factors.
            weight: DevicePtr<f32>,
            /// `width` summands.
            bias: DevicePtr<f32>,
            /// The rows that result; not overlapping any other.
            output: DevicePtr<f32>,
            /// How many rows.
            rows: u32,
            /// Elements of a row.
            width: u32,
            /// Added to the variance.
            epsilon: f32,
        }
    }
    module reduce {
        /// Reduces rows, a warp for each: for elements of a row that lie side by side.
        ReduceRows as "reduce_rows" {
            /// What is reduced.
            input: DevicePtr<f32>,
            /// One number for each row, one after the other.
            output: DevicePtr<f32>,
            /// How many rows.
            rows: u32,
            /// Elements of a row.
            width: u32,
            /// From one element of a row to the next.
            stride: u32,
            /// A [`crate::Reduction`]'s number.
            reduction: u32,
            /// Multiplies the result.
            scale: f32,
            /// Extents around a row, the last one fastest; 1 where there is none.
            extents: [u32; 5],
            /// The way from one row to the next along each of them.
            strides: [u32; 5],
        }
        /// Reduces rows, a thread for each: for rows that lie side by side.
        ReduceColumns as "reduce_columns" {
            /// What is reduced.
            input: DevicePtr<f32>,
            /// One number for each row, one after the other.
            output: DevicePtr<f32>,
            /// How many rows.
            rows: u32,
            /// Elements of a row.
            width: u32,
            /// From one element of a row to the next.
            stride: u32,
            /// A [`crate::Reduction`]'s number.
            reduction: u32,
            /// Multiplies the result.
            scale: f32,
            /// Extents around a row, the last one fastest; 1 where there is none.
            extents: [u32; 5],
            /// The way from one row to the next along each of them.
            strides: [u32; 5],
        }
    }
    module softmax {
        /// `output = softmax(scale · input + mask)` over each row.
        MaskedSoftmax as "masked_softmax" {
            /// The scores, row after row.
            input: DevicePtr<f32>,
            /// Added to the scaled scores, or null.
            mask: DevicePtr<f32>,
            /// The shares, row after row; not overlapping the others.
            output: DevicePtr<f32>,
            /// How many rows.
            rows: u32,
            /// Elements of a row.
            width: u32,
            /// Multiplies the scores.
            scale: f32,
            /// From one element of a row of the mask to the next.
            mask_stride: u32,
            /// Extents around a row, the last one fastest; 1 where there is none.
            extents: [u32; 5],
            /// The way from one row of the mask to the next along each of them.
            mask_strides: [u32; 5],
        }
    }
}
