//! Half-precision numbers, which the host computes in wider ones.

use half::{bf16, f16};

use super::rounding::Rounding;

fn low(bits: u32) -> u16 {
    u16::try_from(bits & 0xffff).unwrap_or(0)
}

/// Moves `nearest` (sign and magnitude in 16 bits) to the neighbour that `rounding` wants; `error` is
/// the exact value minus `nearest`.
fn directed(nearest: u16, error: f64, rounding: Rounding) -> u16 {
    let negative = nearest & 0x8000 != 0;
    let magnitude = nearest & 0x7fff;
    let up = |bits: u16| if negative { bits.wrapping_sub(1) } else { bits + 1 };
    let down = |bits: u16| if negative { bits + 1 } else { bits.wrapping_sub(1) };
    match rounding {
        Rounding::Up if error > 0.0 => {
            if nearest == 0x8000 {
                1
            } else {
                up(nearest)
            }
        }
        Rounding::Down if error < 0.0 => {
            if nearest == 0 {
                0x8001
            } else {
                down(nearest)
            }
        }
        Rounding::Zero if magnitude != 0 && (error < 0.0) != negative && error != 0.0 => {
            nearest - 1
        }
        _ => nearest,
    }
}

/// A single as a half.
pub(super) extern "C" fn f32_to_f16(x: f32, rounding: Rounding) -> u32 {
    if x.is_nan() {
        return 0x7fff;
    }
    let nearest = f16::from_f32(x);
    let error = f64::from(x) - nearest.to_f64();
    u32::from(directed(nearest.to_bits(), error, rounding))
}

/// A double as a half, to nearest.
pub(super) extern "C" fn f64_to_f16(x: f64) -> u32 {
    if x.is_nan() { 0x7fff } else { u32::from(f16::from_f64(x).to_bits()) }
}

/// A half as a single.
pub(super) extern "C" fn f16_to_f32(bits: u32) -> f32 {
    f16::from_bits(low(bits)).to_f32()
}

/// A single as a bfloat.
pub(super) extern "C" fn f32_to_bf16(x: f32, rounding: Rounding) -> u32 {
    if x.is_nan() {
        return 0x7fff;
    }
    let nearest = bf16::from_f32(x);
    let error = f64::from(x) - nearest.to_f64();
    u32::from(directed(nearest.to_bits(), error, rounding))
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
    f64_to_f16(add_to_odd(a * b, c))
}

/// `a * b + c` of bfloats, rounded once.
pub(super) extern "C" fn bf16_fma(a: u32, b: u32, c: u32) -> u32 {
    let [a, b, c] = [a, b, c].map(|bits| bf16::from_bits(low(bits)).to_f64());
    let sum = add_to_odd(a * b, c);
    if sum.is_nan() { 0x7fff } else { u32::from(bf16::from_f64(sum).to_bits()) }
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
