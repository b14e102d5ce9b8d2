//! Floats as exact numbers, and the rounding of exact numbers to floats: the reference for every
//! instruction on floats. It shares nothing with the emulator: integers of any length, and the
//! definition of a format.

use num_bigint::{BigInt, BigUint, Sign};

/// How results are rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Nearest,
    Zero,
    Down,
    Up,
}

/// The four roundings, as PTX writes them.
#[allow(dead_code, reason = "the tests of the ABI use this file as well, and not all of it")]
pub(super) const DIRECTIONS: [(&str, Direction); 4] = [
    ("rn", Direction::Nearest),
    ("rz", Direction::Zero),
    ("rm", Direction::Down),
    ("rp", Direction::Up),
];

/// A float format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    /// Bits of a significand, the leading one included.
    precision: u32,
    /// Bits of the exponent.
    exponent: u32,
}

pub(super) const F16: Format = Format { precision: 11, exponent: 5 };
pub(super) const BF16: Format = Format { precision: 8, exponent: 8 };
pub(super) const F32: Format = Format { precision: 24, exponent: 8 };
pub(super) const F64: Format = Format { precision: 53, exponent: 11 };

/// What the bits of a float stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Nan,
    /// With its sign: true is minus.
    Infinite(bool),
    Zero(bool),
    Number(Number),
}

/// `whole * 2^power`, not zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) whole: BigInt,
    pub(super) power: i64,
}

impl Number {
    pub(super) fn new(whole: impl Into<BigInt>, power: i64) -> Self {
        Self { whole: whole.into(), power }
    }

    fn is_minus(&self) -> bool {
        self.whole.sign() == Sign::Minus
    }

    /// Both as multiples of the same power of two.
    fn aligned(&self, other: &Number) -> (BigInt, BigInt, i64) {
        let power = self.power.min(other.power);
        let shifted = |number: &Number| &number.whole << (number.power - power);
        (shifted(self), shifted(other), power)
    }

    fn times(&self, other: &Number) -> Number {
        Number { whole: &self.whole * &other.whole, power: self.power + other.power }
    }
}

impl Format {
    fn bits(self) -> u32 {
        self.precision + self.exponent
    }

    fn sign_bit(self) -> u64 {
        1 << (self.bits() - 1)
    }

    pub(super) fn infinity(self) -> u64 {
        ((1 << self.exponent) - 1) << (self.precision - 1)
    }

    /// The power of two that the last place of a subnormal number counts.
    fn lowest(self) -> i64 {
        3 - (1 << (self.exponent - 1)) - i64::from(self.precision)
    }

    /// What bits stand for.
    pub(super) fn value(self, bits: u64) -> Value {
        let minus = bits & self.sign_bit() != 0;
        let magnitude = bits & (self.sign_bit() - 1);
        if magnitude > self.infinity() {
            return Value::Nan;
        }
        if magnitude == self.infinity() {
            return Value::Infinite(minus);
        }
        if magnitude == 0 {
            return Value::Zero(minus);
        }
        let fraction = magnitude & ((1 << (self.precision - 1)) - 1);
        let field = magnitude >> (self.precision - 1);
        let (whole, power) = if field == 0 {
            (fraction, self.lowest())
        } else {
            (
                fraction | 1 << (self.precision - 1),
                self.lowest() + i64::try_from(field).unwrap() - 1,
            )
        };
        let whole = BigInt::from(whole);
        Value::Number(Number { whole: if minus { -whole } else { whole }, power })
    }

    pub(super) fn zero(self, minus: bool) -> u64 {
        if minus { self.sign_bit() } else { 0 }
    }

    pub(super) fn infinite(self, minus: bool) -> u64 {
        self.zero(minus) | self.infinity()
    }

    /// Some NaN.
    pub(super) fn nan(self) -> u64 {
        self.sign_bit() - 1
    }

    pub(super) fn is_nan(self, bits: u64) -> bool {
        bits & (self.sign_bit() - 1) > self.infinity()
    }

