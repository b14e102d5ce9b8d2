//! Half-precision numbers, which the host computes in wider ones.

use half::{bf16, f16};

use super::rounding::Rounding;

/// How a format of 16 bits divides them.
#[derive(Clone, Copy)]
struct Format {
    /// Bits after the leading one.
    fraction: u32,
    /// The power of two of the smallest normal number.
    smallest: i32,
    /// The bits of infinity.
    infinity: u16,
}

const F16: Format = Format { fraction: 10, smallest: -14, infinity: 0x7c00 };
const BF16: Format = Format { fraction: 7, smallest: -126, infinity: 0x7f80 };
/// The NaN that arithmetic makes, in both formats.
const NAN: u16 = 0x7fff;

fn low(bits: u32) -> u16 {
    u16::try_from(bits & 0xffff).unwrap_or(0)
}

/// A double in a format of 16 bits, rounded once. (A conversion by way of a single rounds twice.)
fn narrow(x: f64, format: Format, rounding: Rounding) -> u16 {
    if x.is_nan() {
        return NAN;
    }
    let sign = if x.is_sign_negative() { 0x8000 } else { 0 };
    if x.is_infinite() {
        return sign | format.infinity;
    }
    let bits = x.to_bits() & (u64::MAX >> 1);
    let power = i32::try_from(bits >> 52).unwrap_or(0);
    // A subnormal double is far below every format's smallest number, and counts as one of them.
    let (whole, power) =
        if power == 0 { (bits, -1022) } else { (bits & ((1 << 52) - 1) | 1 << 52, power - 1023) };
    // How many bits go, up to all and one more.
    let excess = i64::from(format.smallest) - i64::from(power);
    let shift = (52 - i64::from(format.fraction) + excess.max(0)).min(55);
    let (kept, rest, tie) = (whole >> shift, whole & ((1 << shift) - 1), 1u64 << (shift - 1));
    let up = match rounding {
        Rounding::Nearest => rest > tie || rest == tie && kept & 1 == 1,
        Rounding::Zero => false,
        Rounding::Down => rest != 0 && sign != 0,
        Rounding::Up => rest != 0 && sign == 0,
    };
    // The leading one of a normal number adds one to its exponent field.
    let field = if excess > 0 { 0 } else { excess.unsigned_abs() << format.fraction };
    let magnitude = field + kept + u64::from(up);
    let away = match rounding {
        Rounding::Nearest => true,
        Rounding::Zero => false,
        Rounding::Down => sign != 0,
        Rounding::Up => sign == 0,
    };
    let limit = u64::from(format.infinity);
    let magnitude = if magnitude < limit {
        u16::try_from(magnitude).unwrap_or(format.infinity)
    } else if away {
        format.infinity
    } else {
        format.infinity - 1
    };
    sign | magnitude
}

/// The two formats of 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Eighth {
    /// Four bits of exponent, three of fraction, no infinity.
    E4m3,
    /// Five bits of exponent, two of fraction: the upper byte of a half.
    E5m2,
}

impl Eighth {
    /// As a format of 16 bits whose upper byte holds nothing but the sign.
    fn format(self) -> Format {
        match self {
            Eighth::E4m3 => Format { fraction: 3, smallest: -6, infinity: 0x7f },
            Eighth::E5m2 => Format { fraction: 2, smallest: -14, infinity: 0x7c },
        }
    }
}

/// A single in 8 bits, to nearest; what is too large becomes the largest number.
pub(super) extern "C" fn f32_to_eighth(x: f32, eighth: Eighth) -> u32 {
    if x.is_nan() {
        return 0x7f;
    }
    let format = eighth.format();
    let bits = narrow(f64::from(x), format, Rounding::Nearest);
    u32::from((bits & 0x7fff).min(format.infinity - 1) | bits >> 8 & 0x80)
}

/// A number of 8 bits as a half, which has room for all of them.
pub(super) extern "C" fn eighth_to_f16(bits: u32, eighth: Eighth) -> u32 {
    let bits = bits & 0xff;
    let size = bits & 0x7f;
    let sign = (bits & 0x80) << 8;
    match eighth {
        Eighth::E5m2 if size > 0x7c => u32::from(NAN),
        Eighth::E5m2 => bits << 8,
        Eighth::E4m3 if size == 0x7f => u32::from(NAN),
        Eighth::E4m3 => {
            let (field, fraction) = (size >> 3, f64::from(size & 7));
            let value = match i32::try_from(field).unwrap_or(0) {
                0 => fraction * 2f64.powi(-9),
                field => (8.0 + fraction) * 2f64.powi(field - 10),
            };
            sign | u32::from(narrow(value, F16, Rounding::Nearest))
        }
    }
}

/// A single as a half.
pub(super) extern "C" fn f32_to_f16(x: f32, rounding: Rounding) -> u32 {
    if rounding == Rounding::Nearest && !x.is_nan() {
        return u32::from(f16::from_f32(x).to_bits());
    }
    u32::from(narrow(f64::from(x), F16, rounding))
}

