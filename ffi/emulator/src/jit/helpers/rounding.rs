//! Arithmetic rounded toward zero, up or down, exactly. The host rounds to nearest; the sign of the
//! error, computed without error, says which neighbour is right.

use std::cmp::Ordering;

use super::exact::Exact;

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

/// Where the exact value lies, seen from the nearest one: on the side of zero, or beyond.
fn inward(is_minus: bool) -> Ordering {
    if is_minus { Ordering::Greater } else { Ordering::Less }
}

/// How `a * b + c` compares with `near`, which is zero or its nearest single, all of them finite.
/// Exponential functions round downwards in every call, so this has to be quick.
fn compare32(a: f32, b: f32, c: f32, near: f32) -> Ordering {
    // 24 by 24 bits fit a double, and so does the exponent.
    let product = f64::from(a) * f64::from(b);
    let addend = f64::from(c);
    // The sum and what is missing from it, both exact (Knuth's two-sum).
    let sum = product + addend;
    let addend_part = sum - product;
    let low = (product - (sum - addend_part)) + (addend - addend_part);
    // Exact as well: the two are the same but for their last bits.
    let high = sum - f64::from(near);
    (high + low).partial_cmp(&0.0).expect("finite numbers have an order")
}

/// How `a * b + c` compares with `near`, all of them finite.
fn compare64(a: f64, b: f64, c: f64, near: f64) -> Ordering {
    Exact::zero().plus_product(a, b).plus(c).plus(-near).sign()
}

/// Defines the arithmetic of a float type; `$nan` is what an operation makes that has no value.
macro_rules! arithmetic {
    ($float:ident, $nan:expr, $compare:ident, $directed:ident, $add:ident, $mul:ident, $fma:ident, $div:ident, $sqrt:ident) => {
        /// Moves `nearest` to the right neighbour; `error` is how the exact value compares with it.
        /// Where the operands were finite, an infinite nearest value means that the exact one is
        /// finite.
        fn $directed(nearest: $float, error: Ordering, rounding: Rounding) -> $float {
            let is_minus = nearest.is_sign_negative();
            // A nearest value of zero lies on the side of its sign, and so does the exact one.
            let shrinks = nearest != 0.0 && error == inward(is_minus);
            match (rounding, error) {
                (Rounding::Down, Ordering::Less) => nearest.next_down(),
                (Rounding::Up, Ordering::Greater) => nearest.next_up(),
                (Rounding::Zero, Ordering::Less) if shrinks => nearest.next_down(),
                (Rounding::Zero, Ordering::Greater) if shrinks => nearest.next_up(),
                _ => nearest,
            }
        }

        /// `a + b`
        pub(super) extern "C" fn $add(a: $float, b: $float, rounding: Rounding) -> $float {
            $fma(a, 1.0, b, rounding)
        }

        /// `a * b`
        pub(super) extern "C" fn $mul(a: $float, b: $float, rounding: Rounding) -> $float {
            let nearest = a * b;
            if nearest.is_nan() {
                return $nan;
            }
            if !(a.is_finite() && b.is_finite()) {
                return nearest;
            }
            let error = if nearest.is_infinite() {
                inward(nearest.is_sign_negative())
            } else {
                $compare(a, b, 0.0, nearest)
            };
            $directed(nearest, error, rounding)
        }

        /// `a * b + c`
        pub(super) extern "C" fn $fma(
            a: $float,
            b: $float,
            c: $float,
            rounding: Rounding,
        ) -> $float {
            let nearest = a.mul_add(b, c);
            if nearest.is_nan() {
                return $nan;
            }
            if !(a.is_finite() && b.is_finite() && c.is_finite()) {
                return nearest;
            }
            if nearest == 0.0 && $compare(a, b, c, 0.0) == Ordering::Equal {
                // Minus zero when rounding down, unless both addends are plus zero.
                let product_is_minus = a.is_sign_negative() != b.is_sign_negative();
                let both = product_is_minus == c.is_sign_negative();
                return match rounding {
                    Rounding::Down if !both => -0.0,
                    _ => nearest,
                };
            }
            let error = if nearest.is_infinite() {
                inward(nearest.is_sign_negative())
            } else {
                $compare(a, b, c, nearest)
            };
            $directed(nearest, error, rounding)
        }

        /// `a / b`
        pub(super) extern "C" fn $div(a: $float, b: $float, rounding: Rounding) -> $float {
            let nearest = a / b;
            if nearest.is_nan() {
                return $nan;
            }
            if !(a.is_finite() && b.is_finite()) || b == 0.0 {
                return nearest;
            }
            let error = if nearest.is_infinite() {
                inward(nearest.is_sign_negative())
            } else {
                let remainder = $compare(-nearest, b, a, 0.0);
                if b.is_sign_negative() { remainder.reverse() } else { remainder }
            };
            $directed(nearest, error, rounding)
        }

        /// The square root of `a`
        pub(super) extern "C" fn $sqrt(a: $float, rounding: Rounding) -> $float {
            let nearest = a.sqrt();
            if nearest.is_nan() {
                return $nan;
            }
            if !nearest.is_finite() {
                return nearest;
            }
            $directed(nearest, $compare(-nearest, nearest, a, 0.0), rounding)
        }
    };
}

// What the PTX ISA calls the canonical NaN of a single; a double's NaN has no bits that it names.
arithmetic!(
    f32,
    f32::from_bits(0x7fff_ffff),
    compare32,
    directed32,
    add_f32,
    mul_f32,
    fma_f32,
    div_f32,
    sqrt_f32
);
arithmetic!(f64, f64::NAN, compare64, directed64, add_f64, mul_f64, fma_f64, div_f64, sqrt_f64);

/// A double as a single.
pub(super) extern "C" fn narrow_f64(a: f64, rounding: Rounding) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "the rounding is what is asked for")]
    let nearest = a as f32;
    match a.partial_cmp(&f64::from(nearest)) {
        Some(error) => directed32(nearest, error, rounding),
        None => f32::from_bits(0x7fff_ffff),
    }
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
