//! `half.cu` and `bfloat.cu`

use super::exact::{BF16, Direction, F16, F32, F64, Format};
use super::{Module, each, upload};
use std::cmp::Ordering;

use Direction::{Down, Nearest, Up, Zero};

fn numbers(format: Format) -> Vec<u16> {
    let one = format.of_integer(1, Nearest) as u16;
    let infinity = format.infinity() as u16;
    vec![
        0,
        0x8000,
        1,
        0x8003,
        0x03ff,
        0x0400,
        one,
        one + 1,
        one | 0x8000,
        one - 1,
        one + 0x155,
        0x8000 | (one + 0x233),
        one + 0xc11,
        infinity - 1,
        0x8000 | (infinity - 2),
        infinity,
        infinity | 0x8000,
        infinity + 1,
    ]
}

/// All triples, as columns: the third number goes round.
fn triples(numbers: &[u16]) -> [Vec<u16>; 3] {
    let mut columns = [Vec::new(), Vec::new(), Vec::new()];
    for (at, &a) in numbers.iter().enumerate() {
        for (place, &b) in numbers.iter().enumerate() {
            columns[0].push(a);
            columns[1].push(b);
            columns[2].push(numbers[(at * 5 + place * 3) % numbers.len()]);
        }
    }
    columns
}

fn same(format: Format, found: u64, expected: u64) -> bool {
    found == expected || format.is_nan(found) && format.is_nan(expected)
}

fn order(format: Format, a: u64, b: u64) -> Option<Ordering> {
    format.compare(a, b)
}

fn pick(format: Format, a: u64, b: u64, smaller: bool) -> u64 {
    match (format.is_nan(a), format.is_nan(b)) {
        (true, _) => b,
        (_, true) => a,
        _ => match order(format, a, b) {
            Some(Ordering::Less) => {
                if smaller {
                    a
                } else {
                    b
                }
            }
            Some(Ordering::Greater) => {
                if smaller {
                    b
                } else {
                    a
                }
            }
            _ if (a == 0x8000) == smaller => a,
            _ => b,
        },
    }
}

fn comparisons(format: Format, a: u64, b: u64, unordered: bool) -> u64 {
    let order = order(format, a, b);
    let holds = |test: fn(Ordering) -> bool| order.map_or(unordered, test);
    [
        holds(Ordering::is_lt),
        holds(Ordering::is_le),
        holds(Ordering::is_eq),
        // CUDA's `!=` holds where one is NaN.
        order.is_none_or(Ordering::is_ne),
        holds(Ordering::is_gt),
        holds(Ordering::is_ge),
    ]
    .iter()
    .zip(0..)
    .map(|(&holds, at)| u64::from(holds) << at)
    .sum()
}

fn check(
    module: &Module,
    kernel: &str,
    format: Format,
    at: &str,
    found: &[u16],
    expected: &[Option<u64>],
) {
    for (place, (&found, expected)) in found.iter().zip(expected).enumerate() {
        let Some(expected) = *expected else { continue };
        assert!(
            same(format, found.into(), expected),
            "{}: {kernel}, result {place} of {at}: {found:#x} instead of {expected:#x}",
            module.text.name
        );
    }
}

/// A quotient or root that the headers compute in single precision and round once more.
fn by_single(format: Format, single: u64) -> u64 {
    F32.convert(single, format, Nearest)
}

fn halves(module: &Module) {
    let columns = triples(&numbers(F16));
    let inputs = columns.each_ref().map(|column| upload(column));
    let found = module.rows::<u16>("halves", columns[0].len(), 24, &inputs);
    let single = |bits: u64| F16.convert(bits, F32, Nearest);
    for (at, row) in found.iter().enumerate() {
        let [a, b, c] = columns.each_ref().map(|column| u64::from(column[at]));
        let integer = |direction, low: i128, high: i128| {
            F16.integer(a, direction, low, high).map(|value| value as u64 & 0xffff)
        };
        let class = u64::from(F16.is_nan(a)) << 6 | u64::from(a & 0x7fff == F16.infinity()) << 7;
        let expected = [
            Some(F16.add(a, b, Nearest)),
            Some(F16.add(a, b ^ 0x8000, Nearest)),
            Some(F16.multiply(a, b, Nearest)),
            Some(F16.fused(a, b, c, Nearest)),
            Some(F16.saturated(F16.add(a, b, Nearest))),
            Some(F16.saturated(F16.multiply(a, b, Nearest))),
            Some(F16.saturated(F16.fused(a, b, c, Nearest))),
            Some(a ^ 0x8000),
            Some(a & 0x7fff),
            None,
            None,
            Some(pick(F16, a, b, true)),
            Some(pick(F16, a, b, false)),
            Some(F16.integral(a, Down)),
            Some(F16.integral(a, Up)),
            Some(F16.integral(a, Zero)),
            Some(F16.integral(a, Nearest)),
            // What NaN becomes is left to the headers where they convert in steps.
            integer(Nearest, -32768, 32767),
            integer(Zero, 0, 65535),
            integer(Down, i32::MIN.into(), i32::MAX.into()),
            integer(Up, 0, u32::MAX.into()),
            integer(Zero, i64::MIN.into(), i64::MAX.into()),
            (!module.text.fast).then(|| by_single(F16, F32.divide(single(a), single(b), Nearest))),
            (!module.text.fast).then(|| by_single(F16, F32.root(single(a), Nearest))),
        ];
        // The headers divide by an approximate reciprocal and a correction: off by a place at most.
        check(module, "halves", F16, &format!("{a:#x} {b:#x} {c:#x}"), &row[..22], &expected);
        assert_eq!(u64::from(row[9]), comparisons(F16, a, b, false), "{a:#x} {b:#x}");
        assert_eq!(u64::from(row[10]), comparisons(F16, a, b, true) | class, "{a:#x} {b:#x}");
        for (found, expected) in row[22..].iter().zip(&expected[22..]) {
            let Some(expected) = *expected else { continue };
            let near =
                u64::from(*found).abs_diff(expected) <= 1 || same(F16, (*found).into(), expected);
            assert!(
                near,
                "{}: halves of {a:#x} {b:#x}: {found:#x} instead of {expected:#x}",
                module.text.name
            );
        }
    }
}

