//! Launches of the operations that work on rows: norms, softmax, reductions, gathers.

use gpumux_kernels::{
    DevicePtr, GatherI32, GatherI64, Launch, LayerNorm, MaskedSoftmax, ReduceColumns, ReduceRows,
    Reduction as Number,
};
use gpumux_plan::{Element, Gather, Norm, Reduce, Reduction, Softmax};

use crate::address::{Addresses, narrow};
use crate::coalesce::coalesce;

/// Dimensions around a row, as the kernels take them. A plan has at most this many besides the row.
const OUTER: usize = 5;

/// The last numbers of an array, with `before` in front of them.
fn outer(numbers: &[u64], before: u32) -> [u32; OUTER] {
    let mut array = [before; OUTER];
    for (to, from) in array.iter_mut().rev().zip(numbers.iter().rev()) {
        *to = narrow(*from);
    }
    array
}

pub(crate) fn norm(it: &Norm<u64>, at: &Addresses) -> Launch {
    LayerNorm {
        input: at.dense(&it.input),
        residual: at.optional(it.residual.as_ref()),
        weight: at.dense(&it.weight),
        bias: at.dense(&it.bias),
        output: at.dense(&it.output),
        rows: narrow(it.rows),
        width: narrow(it.width),
        epsilon: it.epsilon,
    }
    .launch()
}

pub(crate) fn softmax(it: &Softmax<u64>, at: &Addresses) -> Launch {
    let (width, around) = it.extents.split_last().expect("a softmax has a row");
    let rows = around.iter().product::<u64>();
    let (mask, mask_stride, extents, strides) = match &it.mask {
        Some(mask) => {
            let (along, strides) = mask.strides.split_last().expect("a mask has a row");
            let (extents, strides) = coalesce(around, &[strides]);
            let address = at.element(mask.buffer, mask.offset).of();
            (address, narrow(*along), outer(&extents, 1), outer(&strides[0], 0))
        }
        None => (DevicePtr::NULL, 0, [1; OUTER], [0; OUTER]),
    };
    MaskedSoftmax {
        input: at.dense(&it.input),
        mask,
        output: at.dense(&it.output),
        rows: narrow(rows),
        width: narrow(*width),
        scale: it.scale,
        mask_stride,
        extents,
        mask_strides: strides,
    }
    .launch()
}

pub(crate) fn reduce(it: &Reduce<u64>, at: &Addresses) -> Launch {
    let (width, around) = it.extents.split_last().expect("a reduction has a row");
    let (along, strides) = it.input.strides.split_last().expect("a reduction has a row");
    let rows = narrow(around.iter().product());
    let (extents, strides) = coalesce(around, &[strides]);
    let input = at.element(it.input.buffer, it.input.offset).of();
    let output = at.dense(&it.output);
    let (width, stride, scale) = (narrow(*width), narrow(*along), it.scale);
    let reduction = match it.reduction {
        Reduction::Sum => Number::Sum,
        Reduction::SumOfSquares => Number::SumOfSquares,
        Reduction::Maximum => Number::Maximum,
        Reduction::Minimum => Number::Minimum,
    }
    .number();
    let (extents, strides) = (outer(&extents, 1), outer(&strides[0], 0));
    // Neighbouring threads read neighbouring elements either way.
    if stride != 1 && strides[OUTER - 1] == 1 {
        ReduceColumns { input, output, rows, width, stride, reduction, scale, extents, strides }
            .launch()
    } else {
        ReduceRows { input, output, rows, width, stride, reduction, scale, extents, strides }
            .launch()
    }
}

pub(crate) fn gather(it: &Gather<u64>, at: &Addresses) -> Launch {
    let table = at.dense(&it.table);
    let output = at.dense(&it.output);
    let (rows, width, count) = (narrow(it.rows), narrow(it.width), narrow(it.count));
    let (flags, per_flag) = match it.per_request {
        Some(own) => (at.flag(0), narrow(own)),
        None => (at.flag(at.bound.shape().batch), count),
    };
    match at.bound.buffer(it.indices.buffer).1 {
        Element::I32 => {
            let indices = at.dense(&it.indices);
            GatherI32 { table, indices, output, flags, rows, width, count, per_flag }.launch()
        }
        Element::I64 | Element::F32 | Element::Bool => {
            let indices = at.dense(&it.indices);
            GatherI64 { table, indices, output, flags, rows, width, count, per_flag }.launch()
        }
    }
}
