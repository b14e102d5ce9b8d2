//! Arithmetic of single and double precision: every rounding, `.ftz` and `.sat`, against exact numbers.

use std::cmp::Ordering;

use super::exact::{DIRECTIONS, Direction, F32, F64, Format};
use super::harness::{Random, check, combinations, exactly};

/// Singles and doubles at which arithmetic goes wrong.
const SINGLES: [u32; 20] = [
    0x0000_0000, // 0
    0x8000_0000, // -0
    0x0000_0001, // the smallest
    0x8000_0003,
    0x007f_ffff, // the largest subnormal number
    0x0080_0000, // the smallest normal number
    0x8080_0001,
    0x3f80_0000, // 1
    0xbf80_0001,
    0x3f7f_ffff,
    0x3eaa_aaab, // 1/3
    0x4049_0fdb,
    0xc640_0003,
    0x3380_0000, // half of the last place of 1
    0x4b7f_ffff,
    0x7f7f_ffff, // the largest
    0xff7f_fffe,
    0x7f80_0000, // infinite
    0xff80_0000,
    0x7fc0_0001, // NaN
];

const DOUBLES: [u64; 18] = [
    0x0000_0000_0000_0000,
    0x8000_0000_0000_0000,
    0x0000_0000_0000_0001,
    0x8000_0000_0000_0005,
    0x000f_ffff_ffff_ffff,
    0x0010_0000_0000_0000,
    0x3ff0_0000_0000_0000,
    0xbff0_0000_0000_0001,
    0x3fef_ffff_ffff_ffff,
    0x3fd5_5555_5555_5555,
    0xc009_21fb_5444_2d18,
    0x3ca0_0000_0000_0000,
    0x433f_ffff_ffff_ffff,
    0x7fef_ffff_ffff_ffff,
    0xffef_ffff_ffff_fffe,
    0x7ff0_0000_0000_0000,
    0xfff0_0000_0000_0000,
    0x7ff8_0000_0000_0001,
];

/// Interesting rows of `count` floats, and random ones: half of them of any size, half of sizes near
/// each other, where sums cancel.
pub(super) fn rows(format: Format, count: usize) -> Vec<Vec<u64>> {
    let special: Vec<u64> =
        if format == F64 { DOUBLES.to_vec() } else { SINGLES.map(u64::from).to_vec() };
    let mut rows = combinations(&special, count);
    let mut random = Random::new();
    for at in 0..600 {
        let near = random.next();
        rows.push(
            (0..count)
                .map(|_| {
                    let bits = random.next();
                    match (format == F64, at % 2) {
                        (true, 0) => bits,
                        (true, _) => bits & !(0x7fe << 52) | near & (0x7fe << 52),
                        (false, 0) => bits >> 32,
                        (false, _) => bits >> 32 & !(0xfe << 23) | near & (0xfe << 23),
                    }
                })
                .collect(),
        );
    }
    rows
}

/// `.ftz` and `.sat` as they are written, for a type that may have them.
fn manners(format: Format, may_saturate: bool) -> Vec<(&'static str, bool, bool)> {
    let mut manners = vec![("", false, false)];
    if format == F32 {
        manners.push((".ftz", true, false));
        if may_saturate {
            manners.extend([(".sat", false, true), (".ftz.sat", true, true)]);
        }
    }
    manners
}

type Operation = fn(Format, &[u64], Direction) -> u64;

/// Checks an operation in all roundings and manners.
fn check_rounded(opcode: &str, count: usize, may_saturate: bool, operation: Operation) {
    for (name, format) in [("f32", F32), ("f64", F64)] {
        let rows = rows(format, count);
        for (rounding, direction) in DIRECTIONS {
            for (manner, ftz, saturate) in manners(format, may_saturate) {
                let operands = &[", %a", ", %b", ", %c"][..count];
                let body = format!("{opcode}.{rounding}{manner}.{name} %r{};", operands.concat());
                let same = |found, expected| format.is_nan(found) && format.is_nan(expected);
                check(&body, &[name; 3][..count], name, &rows, same, |row| {
                    let row: Vec<u64> = row.iter().map(|&x| format.flushed(x, ftz)).collect();
                    let result = format.flushed(operation(format, &row, direction), ftz);
                    if saturate { format.saturated(result) } else { result }
                });
            }
        }
    }
}

/// Without a rounding it is the nearest.
fn check_default(opcode: &str, operation: Operation) {
    for (name, format) in [("f32", F32), ("f64", F64)] {
        let same = |found, expected| format.is_nan(found) && format.is_nan(expected);
        let body = format!("{opcode}.{name} %r, %a, %b;");
        check(&body, &[name; 2], name, &rows(format, 2), same, |row| {
            operation(format, row, Direction::Nearest)
        });
    }
}

