//! Half precision and bfloats, one and two at a time, against exact numbers.

use super::exact::{BF16, DIRECTIONS, Direction, F16, F32, F64, Format};
use super::floats::{larger, smaller};
use super::harness::{Random, check, combinations};

/// Halves at which arithmetic goes wrong, and random ones.
pub(super) fn rows(format: Format, count: usize) -> Vec<Vec<u64>> {
    let one = format.of_integer(1, Direction::Nearest);
    let infinity = format.infinity();
    let smallest_normal = if format == F16 { 0x400 } else { 0x80 };
    let special = [
        0,
        0x8000,
        1,
        0x8003,
        smallest_normal - 1,
        smallest_normal,
        0x8001 + smallest_normal,
        one,
        0x8001 + one,
        one - 1,
        one + 0x55,
        0x8000 + infinity - 1,
        infinity - 2,
        infinity,
        0x8000 + infinity,
        infinity + 1,
    ];
    let mut rows = combinations(&special, count);
    let mut random = Random::new();
    for at in 0..1500 {
        let near = random.next() & infinity;
        rows.push(
            (0..count)
                .map(|_| {
                    let bits = random.next() & 0xffff;
                    if at % 2 == 0 { bits } else { bits & !infinity | near }
                })
                .collect(),
        );
    }
    rows
}

const FORMATS: [(&str, &str, Format); 2] = [("f16", "f16x2", F16), ("bf16", "bf16x2", BF16)];

/// Checks an instruction on one half and on two, of which the upper are those of another row.
fn check_both(
    opcode: &str,
    (one, two, format): (&str, &str, Format),
    count: usize,
    expected: impl Fn(&[u64]) -> u64,
) {
    let rows = rows(format, count);
    let operands = [", %a", ", %b", ", %c"][..count].concat();
    let same = |found, expected| format.is_nan(found) && format.is_nan(expected);
    let body = format!("{opcode}.{one} %r{operands};");
    check(&body, &[one; 3][..count], one, &rows, same, &expected);
    let pairs: Vec<Vec<u64>> = rows
        .iter()
        .zip(rows.iter().rev())
        .map(|(low, high)| low.iter().zip(high).map(|(low, high)| high << 16 | low).collect())
        .collect();
    let same_pair = |found: u64, wanted: u64| {
        [0, 16].into_iter().all(|shift| {
            let (found, wanted) = (found >> shift & 0xffff, wanted >> shift & 0xffff);
            found == wanted || same(found, wanted)
        })
    };
    let body = format!("{opcode}.{two} %r{operands};");
    check(&body, &[two; 3][..count], two, &pairs, same_pair, |row| {
        let halves = |shift: u32| -> Vec<u64> { row.iter().map(|x| x >> shift & 0xffff).collect() };
        expected(&halves(16)) << 16 | expected(&halves(0))
    });
}

/// The manners that each format has: spelled, `.ftz`, `.sat`, `.relu`.
type Manner = (&'static str, bool, bool, bool);

fn manners(format: Format, fused: bool) -> Vec<Manner> {
    let mut manners = vec![("", false, false, false)];
    if format == F16 {
        manners.extend([
            (".ftz", true, false, false),
            (".sat", false, true, false),
            (".ftz.sat", true, true, false),
        ]);
    }
    if fused {
        manners.push((".relu", false, false, true));
    }
    manners
}

fn check_arithmetic(opcode: &str, count: usize, operation: fn(Format, &[u64]) -> u64) {
    for formats in FORMATS {
        let format = formats.2;
        for (manner, ftz, saturate, relu) in manners(format, count == 3) {
            let opcode = format!("{opcode}.rn{manner}");
            check_both(&opcode, formats, count, |row| {
                let row: Vec<u64> = row.iter().map(|&x| format.flushed(x, ftz)).collect();
                let result = format.flushed(operation(format, &row), ftz);
                match (saturate, relu) {
                    (true, _) => format.saturated(result),
                    (_, true) => larger(format, result, 0, true),
                    _ => result,
                }
            });
        }
    }
}

pub(super) fn sums() {
    check_arithmetic("add", 2, |format, row| format.add(row[0], row[1], Direction::Nearest));
    check_arithmetic("sub", 2, |format, row| {
        format.add(row[0], row[1] ^ 0x8000, Direction::Nearest)
    });
}

pub(super) fn products() {
    check_arithmetic("mul", 2, |format, row| format.multiply(row[0], row[1], Direction::Nearest));
}

pub(super) fn fused_products() {
    check_arithmetic("fma", 3, |format, row| {
        format.fused(row[0], row[1], row[2], Direction::Nearest)
    });
}

pub(super) fn signs_and_extremes() {
    for formats in FORMATS {
        let format = formats.2;
        check_both("neg", formats, 1, |row| row[0] ^ 0x8000);
        check_both("abs", formats, 1, |row| row[0] & 0x7fff);
        for (manner, spread) in [("", false), (".NaN", true)] {
            check_both(&format!("min{manner}"), formats, 2, |row| {
                smaller(format, row[0], row[1], spread)
            });
            check_both(&format!("max{manner}"), formats, 2, |row| {
                larger(format, row[0], row[1], spread)
            });
        }
    }
    check_both("min.ftz", FORMATS[0], 2, |row| {
        smaller(F16, F16.flushed(row[0], true), F16.flushed(row[1], true), false)
    });
}

/// The approximate functions are the single's, rounded: near enough where the last place is not
/// below 2^-9 of the value.
pub(super) fn functions() {
    for (opcode, formats, function) in [
        ("ex2.approx", FORMATS[0], f64::exp2 as fn(f64) -> f64),
        ("ex2.approx.ftz", FORMATS[1], f64::exp2),
        ("tanh.approx", FORMATS[0], f64::tanh),
        ("tanh.approx", FORMATS[1], f64::tanh),
    ] {
        let format = formats.2;
        let rows = rows(format, 1);
        let body = format!("{opcode}.{} %r, %a;", formats.0);
        let value = |bits| f64::from_bits(format.convert(bits, F64, Direction::Nearest));
        let same = |found, expected| {
            if format.is_nan(expected) {
                return format.is_nan(found);
            }
            let (found, expected) = (value(found), value(expected));
            (found - expected).abs() <= expected.abs() * 2f64.powi(-7) + 2f64.powi(-24)
        };
        check(&body, &[formats.0], formats.0, &rows, same, |row| {
            F64.convert(function(value(row[0])).to_bits(), format, Direction::Nearest)
        });
    }
}

/// Two singles become two halves: the first operand is the upper.
pub(super) fn pairs_of_singles() {
    let singles = super::floats::rows(F32, 2);
    for (_, two, format) in FORMATS {
        for (rounding, direction) in &DIRECTIONS[..2] {
            for (manner, relu) in [("", false), (".relu", true)] {
                let body = format!("cvt.{rounding}{manner}.{two}.f32 %r, %a, %b;");
                let same_pair = |found: u64, wanted: u64| {
                    [0, 16].into_iter().all(|shift| {
                        let (found, wanted) = (found >> shift & 0xffff, wanted >> shift & 0xffff);
                        found == wanted || format.is_nan(found) && format.is_nan(wanted)
                    })
                };
                check(&body, &["f32", "f32"], two, &singles, same_pair, |row| {
                    let half = |bits: u64| {
                        let half = F32.convert(bits, format, *direction);
                        if relu { larger(format, half, 0, true) } else { half }
                    };
                    half(row[0]) << 16 | half(row[1])
                });
            }
        }
    }
}