    fn is_subnormal(self, bits: u64) -> bool {
        let magnitude = bits & (self.sign_bit() - 1);
        magnitude != 0 && magnitude >> (self.precision - 1) == 0
    }

    /// `.ftz`: a subnormal number becomes a zero of its sign.
    pub(super) fn flushed(self, bits: u64, ftz: bool) -> u64 {
        if ftz && self.is_subnormal(bits) { bits & self.sign_bit() } else { bits }
    }

    /// `.sat`: limited to 0…1, NaN becomes 0.
    pub(super) fn saturated(self, bits: u64) -> u64 {
        let one = (self.infinity() >> self.precision) << (self.precision - 1);
        if self.is_nan(bits) || bits & self.sign_bit() != 0 { 0 } else { bits.min(one) }
    }

    /// The float that a number is rounded to. `more` says that the number is a little larger in
    /// magnitude than `number`, by less than its last place.
    pub(super) fn rounded(self, number: &Number, more: bool, direction: Direction) -> u64 {
        let minus = number.is_minus();
        // Two more places, the last of which stands for all that follow.
        let whole: BigUint = (number.whole.magnitude() << 2u32) + u32::from(more);
        let power = number.power - 2;
        let length = i64::try_from(whole.bits()).unwrap();
        let place = (power + length - i64::from(self.precision)).max(self.lowest());
        let (kept, rest, half) = if place <= power {
            (whole << (power - place), BigUint::ZERO, BigUint::from(1u32))
        } else {
            let shift = place - power;
            let kept = &whole >> shift;
            let rest = whole - (&kept << shift);
            (kept, rest, BigUint::from(1u32) << (shift - 1))
        };
        let kept = u64::try_from(kept).expect("no more than the format's bits are kept");
        let away = match direction {
            Direction::Nearest => true,
            Direction::Zero => false,
            Direction::Down => minus,
            Direction::Up => !minus,
        };
        let up = match direction {
            Direction::Nearest => rest > half || rest == half && kept & 1 == 1,
            _ => away && rest != BigUint::ZERO,
        };
        let field = u128::from((place - self.lowest()).unsigned_abs()) << (self.precision - 1);
        let magnitude = field + u128::from(kept) + u128::from(up);
        let infinity = u128::from(self.infinity());
        let magnitude = match magnitude < infinity {
            true => magnitude,
            false if away => infinity,
            false => infinity - 1,
        };
        self.zero(minus) | u64::try_from(magnitude).unwrap()
    }

    /// `a + b`
    pub(super) fn add(self, a: u64, b: u64, direction: Direction) -> u64 {
        self.sum(self.value(a), self.value(b), direction)
    }

    fn sum(self, a: Value, b: Value, direction: Direction) -> u64 {
        match (a, b) {
            (Value::Nan, _) | (_, Value::Nan) => self.nan(),
            (Value::Infinite(a), Value::Infinite(b)) if a != b => self.nan(),
            (Value::Infinite(minus), _) | (_, Value::Infinite(minus)) => self.infinite(minus),
            (Value::Zero(a), Value::Zero(b)) => {
                self.zero(if a == b { a } else { direction == Direction::Down })
            }
            (Value::Zero(_), Value::Number(number)) | (Value::Number(number), Value::Zero(_)) => {
                self.rounded(&number, false, direction)
            }
            (Value::Number(a), Value::Number(b)) => {
                let (a, b, power) = a.aligned(&b);
                let whole = a + b;
                if whole.sign() == Sign::NoSign {
                    return self.zero(direction == Direction::Down);
                }
                self.rounded(&Number { whole, power }, false, direction)
            }
        }
    }

