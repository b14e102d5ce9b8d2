//! Two or four small integers in a word.

/// What is done with each pair of numbers. The plain names take them as unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum PackedOp {
    /// `|a - b|`
    Distance,
    /// `|a - b|`
    DistanceSigned,
    /// c plus all `|a - b|`
    SumOfDistances,
    /// c plus all `|a - b|`
    SumOfDistancesSigned,
    /// `a + b`, without a carry to the next
    Add,
    /// The smaller
    Min,
    /// The smaller
    MinSigned,
    /// The larger
    Max,
    /// The larger
    MaxSigned,
}

/// The number of `width` bits at `shift`.
fn lane(word: u32, shift: u32, width: u32, signed: bool) -> i32 {
    let top = word << (32 - width - shift);
    if signed { top.cast_signed() >> (32 - width) } else { (top >> (32 - width)).cast_signed() }
}

/// Applies `op` to the numbers of `width` bits in two words.
pub(super) extern "C" fn packed(op: PackedOp, width: u32, a: u32, b: u32, c: u32) -> u32 {
    let signed = matches!(
        op,
        PackedOp::DistanceSigned
            | PackedOp::SumOfDistancesSigned
            | PackedOp::MinSigned
            | PackedOp::MaxSigned
    );
    let sums = matches!(op, PackedOp::SumOfDistances | PackedOp::SumOfDistancesSigned);
    let (mut result, mut sum) = (0, c);
    for shift in (0..32).step_by(width as usize) {
        let (x, y) = (lane(a, shift, width, signed), lane(b, shift, width, signed));
        let value = match op {
            PackedOp::Add => x + y,
            PackedOp::Min | PackedOp::MinSigned => x.min(y),
            PackedOp::Max | PackedOp::MaxSigned => x.max(y),
            _ => (x - y).abs(),
        };
        let value = value.cast_unsigned();
        sum = sum.wrapping_add(value);
        result |= (value & (u32::MAX >> (32 - width))) << shift;
    }
    if sums { sum } else { result }
}