/// A double as a half.
pub(super) extern "C" fn f64_to_f16(x: f64, rounding: Rounding) -> u32 {
    u32::from(narrow(x, F16, rounding))
}

/// A half as a single.
pub(super) extern "C" fn f16_to_f32(bits: u32) -> f32 {
    f16::from_bits(low(bits)).to_f32()
}

/// A single as a bfloat.
pub(super) extern "C" fn f32_to_bf16(x: f32, rounding: Rounding) -> u32 {
    if rounding == Rounding::Nearest && !x.is_nan() {
        return u32::from(bf16::from_f32(x).to_bits());
    }
    u32::from(narrow(f64::from(x), BF16, rounding))
}

/// A double as a bfloat.
pub(super) extern "C" fn f64_to_bf16(x: f64, rounding: Rounding) -> u32 {
    u32::from(narrow(x, BF16, rounding))
}

/// An integer as a double that is rounded to odd: rounding it again to fewer than 51 bits is exact.
fn magnitude_to_odd(value: u64) -> f64 {
    let rest = value & 0x7ff;
    let top = value >> 11;
    if value >> 53 == 0 {
        return value as f64;
    }
    (top | u64::from(rest != 0)) as f64 * 2048.0
}

/// An integer as a half.
pub(super) extern "C" fn signed_to_f16(value: i64, rounding: Rounding) -> u32 {
    f64_to_f16(signed_to_odd(value), rounding)
}

/// An integer as a half.
pub(super) extern "C" fn unsigned_to_f16(value: u64, rounding: Rounding) -> u32 {
    f64_to_f16(magnitude_to_odd(value), rounding)
}

/// An integer as a bfloat.
pub(super) extern "C" fn signed_to_bf16(value: i64, rounding: Rounding) -> u32 {
    f64_to_bf16(signed_to_odd(value), rounding)
}

/// An integer as a bfloat.
pub(super) extern "C" fn unsigned_to_bf16(value: u64, rounding: Rounding) -> u32 {
    f64_to_bf16(magnitude_to_odd(value), rounding)
}

fn signed_to_odd(value: i64) -> f64 {
    let size = magnitude_to_odd(value.unsigned_abs());
    if value < 0 { -size } else { size }
}

/// A sum of doubles rounded to odd, so that rounding it again to fewer than 51 bits is exact.
fn add_to_odd(a: f64, b: f64) -> f64 {
    let sum = a + b;
    let b_part = sum - a;
    let error = (a - (sum - b_part)) + (b - b_part);
    if error == 0.0 || !error.is_finite() || sum.to_bits() & 1 == 1 {
        return sum;
    }
    // Truncate toward zero, then set the last bit.
    let truncated = if (error < 0.0) == (sum < 0.0) { sum.to_bits() } else { sum.to_bits() - 1 };
    f64::from_bits(truncated | 1)
}

/// `a * b + c` of halves, rounded once.
pub(super) extern "C" fn f16_fma(a: u32, b: u32, c: u32) -> u32 {
    let [a, b, c] = [a, b, c].map(|bits| f16::from_bits(low(bits)).to_f64());
    f64_to_f16(add_to_odd(a * b, c), Rounding::Nearest)
}

/// `a * b + c` of bfloats, rounded once.
pub(super) extern "C" fn bf16_fma(a: u32, b: u32, c: u32) -> u32 {
    let [a, b, c] = [a, b, c].map(|bits| bf16::from_bits(low(bits)).to_f64());
    f64_to_bf16(add_to_odd(a * b, c), Rounding::Nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_in_the_direction_asked_for() {
        let x = 1.0f32 + f32::EPSILON;
        assert_eq!(f32_to_f16(x, Rounding::Nearest), 0x3c00);
        assert_eq!(f32_to_f16(x, Rounding::Up), 0x3c01);
        assert_eq!(f32_to_f16(-x, Rounding::Up), 0xbc00);
        assert_eq!(f32_to_f16(-x, Rounding::Down), 0xbc01);
        assert_eq!(f32_to_f16(1.0 - f32::EPSILON, Rounding::Zero), 0x3bff);
        assert_eq!(f32_to_f16(70000.0, Rounding::Zero), 0x7bff);
        assert_eq!(f32_to_f16(f32::NAN, Rounding::Nearest), 0x7fff);
        assert_eq!(f32_to_f16(1e-30, Rounding::Up), 0x0001);
    }

    #[test]
    fn a_fused_product_is_rounded_once() {
        // 1 + 2^-11 is a tie that 2^-24 breaks upward.
        let one_and_bit = u32::from(f16::from_f64(1.0).to_bits());
        let half_step = u32::from(f16::from_f64(2f64.powi(-11)).to_bits());
        assert_eq!(f16_fma(one_and_bit, half_step, one_and_bit), 0x3c00);
        assert_eq!(f16_fma(0x0001, one_and_bit, one_and_bit), 0x3c00);
        assert_eq!(f16_fma(0x4000, 0x4200, 0x3c00), u32::from(f16::from_f64(7.0).to_bits()));
    }
}
