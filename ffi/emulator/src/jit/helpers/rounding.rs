//! Single-precision arithmetic rounded toward zero, up or down, exactly. The host rounds to nearest;
//! the sign of the error, computed without error in double precision, says which neighbour is right.

/// How a result that does not fit is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Rounding {
    /// To nearest, ties to even.
    Nearest,
    /// Toward zero.
    Zero,
    /// Toward minus infinity.
    Down,
    /// Toward plus infinity.
    Up,
}

/// What the PTX ISA calls the canonical NaN of a single.
const NAN: f32 = f32::from_bits(0x7fff_ffff);

/// Moves `nearest` to the right neighbour; `error` has the sign of the exact value minus `nearest`.
fn directed(nearest: f32, error: f64, rounding: Rounding) -> f32 {
    if nearest.is_nan() {
        return NAN;
    }
    let down = error < 0.0;
    let up = error > 0.0;
    match rounding {
        Rounding::Down if down => nearest.next_down(),
        Rounding::Up if up => nearest.next_up(),
        // A nearest value of zero lies on the side of its sign, and so does the exact one.
        Rounding::Zero if down && nearest.is_sign_positive() && nearest != 0.0 => {
            nearest.next_down()
        }
        Rounding::Zero if up && nearest.is_sign_negative() && nearest != 0.0 => nearest.next_up(),
        _ => nearest,
    }
}

/// An exact sum of two doubles as a rounded one and what is missing (Knuth's two-sum).
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_part = sum - a;
    let a_part = sum - b_part;
    (sum, (a - a_part) + (b - b_part))
}

/// Rounds `high + low` to single, where `low` is less than half of `high`'s last place.
fn round_pair(nearest: f32, high: f64, low: f64, rounding: Rounding) -> f32 {
    directed(nearest, (high - f64::from(nearest)) + low, rounding)
}

/// The sign of an exact zero: minus when rounding down, unless both addends are plus.
fn exact_zero(result: f32, both_positive: bool, both_negative: bool, rounding: Rounding) -> f32 {
    if result != 0.0 || both_positive || both_negative {
        return result;
    }
    if rounding == Rounding::Down { -0.0 } else { 0.0 }
}

/// `a + b`
pub(super) extern "C" fn add_f32(a: f32, b: f32, rounding: Rounding) -> f32 {
    let (high, low) = two_sum(f64::from(a), f64::from(b));
    let rounded = round_pair(a + b, high, low, rounding);
    let positive = a.is_sign_positive() && b.is_sign_positive();
    let negative = a.is_sign_negative() && b.is_sign_negative();
    exact_zero(rounded, positive, negative, rounding)
}

/// `a * b`
pub(super) extern "C" fn mul_f32(a: f32, b: f32, rounding: Rounding) -> f32 {
    // 24 by 24 bits fit a double, and so does the exponent.
    round_pair(a * b, f64::from(a) * f64::from(b), 0.0, rounding)
}

/// `a * b + c`
pub(super) extern "C" fn fma_f32(a: f32, b: f32, c: f32, rounding: Rounding) -> f32 {
    let product = f64::from(a) * f64::from(b);
    let (high, low) = two_sum(product, f64::from(c));
    let rounded = round_pair(a.mul_add(b, c), high, low, rounding);
    let positive = product.is_sign_positive() && c.is_sign_positive();
    let negative = product.is_sign_negative() && c.is_sign_negative();
    if high == 0.0 { exact_zero(rounded, positive, negative, rounding) } else { rounded }
}

/// `a / b`
pub(super) extern "C" fn div_f32(a: f32, b: f32, rounding: Rounding) -> f32 {
    let nearest = a / b;
    if !nearest.is_finite() && (a.is_infinite() || b == 0.0) {
        return if nearest.is_nan() { NAN } else { nearest };
    }
    if nearest.is_infinite() {
        return directed(nearest, -f64::from(nearest), rounding);
    }
    // The remainder of a division rounded to nearest fits a double.
    let remainder = f64::from(-nearest).mul_add(f64::from(b), f64::from(a));
    directed(nearest, if b.is_sign_negative() { -remainder } else { remainder }, rounding)
}

