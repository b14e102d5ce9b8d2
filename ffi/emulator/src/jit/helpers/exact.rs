//! Sums of products of doubles without any rounding, to see on which side of a rounded result the
//! exact one lies.

use std::cmp::Ordering;

/// The last place of the smallest product of two doubles is 2^-2148, and no product reaches 2^2048:
/// these words hold all of that, a few terms of it, and a sign.
const WORDS: usize = 67;
/// What the lowest bit counts, as a power of two.
const LOWEST: i32 = -2148;

/// A fixed-point number in two's complement, its lowest word first.
pub(super) struct Exact {
    words: [u64; WORDS],
}

/// A finite double as an integer times a power of two, without its sign.
fn parts(x: f64) -> (u64, i32) {
    let bits = x.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    match i32::try_from(bits >> 52 & 0x7ff).unwrap_or(0) {
        0 => (fraction, -1074),
        exponent => (fraction | 1 << 52, exponent - 1075),
    }
}

impl Exact {
    pub(super) fn zero() -> Self {
        Self { words: [0; WORDS] }
    }

    /// Adds a finite double.
    pub(super) fn plus(self, x: f64) -> Self {
        self.plus_product(x, 1.0)
    }

    /// Adds the product of two finite doubles.
    pub(super) fn plus_product(mut self, a: f64, b: f64) -> Self {
        let ((a_whole, a_power), (b_whole, b_power)) = (parts(a), parts(b));
        let product = u128::from(a_whole) * u128::from(b_whole);
        let shift = usize::try_from(a_power + b_power - LOWEST).unwrap_or(0);
        let (word, bit) = (shift / 64, shift % 64);
        // 106 bits moved by up to 63 fill three words.
        let low = product << bit;
        let high = if bit == 0 { 0 } else { product >> (128 - bit) };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "each cast keeps one word of the three"
        )]
        let pieces = [low as u64, (low >> 64) as u64, high as u64];
        let subtract = a.is_sign_negative() != b.is_sign_negative();
        let mut carry = false;
        for at in word..WORDS {
            let piece = pieces.get(at - word).copied().unwrap_or(0);
            if at - word >= pieces.len() && !carry {
                break;
            }
            let (once, first) = if subtract {
                self.words[at].overflowing_sub(piece)
            } else {
                self.words[at].overflowing_add(piece)
            };
            let (twice, second) = if subtract {
                once.overflowing_sub(u64::from(carry))
            } else {
                once.overflowing_add(u64::from(carry))
            };
            self.words[at] = twice;
            carry = first || second;
        }
        self
    }

    /// How it compares with zero.
    pub(super) fn sign(&self) -> Ordering {
        if self.words[WORDS - 1] >> 63 == 1 {
            Ordering::Less
        } else if self.words.iter().any(|&word| word != 0) {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bit_is_lost_between_the_largest_and_the_smallest() {
        let tiny = f64::from_bits(1);
        let (huge, product) = (f64::MAX, tiny * tiny);
        assert_eq!(product, 0.0);
        let sum = Exact::zero().plus_product(huge, huge).plus_product(-huge, huge);
        assert_eq!(sum.sign(), Ordering::Equal);
        let sum = sum.plus_product(huge, -huge).plus_product(-tiny, tiny).plus_product(huge, huge);
        assert_eq!(sum.sign(), Ordering::Less);
        assert_eq!(sum.plus_product(tiny, tiny).sign(), Ordering::Equal);
        assert_eq!(Exact::zero().plus(1.0).plus(-1.0).plus(tiny).sign(), Ordering::Greater);
    }
}
