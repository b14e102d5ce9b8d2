//! `cvt` between all types: each rounding, `.ftz` and `.sat`, against exact numbers.

use super::exact::{BF16, DIRECTIONS, Direction, F16, F32, F64, Format};
use super::floats;
use super::halves;
use super::harness::{Random, check, exactly, width};

/// The integer types with their limits.
const INTEGERS: [(&str, i128, i128); 8] = [
    ("u8", 0, u8::MAX as i128),
    ("s8", i8::MIN as i128, i8::MAX as i128),
    ("u16", 0, u16::MAX as i128),
    ("s16", i16::MIN as i128, i16::MAX as i128),
    ("u32", 0, u32::MAX as i128),
    ("s32", i32::MIN as i128, i32::MAX as i128),
    ("u64", 0, u64::MAX as i128),
    ("s64", i64::MIN as i128, i64::MAX as i128),
];

const FLOATS: [(&str, Format); 4] = [("f16", F16), ("bf16", BF16), ("f32", F32), ("f64", F64)];

/// The register that holds a type: a byte has none of its own.
fn register(ty: &'static str) -> &'static str {
    if ty.ends_with('8') { "b32" } else { ty }
}

fn bits(ty: &str) -> u32 {
    if ty.ends_with('8') { 8 } else { width(ty).1 * 8 }
}

/// The integer that the lower bits of a register are.
fn integer(ty: &str, bits_of: u64) -> i128 {
    let shift = 64 - bits(ty);
    if ty.starts_with('s') {
        i128::from((bits_of << shift).cast_signed() >> shift)
    } else {
        i128::from(bits_of << shift >> shift)
    }
}

fn integer_rows() -> Vec<Vec<u64>> {
    let mut rows: Vec<Vec<u64>> = (0..64)
        .flat_map(|at| [1u64 << at, (1 << at) - 1, (1 << at) + 1, !(1 << at), u64::MAX << at])
        .map(|bits| vec![bits])
        .collect();
    let mut random = Random::new();
    rows.extend((0..800).map(|_| {
        let bits = random.next();
        vec![bits >> (random.next() & 63)]
    }));
    rows
}

fn float_rows(format: Format) -> Vec<Vec<u64>> {
    let mut rows = if matches!(format, F16 | BF16) {
        (0..=0xffff).step_by(3).map(|bits| vec![bits]).chain(halves::rows(format, 1)).collect()
    } else {
        floats::rows(format, 1)
    };
    // Numbers near integers and halves of them, near the limits of integer types, and ties of
    // narrower formats.
    for power in 0..=64 {
        for step in -4i128..=4 {
            let near = (1i128 << power) + step;
            for whole in [near, -near] {
                let float = format.of_integer(whole, Direction::Nearest);
                rows.extend([float.wrapping_sub(1), float, float + 1].map(|bits| vec![bits]));
            }
        }
    }
    for step in -40i64..=40 {
        let quarter = format.rounded(
            &super::exact::Number::new(i128::from(step) * 2 + 1, -2),
            false,
            Direction::Nearest,
        );
        rows.push(vec![quarter]);
        rows.push(vec![F64.convert((step as f64 * 0.5).to_bits(), format, Direction::Nearest)]);
    }
    let mut random = Random::new();
    for _ in 0..400 {
        let exponent = 0x3f00 + (random.next() & 0xff);
        let x = random.next() & !(0x7ff << 52) | exponent << 52;
        rows.push(vec![F64.convert(x, format, Direction::Nearest)]);
        // A double that is a tie of a narrower format, or nearly so.
        let tie = random.next() & !(0x7ff << 52) & !((1 << 28) - 1)
            | (0x3f8 + (random.next() & 0xf)) << 52;
        let tie = (tie | 1 << 41).wrapping_add(random.next() % 3).wrapping_sub(1);
        rows.push(vec![F64.convert(tie, format, Direction::Nearest)]);
    }
    rows
}

pub(super) fn integers_to_integers() {
    let rows = integer_rows();
    for (to, low, high) in INTEGERS {
        for (from, _, _) in INTEGERS {
            // The rest of a wider register is the value's sign, or zero.
            let shown = |value: i128| value as u64;
            for (manner, saturate) in [("", false), (".sat", true)] {
                let body = format!("cvt{manner}.{to}.{from} %r, %a;");
                let result = register(to);
                check(&body, &[register(from)], result, &rows, exactly, |row| {
                    let value = integer(from, row[0]);
                    if saturate {
                        shown(value.clamp(low, high))
                    } else {
                        shown(integer(to, value as u64))
                    }
                });
            }
        }
    }
}

pub(super) fn integers_to_floats() {
    let rows = integer_rows();
    for (from, _, _) in INTEGERS {
        for (to, format) in FLOATS {
            for (rounding, direction) in DIRECTIONS {
                for (manner, saturate) in [("", false), (".sat", true)] {
                    let body = format!("cvt.{rounding}{manner}.{to}.{from} %r, %a;");
                    check(&body, &[register(from)], to, &rows, exactly, |row| {
                        let result = format.of_integer(integer(from, row[0]), direction);
                        if saturate { format.saturated(result) } else { result }
                    });
                }
            }
        }
    }
}

pub(super) fn floats_to_integers() {
    for (from, format) in FLOATS {
        let rows = float_rows(format);
        for (to, low, high) in INTEGERS {
            for (rounding, direction) in DIRECTIONS {
                let forms: &[(&str, bool)] =
                    if format == F32 { &[("", false), (".ftz", true)] } else { &[("", false)] };
                for &(manner, ftz) in forms {
                    let body = format!("cvt.{rounding}i{manner}.{to}.{from} %r, %a;");
                    check(&body, &[from], register(to), &rows, exactly, |row| {
                        let x = format.flushed(row[0], ftz);
                        // What the ISA says of NaN: zero, or for 64 bits and doubles the top bit.
                        let nan = if bits(to) == 64 || format == F64 {
                            integer(to, 1 << (bits(to) - 1))
                        } else {
                            0
                        };
                        format.integer(x, direction, low, high).unwrap_or(nan) as u64
                    });
                }
            }
        }
    }
}

/// The manners of a conversion between floats: spelled, `.ftz`, `.sat`.
fn manners(to: Format, from: Format) -> Vec<(&'static str, bool, bool)> {
    let mut manners = vec![("", false, false), (".sat", false, true)];
    if to == F32 || from == F32 {
        manners.extend([(".ftz", true, false), (".ftz.sat", true, true)]);
    }
    manners
}

pub(super) fn floats_to_floats() {
    for (from, source) in FLOATS {
        let rows = float_rows(source);
        for (to, target) in FLOATS {
            let narrows = bits(to) < bits(from) || bits(to) == bits(from) && to != from;
            for (rounding, direction) in DIRECTIONS {
                for (manner, ftz, saturate) in manners(target, source) {
                    // Where nothing is lost there is no rounding, or one to an integral value.
                    let (spelled, integral) = match (narrows, to == from, direction) {
                        (true, ..) => (format!(".{rounding}"), false),
                        (false, true, _) => (format!(".{rounding}i"), true),
                        (false, false, Direction::Nearest) => (String::new(), false),
                        _ => continue,
                    };
                    let body = format!("cvt{spelled}{manner}.{to}.{from} %r, %a;");
                    let same = |found, expected| target.is_nan(found) && target.is_nan(expected);
                    check(&body, &[from], to, &rows, same, |row| {
                        let x = source.flushed(row[0], ftz && source == F32);
                        let value = if integral {
                            source.integral(x, direction)
                        } else {
                            source.convert(x, target, direction)
                        };
                        let value = target.flushed(value, ftz && target == F32);
                        if saturate { target.saturated(value) } else { value }
                    });
                }
            }
        }
    }
    relu();
}

fn relu() {
    for (to, format) in [("f16", F16), ("bf16", BF16)] {
        let body = format!("cvt.rn.relu.{to}.f32 %r, %a;");
        let same = |found, expected| format.is_nan(found) && format.is_nan(expected);
        check(&body, &["f32"], to, &float_rows(F32), same, |row| {
            let half = F32.convert(row[0], format, Direction::Nearest);
            floats::larger(format, half, 0, true)
        });
    }
}

/// What a number of 8 bits stands for; `None` for what is no number.
fn eighth(name: &str, bits: u64) -> Option<f64> {
    let (fraction, bias) = if name == "e4m3" { (3, 7) } else { (2, 15) };
    let size = bits & 0x7f;
    let (field, rest) = (size >> fraction, (size & ((1 << fraction) - 1)) as f64);
    let finite = if name == "e4m3" { size < 0x7f } else { size < 0x7c };
    let unit = 2f64.powi(-fraction);
    let value = if field == 0 {
        rest * unit * 2f64.powi(1 - bias)
    } else {
        (1.0 + rest * unit) * 2f64.powi(field as i32 - bias)
    };
    finite.then_some(if bits & 0x80 != 0 { -value } else { value })
}

/// The nearest of all numbers of 8 bits, the even one of two; what is too large becomes the largest.
fn nearest_eighth(name: &str, x: f64) -> u64 {
    if x.is_nan() {
        return 0x7f;
    }
    let sign = if x.is_sign_negative() { 0x80 } else { 0 };
    let numbers = (0..0x80).filter_map(|bits| Some((bits, eighth(name, bits)?)));
    let nearest = numbers.min_by(|a, b| {
        let distance = |number: f64| (number - x.abs().min(1e6)).abs();
        distance(a.1).total_cmp(&distance(b.1)).then((a.0 & 1).cmp(&(b.0 & 1)))
    });
    nearest.expect("there are numbers").0 | sign
}

/// Numbers of 8 bits, two at a time.
pub(super) fn eighths() {
    let mut random = Random::new();
    let mut singles: Vec<f32> =
        vec![0.0, -0.0, 448.0, 464.0, 465.0, 57344.0, 61440.0, 61441.0, 1e30];
    singles.extend([f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.001_953_125, 0.000_976_562_5]);
    for name in ["e4m3", "e5m2"] {
        let numbers: Vec<f64> = (0..0x7f).filter_map(|bits| eighth(name, bits)).collect();
        for pair in numbers.windows(2) {
            let middle = f64::midpoint(pair[0], pair[1]) as f32;
            singles.extend([middle, -middle, middle.next_up(), middle.next_down(), pair[1] as f32]);
        }
    }
    let rows: Vec<Vec<u64>> = singles
        .iter()
        .map(|x| {
            let other = singles[(random.next() % singles.len() as u64) as usize];
            vec![x.to_bits().into(), other.to_bits().into()]
        })
        .collect();
    for name in ["e4m3", "e5m2"] {
        for (manner, relu) in [("", false), (".relu", true)] {
            let one = |x: f64| {
                // Of a negative number and zero, zero is the larger; NaN stays.
                if relu && x <= 0.0 { 0 } else { nearest_eighth(name, x) }
            };
            let body = format!("cvt.rn.satfinite{manner}.{name}x2.f32 %r, %a, %b;");
            check(&body, &["f32"; 2], "b16", &rows, exactly, |row| {
                let [a, b] = [row[0], row[1]].map(|bits| one(f32::from_bits(bits as u32).into()));
                a << 8 | b
            });
            let halves = halves::rows(F16, 2);
            let pairs: Vec<Vec<u64>> =
                halves.iter().map(|row| vec![row[0] << 16 | row[1]]).collect();
            let body = format!("cvt.rn.satfinite{manner}.{name}x2.f16x2 %r, %a;");
            let value =
                |bits: u64| f64::from_bits(F16.convert(bits & 0xffff, F64, Direction::Nearest));
            check(&body, &["f16x2"], "b16", &pairs, exactly, |row| {
                one(value(row[0] >> 16)) << 8 | one(value(row[0]))
            });
            let all: Vec<Vec<u64>> = (0..256).map(|at| vec![at << 8 | ((at * 7) & 0xff)]).collect();
            let body = format!("cvt.rn{manner}.f16x2.{name}x2 %r, %a;");
            let same = |found: u64, wanted: u64| {
                [0, 16].into_iter().all(|shift| {
                    let (found, wanted) = (found >> shift & 0xffff, wanted >> shift & 0xffff);
                    found == wanted || F16.is_nan(found) && F16.is_nan(wanted)
                })
            };
            check(&body, &["b16"], "f16x2", &all, same, |row| {
                let half = |bits: u64| {
                    let is_infinite = name == "e5m2" && bits & 0x7f == 0x7c;
                    let value = match eighth(name, bits) {
                        Some(value) => value,
                        None if is_infinite && bits & 0x80 != 0 => f64::NEG_INFINITY,
                        None if is_infinite => f64::INFINITY,
                        None => f64::NAN,
                    };
                    let half = F64.convert(value.to_bits(), F16, Direction::Nearest);
                    if relu { floats::larger(F16, half, 0, true) } else { half }
                };
                half(row[0] >> 8) << 16 | half(row[0] & 0xff)
            });
        }
    }
}