/// The square root of `a`
pub(super) extern "C" fn sqrt_f32(a: f32, rounding: Rounding) -> f32 {
    let nearest = a.sqrt();
    directed(nearest, f64::from(-nearest).mul_add(f64::from(nearest), f64::from(a)), rounding)
}

/// A double as a single.
pub(super) extern "C" fn narrow_f64(a: f64, rounding: Rounding) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "the rounding is what is asked for")]
    let nearest = a as f32;
    directed(nearest, a - f64::from(nearest), rounding)
}

/// Defines a conversion of an integer: to nearest by the host, the error in 128 bits.
macro_rules! from_integer {
    ($name:ident, $integer:ty, $float:ty) => {
        /// An integer as a float.
        pub(super) extern "C" fn $name(value: $integer, rounding: Rounding) -> $float {
            let nearest = value as $float;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the float is an integer below 2^65"
            )]
            let back = nearest as i128;
            let error = i128::from(value) - back;
            match rounding {
                Rounding::Down if error < 0 => nearest.next_down(),
                Rounding::Up if error > 0 => nearest.next_up(),
                Rounding::Zero if error < 0 && nearest > 0.0 => nearest.next_down(),
                Rounding::Zero if error > 0 && nearest < 0.0 => nearest.next_up(),
                _ => nearest,
            }
        }
    };
}

from_integer!(signed_to_f32, i64, f32);
from_integer!(unsigned_to_f32, u64, f32);
from_integer!(signed_to_f64, i64, f64);
from_integer!(unsigned_to_f64, u64, f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_is_a_neighbour_on_the_right_side() {
        let tiny = f32::from_bits(1);
        assert_eq!(add_f32(1.0, tiny, Rounding::Up), 1.0f32.next_up());
        assert_eq!(add_f32(1.0, -tiny, Rounding::Down), 1.0f32.next_down());
        assert_eq!(add_f32(1.0, -tiny, Rounding::Zero), 1.0f32.next_down());
        assert_eq!(add_f32(-1.0, tiny, Rounding::Zero), (-1.0f32).next_up());
        assert_eq!(add_f32(f32::MAX, f32::MAX, Rounding::Zero), f32::MAX);
        assert_eq!(mul_f32(tiny, 0.5, Rounding::Up), tiny);
        assert_eq!(mul_f32(tiny, 0.5, Rounding::Zero), 0.0);
        assert_eq!(mul_f32(tiny, -0.5, Rounding::Down), -tiny);
        assert_eq!(div_f32(1.0, 3.0, Rounding::Up), (1.0f32 / 3.0).max((1.0f32 / 3.0).next_down()));
        assert!(f64::from(div_f32(1.0, 3.0, Rounding::Down)) < 1.0 / 3.0);
        assert!(f64::from(sqrt_f32(2.0, Rounding::Up)) > 2f64.sqrt());
        assert_eq!(signed_to_f32((1 << 24) + 1, Rounding::Up), 16_777_218.0);
        assert_eq!(signed_to_f32((1 << 24) + 1, Rounding::Zero), 16_777_216.0);
        assert_eq!(unsigned_to_f64(u64::MAX, Rounding::Zero), 18_446_744_073_709_549_568.0);
    }

    #[test]
    fn exact_results_stay_and_zeros_have_their_sign() {
        assert_eq!(add_f32(1.5, 2.25, Rounding::Up), 3.75);
        assert!(add_f32(1.0, -1.0, Rounding::Down).is_sign_negative());
        assert!(add_f32(1.0, -1.0, Rounding::Up).is_sign_positive());
        assert!(add_f32(0.0, 0.0, Rounding::Down).is_sign_positive());
        assert!(fma_f32(2.0, 3.0, -6.0, Rounding::Down).is_sign_negative());
        assert_eq!(div_f32(1.0, 0.0, Rounding::Zero), f32::INFINITY);
        assert!(div_f32(0.0, 0.0, Rounding::Zero).is_nan());
    }

    #[test]
    fn a_sum_beyond_double_precision_still_has_a_direction() {
        let huge = f32::MAX;
        let tiny = f32::from_bits(1);
        assert_eq!(fma_f32(tiny, tiny, huge, Rounding::Up), f32::INFINITY);
        assert_eq!(fma_f32(tiny, -tiny, huge, Rounding::Down), huge.next_down());
    }
}
