//! `setp`, `set` and the selections, on all types.

use std::cmp::Ordering;

use super::exact::{BF16, F16, F32, F64, Format};
use super::floats;
use super::halves;
use super::harness::{Random, check, combinations, exactly, width};

/// What a comparison says of two numbers, or of a NaN among them (`None`).
type Order = (&'static str, fn(Option<Ordering>) -> bool);

const OF_FLOATS: [Order; 14] = [
    ("eq", |order| order == Some(Ordering::Equal)),
    ("ne", |order| order.is_some_and(Ordering::is_ne)),
    ("lt", |order| order == Some(Ordering::Less)),
    ("le", |order| order.is_some_and(Ordering::is_le)),
    ("gt", |order| order == Some(Ordering::Greater)),
    ("ge", |order| order.is_some_and(Ordering::is_ge)),
    ("equ", |order| order.is_none_or(Ordering::is_eq)),
    ("neu", |order| order.is_none_or(Ordering::is_ne)),
    ("ltu", |order| order.is_none_or(Ordering::is_lt)),
    ("leu", |order| order.is_none_or(Ordering::is_le)),
    ("gtu", |order| order.is_none_or(Ordering::is_gt)),
    ("geu", |order| order.is_none_or(Ordering::is_ge)),
    ("num", |order| order.is_some()),
    ("nan", |order| order.is_none()),
];

const FLOATS: [(&str, Format); 4] = [("f16", F16), ("bf16", BF16), ("f32", F32), ("f64", F64)];

fn float_rows(format: Format) -> Vec<Vec<u64>> {
    if matches!(format, F16 | BF16) { halves::rows(format, 2) } else { floats::rows(format, 2) }
}

pub(super) fn floats_are_compared() {
    for (ty, format) in FLOATS {
        let rows = float_rows(format);
        for (name, holds) in OF_FLOATS {
            for (manner, ftz) in [("", false), (".ftz", true)] {
                if ftz && !matches!(format, F16 | F32) {
                    continue;
                }
                let order = |row: &[u64]| {
                    let [a, b] = [row[0], row[1]].map(|bits| format.flushed(bits, ftz));
                    holds(format.compare(a, b))
                };
                let body = format!("setp.{name}{manner}.{ty} %r, %a, %b;");
                check(&body, &[ty; 2], "pred", &rows, exactly, |row| order(row).into());
                for (result, yes) in [
                    ("u32", 0xffff_ffff),
                    ("s32", 0xffff_ffff),
                    ("f32", 0x3f80_0000),
                    ("f16", 0x3c00),
                    ("bf16", 0x3f80),
                ] {
                    let body = format!("set.{name}{manner}.{result}.{ty} %r, %a, %b;");
                    check(&body, &[ty; 2], result, &rows, exactly, |row| {
                        if order(row) { yes } else { 0 }
                    });
                }
            }
        }
    }
}

/// `set` of two halves at a time.
pub(super) fn pairs_are_compared() {
    for (two, format, yes) in [("f16x2", F16, 0x3c00), ("bf16x2", BF16, 0x3f80u64)] {
        let rows = halves::rows(format, 2);
        let pairs: Vec<Vec<u64>> = rows
            .iter()
            .zip(rows.iter().rev())
            .map(|(low, high)| vec![high[0] << 16 | low[0], high[1] << 16 | low[1]])
            .collect();
        for (name, holds) in OF_FLOATS {
            let body = format!("set.{name}.{two}.{two} %r, %a, %b;");
            check(&body, &[two; 2], two, &pairs, exactly, |row| {
                let half = |shift: u32| {
                    let (a, b) = (row[0] >> shift & 0xffff, row[1] >> shift & 0xffff);
                    if holds(format.compare(a, b)) { yes } else { 0 }
                };
                half(16) << 16 | half(0)
            });
        }
    }
}

fn integer_rows() -> Vec<Vec<u64>> {
    let special =
        [0, 1, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 63, u64::MAX];
    let mut rows = combinations(&special, 2);
    let mut random = Random::new();
    rows.extend((0..200).map(|_| vec![random.next(), random.next()]));
    rows
}

fn integer(ty: &str, register: u64) -> i128 {
    let shift = 64 - width(ty).1 * 8;
    if ty.starts_with('s') {
        i128::from((register << shift).cast_signed() >> shift)
    } else {
        i128::from(register << shift >> shift)
    }
}

pub(super) fn integers_are_compared() {
    let rows = integer_rows();
    for ty in ["b16", "b32", "b64", "u16", "u32", "u64", "s16", "s32", "s64"] {
        for (name, holds) in [
            ("eq", Ordering::is_eq as fn(Ordering) -> bool),
            ("ne", Ordering::is_ne),
            ("lt", Ordering::is_lt),
            ("le", Ordering::is_le),
            ("gt", Ordering::is_gt),
            ("ge", Ordering::is_ge),
            ("lo", Ordering::is_lt),
            ("ls", Ordering::is_le),
            ("hi", Ordering::is_gt),
            ("hs", Ordering::is_ge),
        ] {
            let of_unsigned = matches!(name, "lo" | "ls" | "hi" | "hs");
            let of_bits = ty.starts_with('b') && !matches!(name, "eq" | "ne");
            if of_bits || of_unsigned && !ty.starts_with('u') {
                continue;
            }
            let order = |row: &[u64]| holds(integer(ty, row[0]).cmp(&integer(ty, row[1])));
            let body = format!("setp.{name}.{ty} %r, %a, %b;");
            check(&body, &[ty; 2], "pred", &rows, exactly, |row| order(row).into());
            let body = format!("set.{name}.s32.{ty} %r, %a, %b;");
            check(
                &body,
                &[ty; 2],
                "s32",
                &rows,
                exactly,
                |row| if order(row) { u64::MAX } else { 0 },
            );
        }
    }
    combined(&rows);
}

/// Both targets of `setp`, and the predicate that it is combined with.
fn combined(rows: &[Vec<u64>]) {
    let rows: Vec<Vec<u64>> =
        rows.iter().flat_map(|row| [0, 1].map(|c| vec![row[0], row[1], c])).collect();
    for (name, combine) in [
        ("and", (|a, b| a & b) as fn(bool, bool) -> bool),
        ("or", |a, b| a | b),
        ("xor", |a, b| a ^ b),
    ] {
        for (predicate, negated) in [("%c", false), ("!%c", true)] {
            let types = ["u32", "u32", "pred"];
            let less = |row: &[u64]| row[0] < row[1];
            let c = |row: &[u64]| (row[2] != 0) != negated;
            let body = format!("setp.lt.{name}.u32 %r|%q, %a, %b, {predicate};");
            check(&body, &types, "pred", &rows, exactly, |row| combine(less(row), c(row)).into());
            let body = format!("setp.lt.{name}.u32 %q|%r, %a, %b, {predicate};");
            check(&body, &types, "pred", &rows, exactly, |row| combine(!less(row), c(row)).into());
            let body = format!("set.lt.{name}.u32.u32 %r, %a, %b, {predicate};");
            check(&body, &types, "u32", &rows, exactly, |row| {
                if combine(less(row), c(row)) { u64::MAX } else { 0 }
            });
        }
    }
}

pub(super) fn selections() {
    let mut random = Random::new();
    let rows: Vec<Vec<u64>> =
        (0..200).map(|at| vec![random.next(), random.next(), at & 1]).collect();
    for ty in ["b16", "b32", "b64", "u16", "u32", "u64", "s16", "s32", "s64", "f32", "f64"] {
        let body = format!("selp.{ty} %r, %a, %b, %c;");
        check(&body, &[ty, ty, "pred"], ty, &rows, exactly, |row| {
            if row[2] != 0 { row[0] } else { row[1] }
        });
        let by_integer: Vec<Vec<u64>> = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]
            .into_iter()
            .map(|c| vec![random.next(), random.next(), c])
            .collect();
        let body = format!("slct.{ty}.s32 %r, %a, %b, %c;");
        check(&body, &[ty, ty, "s32"], ty, &by_integer, exactly, |row| {
            if row[2] >> 31 == 0 { row[0] } else { row[1] }
        });
        let by_float: Vec<Vec<u64>> = floats::rows(F32, 1)
            .into_iter()
            .map(|row| vec![random.next(), random.next(), row[0]])
            .collect();
        for (manner, ftz) in [("", false), (".ftz", true)] {
            let body = format!("slct{manner}.{ty}.f32 %r, %a, %b, %c;");
            check(&body, &[ty, ty, "f32"], ty, &by_float, exactly, |row| {
                let order = F32.compare(F32.flushed(row[2], ftz), 0);
                if order.is_some_and(Ordering::is_ge) { row[0] } else { row[1] }
            });
        }
    }
}
