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
                let float = format.from_integer(whole, Direction::Nearest);
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
                        let result = format.from_integer(integer(from, row[0]), direction);
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