    fn product(a: Value, b: Value) -> Value {
        let minus = |value: &Value| match value {
            Value::Nan => false,
            Value::Infinite(minus) | Value::Zero(minus) => *minus,
            Value::Number(number) => number.is_minus(),
        };
        let minus = minus(&a) != minus(&b);
        match (a, b) {
            (Value::Nan, _) | (_, Value::Nan) => Value::Nan,
            (Value::Infinite(_), Value::Zero(_)) | (Value::Zero(_), Value::Infinite(_)) => {
                Value::Nan
            }
            (Value::Infinite(_), _) | (_, Value::Infinite(_)) => Value::Infinite(minus),
            (Value::Zero(_), _) | (_, Value::Zero(_)) => Value::Zero(minus),
            (Value::Number(a), Value::Number(b)) => Value::Number(a.times(&b)),
        }
    }

    /// `a * b`
    pub(super) fn multiply(self, a: u64, b: u64, direction: Direction) -> u64 {
        self.encoded(Self::product(self.value(a), self.value(b)), direction)
    }

    /// `a * b + c`
    pub(super) fn fused(self, a: u64, b: u64, c: u64, direction: Direction) -> u64 {
        self.sum(Self::product(self.value(a), self.value(b)), self.value(c), direction)
    }

    /// A value as a float.
    pub(super) fn encoded(self, value: Value, direction: Direction) -> u64 {
        match value {
            Value::Nan => self.nan(),
            Value::Infinite(minus) => self.infinite(minus),
            Value::Zero(minus) => self.zero(minus),
            Value::Number(number) => self.rounded(&number, false, direction),
        }
    }

    /// `a / b`
    pub(super) fn divide(self, a: u64, b: u64, direction: Direction) -> u64 {
        let (a, b) = (self.value(a), self.value(b));
        let minus = |value: &Value| match value {
            Value::Nan => false,
            Value::Infinite(minus) | Value::Zero(minus) => *minus,
            Value::Number(number) => number.is_minus(),
        };
        let sign = minus(&a) != minus(&b);
        match (a, b) {
            (Value::Nan, _) | (_, Value::Nan) => self.nan(),
            (Value::Infinite(_), Value::Infinite(_)) | (Value::Zero(_), Value::Zero(_)) => {
                self.nan()
            }
            (Value::Infinite(_), _) | (_, Value::Zero(_)) => self.infinite(sign),
            (_, Value::Infinite(_)) | (Value::Zero(_), _) => self.zero(sign),
            (Value::Number(a), Value::Number(b)) => {
                // 120 places more than the divisor has are more than any format keeps.
                let dividend: BigUint = a.whole.magnitude() << 180u32;
                let quotient = &dividend / b.whole.magnitude();
                let more = &quotient * b.whole.magnitude() != dividend;
                let quotient = BigInt::from(quotient);
                let number = Number {
                    whole: if sign { -quotient } else { quotient },
                    power: a.power - b.power - 180,
                };
                self.rounded(&number, more, direction)
            }
        }
    }

    /// The square root.
    pub(super) fn root(self, a: u64, direction: Direction) -> u64 {
        match self.value(a) {
            Value::Nan | Value::Infinite(true) => self.nan(),
            Value::Infinite(false) => self.infinite(false),
            Value::Zero(minus) => self.zero(minus),
            Value::Number(number) if number.is_minus() => self.nan(),
            Value::Number(number) => {
                let odd = number.power.rem_euclid(2);
                let square: BigUint = number.whole.magnitude() << (200 + odd);
                let root = square.sqrt();
                let more = &root * &root != square;
                let number = Number::new(root, (number.power - odd - 200) / 2);
                self.rounded(&number, more, direction)
            }
        }
    }

    /// How two floats compare; `None` where one is NaN.
    pub(super) fn compare(self, a: u64, b: u64) -> Option<std::cmp::Ordering> {
        let scaled = |value: Value| -> Option<BigInt> {
            // Infinities lie beyond every number of the format.
            match value {
                Value::Nan => None,
                Value::Zero(_) => Some(BigInt::ZERO),
                Value::Infinite(minus) => {
                    let beyond = BigInt::from(1) << 5000u32;
                    Some(if minus { -beyond } else { beyond })
                }
                Value::Number(number) => Some(number.whole << (number.power + 1100)),
            }
        };
        Some(scaled(self.value(a))?.cmp(&scaled(self.value(b))?))
    }