fn negated(format: Format, x: u64) -> u64 {
    x ^ format.zero(true)
}

pub(super) fn sums() {
    check_rounded("add", 2, true, |format, row, direction| format.add(row[0], row[1], direction));
    check_default("add", |format, row, direction| format.add(row[0], row[1], direction));
}

pub(super) fn differences() {
    let subtract: Operation =
        |format, row, direction| format.add(row[0], negated(format, row[1]), direction);
    check_rounded("sub", 2, true, subtract);
    check_default("sub", subtract);
}

pub(super) fn products() {
    let multiply: Operation = |format, row, direction| format.multiply(row[0], row[1], direction);
    check_rounded("mul", 2, true, multiply);
    check_default("mul", multiply);
}

pub(super) fn fused_products() {
    for opcode in ["fma", "mad"] {
        check_rounded(opcode, 3, true, |format, row, direction| {
            format.fused(row[0], row[1], row[2], direction)
        });
    }
}

pub(super) fn quotients() {
    check_rounded("div", 2, false, |format, row, direction| {
        format.divide(row[0], row[1], direction)
    });
}

pub(super) fn reciprocals() {
    check_rounded("rcp", 1, false, |format, row, direction| {
        let one = format.of_integer(1, Direction::Nearest);
        format.divide(one, row[0], direction)
    });
}

pub(super) fn roots() {
    check_rounded("sqrt", 1, false, |format, row, direction| format.root(row[0], direction));
}

pub(super) fn signs() {
    for (name, format) in [("f32", F32), ("f64", F64)] {
        let same = |found, expected| format.is_nan(found) && format.is_nan(expected);
        let sign = format.zero(true);
        for (manner, ftz, _) in manners(format, false) {
            for (opcode, turned) in [("abs", false), ("neg", true)] {
                let body = format!("{opcode}{manner}.{name} %r, %a;");
                check(&body, &[name], name, &rows(format, 1), same, |row| {
                    let x = format.flushed(row[0], ftz);
                    if turned { x ^ sign } else { x & !sign }
                });
            }
        }
        // The sign of the first operand, the size of the second.
        let body = format!("copysign.{name} %r, %a, %b;");
        check(&body, &[name; 2], name, &rows(format, 2), exactly, |row| {
            row[0] & sign | row[1] & !sign
        });
    }
}

/// The smaller of two floats; minus zero is smaller than zero.
pub(super) fn smaller(format: Format, a: u64, b: u64, spread_nan: bool) -> u64 {
    match (format.is_nan(a), format.is_nan(b)) {
        (true, true) => return format.nan(),
        (true, false) => return if spread_nan { a } else { b },
        (false, true) => return if spread_nan { b } else { a },
        _ => {}
    }
    match format.compare(a, b) {
        Some(Ordering::Less) => a,
        Some(Ordering::Greater) => b,
        _ if a == format.zero(true) => a,
        _ => b,
    }
}

pub(super) fn larger(format: Format, a: u64, b: u64, spread_nan: bool) -> u64 {
    negated(format, smaller(format, negated(format, a), negated(format, b), spread_nan))
}

pub(super) fn extremes() {
    for (name, format) in [("f32", F32), ("f64", F64)] {
        let same = |found, expected| format.is_nan(found) && format.is_nan(expected);
        let forms: &[(&str, bool, bool)] = if format == F32 {
            &[
                ("", false, false),
                (".ftz", true, false),
                (".NaN", false, true),
                (".ftz.NaN", true, true),
            ]
        } else {
            &[("", false, false)]
        };
        for &(manner, ftz, spread) in forms {
            for (opcode, pick) in
                [("min", smaller as fn(Format, u64, u64, bool) -> u64), ("max", larger)]
            {
                let body = format!("{opcode}{manner}.{name} %r, %a, %b;");
                check(&body, &[name; 2], name, &rows(format, 2), same, |row| {
                    pick(format, format.flushed(row[0], ftz), format.flushed(row[1], ftz), spread)
                });
            }
        }
    }
}

pub(super) fn properties() {
    for (name, format) in [("f32", F32), ("f64", F64)] {
        let sign = format.zero(true);
        for property in ["finite", "infinite", "number", "notanumber", "normal", "subnormal"] {
            let body = format!("testp.{property}.{name} %r, %a;");
            check(&body, &[name], "pred", &rows(format, 1), exactly, |row| {
                let size = row[0] & !sign;
                let subnormal = size != 0 && format.flushed(size, true) == 0;
                u64::from(match property {
                    "finite" => size < format.infinity(),
                    "infinite" => size == format.infinity(),
                    "number" => size <= format.infinity(),
                    "notanumber" => size > format.infinity(),
                    "normal" => size != 0 && !subnormal && size < format.infinity(),
                    _ => subnormal,
                })
            });
        }
    }
}
