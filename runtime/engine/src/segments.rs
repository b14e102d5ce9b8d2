//! Where a plan may be interrupted.

use std::ops::Range;

use gpumux_plan::{Bound, Op};

/// Floating-point operations that a device does in the time that it takes to move one byte: the
/// ratio of arithmetic to bandwidth of a data-centre GPU in 32-bit floats, roughly.
const WORK_PER_BYTE: u64 = 16;

/// Runs of operations, each of about `work_max` floating-point operations or a single one that is
/// larger. An estimate of the same for every device: only a profile knows durations.
pub(crate) fn cut(bound: &Bound, work_max: u64) -> Vec<Range<usize>> {
    let mut segments = Vec::new();
    let mut begin = 0;
    let mut sum = 0u64;
    for (index, op) in bound.ops().iter().enumerate() {
        let work = work(op);
        if begin != index && work_max < sum.saturating_add(work) {
            segments.push(begin..index);
            begin = index;
            sum = 0;
        }
        sum = sum.saturating_add(work);
    }
    if begin < bound.ops().len() {
        segments.push(begin..bound.ops().len());
    }
    segments
}

fn work(op: &Op<u64>) -> u64 {
    let elements = match op {
        Op::Product(it) => {
            let terms = [it.batch, it.rows, it.columns, it.depth];
            return terms.iter().fold(2, |all: u64, it| all.saturating_mul(*it));
        }
        Op::Map(it) => volume(&it.extents).saturating_mul(1 + count(it.inputs.len())),
        Op::Reduce(it) => volume(&it.extents),
        Op::Norm(it) => it.rows.saturating_mul(it.width).saturating_mul(2),
        Op::Softmax(it) => volume(&it.extents).saturating_mul(2),
        Op::Gather(it) => it.count.saturating_mul(it.width).saturating_mul(2),
    };
    elements.saturating_mul(4 * WORK_PER_BYTE)
}

fn volume(extents: &[u64]) -> u64 {
    extents.iter().fold(1, |all, extent| all.saturating_mul(*extent))
}

fn count(operands: usize) -> u64 {
    u64::try_from(operands).unwrap_or(u64::MAX)
}