    /// A float as an integer, rounded and limited to `low..=high`; `None` for NaN.
    pub(super) fn integer(
        self,
        a: u64,
        direction: Direction,
        low: i128,
        high: i128,
    ) -> Option<i128> {
        let number = match self.value(a) {
            Value::Nan => return None,
            Value::Zero(_) => return Some(0i128.clamp(low, high)),
            Value::Infinite(minus) => return Some(if minus { low } else { high }),
            Value::Number(number) => number,
        };
        let whole = whole_of(&number, direction);
        match i128::try_from(&whole) {
            Ok(whole) => Some(whole.clamp(low, high)),
            Err(_) => Some(if whole.sign() == Sign::Minus { low } else { high }),
        }
    }

    /// A float rounded to an integral float.
    pub(super) fn integral(self, a: u64, direction: Direction) -> u64 {
        let Value::Number(number) = self.value(a) else { return a };
        let whole = whole_of(&number, direction);
        if whole.sign() == Sign::NoSign {
            return self.zero(number.is_minus());
        }
        self.rounded(&Number { whole, power: 0 }, false, Direction::Nearest)
    }

    /// An integer as a float.
    pub(super) fn of_integer(self, value: i128, direction: Direction) -> u64 {
        if value == 0 { 0 } else { self.rounded(&Number::new(value, 0), false, direction) }
    }

    /// A float of this format in another.
    pub(super) fn convert(self, a: u64, to: Format, direction: Direction) -> u64 {
        to.encoded(self.value(a), direction)
    }
}

/// A number rounded to an integer.
fn whole_of(number: &Number, direction: Direction) -> BigInt {
    if number.power >= 0 {
        return &number.whole << number.power;
    }
    let shift = -number.power;
    // A shift of a negative integer rounds down.
    let below: BigInt = &number.whole >> shift;
    let rest = &number.whole - (&below << shift);
    if rest.sign() == Sign::NoSign {
        return below;
    }
    let half: BigInt = BigInt::from(1) << (shift - 1);
    let up = match direction {
        Direction::Down => false,
        Direction::Up => true,
        Direction::Zero => number.is_minus(),
        Direction::Nearest => rest > half || rest == half && below.bit(0),
    };
    if up { below + 1 } else { below }
}

#[test]
fn the_reference_agrees_with_the_host_where_it_rounds_to_nearest() {
    let numbers = [0.0, -0.0, 1.5, -3.25, 1e-320, 1e308, -7e-310, 0.1, f64::INFINITY, f64::NAN];
    for a in numbers {
        for b in numbers {
            let bits = |x: f64| x.to_bits();
            let same = |found: u64, expected: f64| {
                assert!(
                    found == expected.to_bits() || F64.is_nan(found) && expected.is_nan(),
                    "{a:e} and {b:e}: {:e} instead of {expected:e}",
                    f64::from_bits(found)
                );
            };
            same(F64.add(bits(a), bits(b), Direction::Nearest), a + b);
            same(F64.multiply(bits(a), bits(b), Direction::Nearest), a * b);
            same(F64.divide(bits(a), bits(b), Direction::Nearest), a / b);
            same(F64.fused(bits(a), bits(b), bits(0.3), Direction::Nearest), a.mul_add(b, 0.3));
        }
        let root = F64.root(a.to_bits(), Direction::Nearest);
        assert!(root == a.sqrt().to_bits() || F64.is_nan(root) && a.sqrt().is_nan());
        let single = F64.convert(a.to_bits(), F32, Direction::Nearest);
        assert!(single == u64::from((a as f32).to_bits()) || F32.is_nan(single) && a.is_nan());
    }
}