fn pairs(module: &Module) {
    let columns = triples(&numbers(F16));
    let count = columns[0].len();
    let words = columns.each_ref().map(|column| {
        (0..count)
            .map(|at| u32::from(column[count - 1 - at]) << 16 | u32::from(column[at]))
            .collect::<Vec<u32>>()
    });
    let inputs = words.each_ref().map(|column| upload(column));
    for (at, row) in module.rows::<u32>("half_pairs", count, 12, &inputs).iter().enumerate() {
        for (shift, at) in [(0, at), (16, count - 1 - at)] {
            let [a, b, c] = columns.each_ref().map(|column| u64::from(column[at]));
            let truth = |holds: bool| if holds { 0x3c00 } else { 0 };
            let expected = [
                F16.add(a, b, Nearest),
                F16.add(a, b ^ 0x8000, Nearest),
                F16.multiply(a, b, Nearest),
                F16.fused(a, b, c, Nearest),
                F16.saturated(F16.add(a, b, Nearest)),
                a ^ 0x8000,
                a & 0x7fff,
                truth(order(F16, a, b).is_some_and(Ordering::is_lt)),
                truth(order(F16, a, b).is_none_or(Ordering::is_ge)),
                pick(F16, a, b, true),
            ];
            let found: Vec<u16> = row.iter().map(|word| (word >> shift) as u16).collect();
            check(
                module,
                "half_pairs",
                F16,
                &format!("{a:#x} {b:#x} {c:#x}"),
                &found,
                &expected.map(Some),
            );
        }
        assert_eq!(row[10], words[0][at].rotate_left(16));
        assert_eq!(row[11], words[1][at] << 16 | words[0][at] >> 16);
    }
}

/// Singles, doubles and integers at which a half is rounded.
fn wider() -> (Vec<f32>, Vec<f64>, Vec<i32>) {
    let singles = [
        0.0,
        -0.0,
        1.0,
        -1.5,
        0.333_333_34,
        65504.0,
        65519.9,
        65520.0,
        -70000.0,
        6e-8,
        3e-8,
        -2.9e-8,
        1e-40,
        3.4e38,
        f32::INFINITY,
        f32::NAN,
        1.000_488_3,
        2049.0,
        1e-5,
        -1234.567,
    ];
    let doubles = singles.map(|x| f64::from(x) * (1.0 + 1e-12));
    let integers = [
        0,
        1,
        -1,
        2047,
        2049,
        -2051,
        4098,
        65504,
        65519,
        65520,
        -65535,
        100_000,
        i32::MAX,
        i32::MIN,
        77,
        -12345,
        33_333,
        16_777_217,
        255,
        257,
    ];
    (singles.to_vec(), doubles.to_vec(), integers.to_vec())
}

fn to_half(module: &Module) {
    let (singles, doubles, integers) = wider();
    let inputs = [upload(&singles), upload(&doubles), upload(&integers)];
    let ftz = module.text.fast;
    for (at, row) in module.rows::<u16>("to_half", singles.len(), 16, &inputs).iter().enumerate() {
        let single = |direction| F32.convert(singles[at].to_bits().into(), F16, direction);
        let of = |value: i128, direction| F16.of_integer(value, direction);
        let c = integers[at];
        let lower = F32.flushed(F64.convert(doubles[at].to_bits(), F32, Nearest), ftz);
        let expected = [
            single(Nearest),
            single(Zero),
            single(Down),
            single(Up),
            F64.convert(doubles[at].to_bits(), F16, Nearest),
            of(c.into(), Nearest),
            of(c.into(), Zero),
            of(c.into(), Down),
            of(c.into(), Up),
            of(c.cast_unsigned().into(), Nearest),
            of(i128::from(c) * 3, Nearest),
            of((c as i16).into(), Nearest),
            single(Nearest),
            F32.convert(lower, F16, Nearest),
            of((c as u16).into(), Down),
            0,
        ];
        check(module, "to_half", F16, &format!("row {at}"), row, &expected.map(Some));
    }
}

fn half_atomics(module: &Module) {
    let out = upload(&[0u32; 4]);
    module.launch("half_atomics", [64, 1, 1], 0, &[out]);
    let found = super::download::<u16>(out, 4);
    let half = |value: i128| F16.of_integer(value, Nearest) as u16;
    assert_eq!(found, [half(64), half(-64), half(32), half(32)], "{}", module.text.name);
}

fn bfloats(module: &Module) {
    let columns = triples(&numbers(BF16));
    let inputs = columns.each_ref().map(|column| upload(column));
    let found = module.rows::<u16>("bfloats", columns[0].len(), 13, &inputs);
    for (at, row) in found.iter().enumerate() {
        let [a, b, c] = columns.each_ref().map(|column| u64::from(column[at]));
        let nan = F16.is_nan(0);
        let integer = BF16.integer(a, Zero, i32::MIN.into(), i32::MAX.into());
        let expected = [
            Some(BF16.add(a, b, Nearest)),
            Some(BF16.add(a, b ^ 0x8000, Nearest)),
            Some(BF16.multiply(a, b, Nearest)),
            Some(BF16.fused(a, b, c, Nearest)),
            Some(BF16.saturated(BF16.fused(a, b, c, Nearest))),
            Some(a ^ 0x8000),
            Some(a & 0x7fff),
            Some(comparisons(BF16, a, b, nan)),
            Some(pick(BF16, a, b, true)),
            Some(pick(BF16, a, b, false)),
            integer.map(|value| value as u64 & 0xffff),
            None,
            Some(BF16.integral(a, Down)),
        ];
        // Before compute_90 sums are fused products, whose zeros may have the other sign, and with
        // fast arithmetic subnormal singles count as zero.
        let relaxed = module.text.architecture < 90 || module.text.fast;
        for (place, (&found, expected)) in row.iter().zip(&expected).enumerate() {
            let Some(expected) = *expected else { continue };
            let small = |bits: u64| bits & 0x7fff < 0x80;
            let tiny = relaxed && small(found.into()) && small(expected);
            let by_flush = module.text.fast && [a, b, c].into_iter().any(small);
            assert!(
                same(BF16, found.into(), expected) || tiny || by_flush,
                "{}: bfloats, result {place} of {a:#x} {b:#x} {c:#x}: {found:#x} instead of {expected:#x}",
                module.text.name
            );
        }
    }
}

fn to_bfloat(module: &Module) {
    let (singles, doubles, integers) = wider();
    let inputs = [upload(&singles), upload(&doubles), upload(&integers)];
    for (at, row) in module.rows::<u16>("to_bfloat", singles.len(), 8, &inputs).iter().enumerate() {
        let single = |direction| F32.convert(singles[at].to_bits().into(), BF16, direction);
        let lower = F32.flushed(F64.convert(doubles[at].to_bits(), F32, Nearest), module.text.fast);
        let expected = [
            single(Nearest),
            single(Zero),
            single(Down),
            single(Up),
            F64.convert(doubles[at].to_bits(), BF16, Nearest),
            BF16.of_integer(integers[at].into(), Nearest),
            single(Nearest),
            F32.convert(lower, BF16, Nearest),
        ];
        // With fast arithmetic a subnormal single may count as zero on the way.
        let expected =
            expected.map(|bits| (!module.text.fast || bits & 0x7fff >= 0x80).then_some(bits));
        check(module, "to_bfloat", BF16, &format!("row {at}"), row, &expected);
    }
}

fn bfloat_atomics(module: &Module) {
    let out = upload(&[0u32; 4]);
    module.launch("bfloat_atomics", [64, 1, 1], 0, &[out]);
    let found = super::download::<u16>(out, 4);
    let number = |value: i128| BF16.of_integer(value, Nearest) as u16;
    assert_eq!(found, [number(32), number(32), number(64), number(-64)], "{}", module.text.name);
}

crate::child::in_child! {
    halves_are_rounded_once("sms=2,memory=64MiB,driver=13.5") {
        each("half", |module| {
            halves(module);
            pairs(module);
            to_half(module);
            half_atomics(module);
        });
    }

    bfloats_are_rounded_once("sms=2,memory=64MiB,driver=13.5") {
        each("bfloat", |module| {
            if module.text.architecture >= 80 {
                bfloats(module);
                to_bfloat(module);
                bfloat_atomics(module);
            }
        });
    }
}
