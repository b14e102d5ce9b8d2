//! `float.cu`, `double.cu` and `functions.cu`

use super::exact::{Direction, F32, F64, Format};
use super::{Module, each, upload};

use Direction::{Down, Nearest, Up, Zero};

fn singles() -> Vec<u32> {
    vec![
        0x0000_0000,
        0x8000_0000,
        0x0000_0001,
        0x8000_0003,
        0x007f_ffff,
        0x0080_0000,
        0x3f80_0000,
        0xbf80_0001,
        0x3eaa_aaab,
        0x4049_0fdb,
        0x4020_0000,
        0xc060_0000,
        0x4b7f_ffff,
        0x4f00_0000,
        0xcf00_0001,
        0x5f00_0000,
        0x7f7f_ffff,
        0xff7f_fffe,
        0x7f80_0000,
        0xff80_0000,
        0x7fc0_0000,
    ]
}

fn doubles() -> Vec<u64> {
    let mut numbers: Vec<u64> =
        singles().iter().map(|&bits| f64::from(f32::from_bits(bits)).to_bits()).collect();
    numbers.extend([
        1,
        0x000f_ffff_ffff_ffff,
        0x0010_0000_0000_0001,
        0x7fef_ffff_ffff_ffff,
        0xffe0_0000_0000_0001,
        0x3ff0_0000_0000_0001,
        0x41df_ffff_ffc0_0000,
        0xc1e0_0000_0010_0000,
        0x3810_0000_0000_0000,
        0x47ef_ffff_f000_0000,
        0x3690_0000_0000_0000,
    ]);
    numbers
}

/// Threads of a block are limited, so that many rows are run in parts.
const PART: usize = 1000;

/// Runs a kernel on all rows of inputs, in parts.
fn run<T: super::Plain>(
    module: &Module,
    kernel: &str,
    columns: &[Vec<T>],
    width: usize,
) -> Vec<Vec<u64>>
where
    u64: From<T>,
{
    let count = columns[0].len();
    let mut rows = Vec::new();
    for from in (0..count).step_by(PART) {
        let to = count.min(from + PART);
        let inputs: Vec<u64> = columns.iter().map(|column| upload(&column[from..to])).collect();
        let part = module.rows::<T>(kernel, to - from, width, &inputs);
        rows.extend(part.into_iter().map(|row| row.into_iter().map(u64::from).collect::<Vec<_>>()));
    }
    rows
}

/// All triples of numbers, as columns.
fn triples<T: Copy>(numbers: &[T]) -> [Vec<T>; 3] {
    let mut columns = [Vec::new(), Vec::new(), Vec::new()];
    for &a in numbers {
        for &b in numbers {
            for at in [0, 3, 7, 11, 17] {
                columns[0].push(a);
                columns[1].push(b);
                columns[2].push(numbers[at]);
            }
        }
    }
    columns
}

fn same(format: Format, found: u64, expected: u64) -> bool {
    found == expected || format.is_nan(found) && format.is_nan(expected)
}

/// The 28 results of `rounded`.
fn rounded_results(format: Format, a: u64, b: u64, c: u64) -> Vec<u64> {
    let directions = [Nearest, Zero, Down, Up];
    let minus = format.zero(true);
    let one = format.of_integer(1, Nearest);
    let mut results = Vec::new();
    results.extend(directions.map(|direction| format.add(a, b, direction)));
    results.extend(directions.map(|direction| format.add(a, b ^ minus, direction)));
    results.extend(directions.map(|direction| format.multiply(a, b, direction)));
    results.extend(directions.map(|direction| format.fused(a, b, c, direction)));
    results.extend(directions.map(|direction| format.divide(a, b, direction)));
    results.extend(directions.map(|direction| format.divide(one, a, direction)));
    results.extend(directions.map(|direction| format.root(a, direction)));
    results
}

fn check_rounded<T: super::Plain>(module: &Module, format: Format, numbers: &[T], width: usize)
where
    u64: From<T>,
{
    let ftz = module.text.fast && format == F32;
    let columns = triples(numbers);
    let found = run(module, "rounded", &columns, width);
    for (at, row) in found.iter().enumerate() {
        let [a, b, c] = [0, 1, 2].map(|column| format.flushed(u64::from(columns[column][at]), ftz));
        let mut expected: Vec<u64> = rounded_results(format, a, b, c)
            .into_iter()
            .map(|result| format.flushed(result, ftz))
            .collect();
        if width > expected.len() {
            expected.push(format.saturated(a));
        }
        for (place, (&found, &expected)) in row.iter().zip(&expected).enumerate() {
            assert!(
                same(format, found, expected),
                "{}: rounded, result {place} of {a:#x} {b:#x} {c:#x}: {found:#x} instead of {expected:#x}",
                module.text.name
            );
        }
    }
}

/// `floor` and its kin, by the place that they have in both kernels `steps`.
fn check_steps<T: super::Plain>(module: &Module, format: Format, numbers: &[T], double: bool)
where
    u64: From<T>,
{
    let ftz = module.text.fast && !double;
    let columns: [Vec<T>; 3] = triples(numbers);
    let width = if double { 12 } else { 13 };
    let found = run(module, "steps", &columns[..2], width);
    let minus = format.zero(true);
    for (at, row) in found.iter().enumerate() {
        let [a, b] = [0, 1].map(|column| u64::from(columns[column][at]));
        let [fa, fb] = [a, b].map(|bits| format.flushed(bits, ftz));
        let pick = |smaller: bool| match (format.is_nan(fa), format.is_nan(fb)) {
            (true, _) => fb,
            (_, true) => fa,
            _ => match format.compare(fa, fb) {
                Some(std::cmp::Ordering::Less) => {
                    if smaller {
                        fa
                    } else {
                        fb
                    }
                }
                Some(std::cmp::Ordering::Greater) => {
                    if smaller {
                        fb
                    } else {
                        fa
                    }
                }
                _ if (fa == minus) == smaller => fa,
                _ => fb,
            },
        };
        // Half away from zero: the nearest even, unless it is a tie.
        let round = {
            let (down, up) = (format.integral(fa & !minus, Down), format.integral(fa & !minus, Up));
            let tie = format.add(fa & !minus, down ^ minus, Nearest)
                == format.divide(
                    format.of_integer(1, Nearest),
                    format.of_integer(2, Nearest),
                    Nearest,
                );
            let near = format.integral(fa & !minus, Nearest);
            (if tie { up } else { near }) | fa & minus
        };
        let order = match format.compare(fa, fb) {
            Some(std::cmp::Ordering::Less) => 1,
            Some(std::cmp::Ordering::Equal) => 2,
            Some(std::cmp::Ordering::Greater) => 3,
            None => 4,
        };
        let size = a & !minus;
        let class = i128::from(size > format.infinity())
            + 2 * i128::from(size == format.infinity())
            + 4 * i128::from(a & minus != 0)
            + 8 * i128::from(size < format.infinity());
        let number = |value: i128| format.of_integer(value, Nearest);
        let mut expected = vec![
            format.integral(fa, Down),
            format.integral(fa, Up),
            format.integral(fa, Zero),
            format.integral(fa, Nearest),
            round,
        ];
        if !double {
            expected.push(format.integral(fa, Nearest));
        }
        expected.extend([pick(true), pick(false), fa & !minus, a & !minus | b & minus]);
        if !double {
            let difference = format.flushed(format.add(fa, fb ^ minus, Nearest), ftz);
            expected.push(if order == 3 || order == 4 { difference } else { 0 });
        }
        expected.extend([number(order), number(class)]);
        if double {
            expected.push(a >> 32 << 32 | b & 0xffff_ffff);
        }
        for (place, (&found, &expected)) in row.iter().zip(&expected).enumerate() {
            // With flushing, a sign or a copy may show the number before or after it.
            let after = format.flushed(found, ftz) == format.flushed(expected, ftz);
            assert!(
                same(format, found, expected) || ftz && after,
                "{}: steps, result {place} of {a:#x} {b:#x}: {found:#x} instead of {expected:#x}",
                module.text.name
            );
        }
    }
}

/// The 16 conversions to integers, in the kernels' order.
fn integers_of(format: Format, a: u64) -> Vec<u64> {
    let mut results = Vec::new();
    for (low, high, bits) in [
        (i128::from(i32::MIN), i128::from(i32::MAX), 32u32),
        (0, i128::from(u32::MAX), 32),
        (i128::from(i64::MIN), i128::from(i64::MAX), 64),
        (0, i128::from(u64::MAX), 64),
    ] {
        for direction in [Nearest, Zero, Down, Up] {
            let nan = if bits == 64 || format == F64 { 1 << (bits - 1) } else { 0 };
            let result = match format.integer(a, direction, low, high) {
                Some(value) => value as u64,
                None => nan,
            };
            results.push(if bits == 32 { result & 0xffff_ffff } else { result });
        }
    }
    results
}

fn check_conversions(module: &Module, format: Format) {
    let ftz = module.text.fast && format == F32;
    let (kernel, numbers): (&str, Vec<u64>) = if format == F32 {
        ("to_integers", singles().into_iter().map(u64::from).collect())
    } else {
        ("to_others", doubles())
    };
    let input = if format == F32 { upload(&singles()) } else { upload(&numbers) };
    for (row, &bits) in module.rows::<u64>(kernel, numbers.len(), 20, &[input]).iter().zip(&numbers)
    {
        let a = format.flushed(bits, ftz);
        let mut expected = integers_of(format, a);
        if format == F64 {
            expected
                .extend([Nearest, Zero, Down, Up].map(|direction| {
                    F32.flushed(F64.convert(a, F32, direction), module.text.fast)
                }));
        }
        for (place, (&found, &wanted)) in row.iter().zip(&expected).enumerate() {
            assert!(
                found == wanted || place >= 16 && same(F32, found, wanted),
                "{}: {kernel}, result {place} of {bits:#x}: {found:#x} instead of {wanted:#x}",
                module.text.name
            );
        }
    }
    let numbers: Vec<u64> =
        (0..64).flat_map(|at| [1u64 << at, (1 << at) + 1, u64::MAX << at, !(1 << at)]).collect();
    let width = if format == F32 { 16 } else { 10 };
    let found = if format == F32 {
        let rows = module.rows::<u32>("from_integers", numbers.len(), width, &[upload(&numbers)]);
        rows.iter()
            .map(|row| row.iter().map(|&bits| bits.into()).collect())
            .collect::<Vec<Vec<u64>>>()
    } else {
        module.rows::<u64>("from_integers", numbers.len(), width, &[upload(&numbers)])
    };
    for (row, &bits) in found.iter().zip(&numbers) {
        let directions = [Nearest, Zero, Down, Up];
        let int = i128::from((bits as u32).cast_signed());
        let word = i128::from(bits as u32);
        let (long, whole) = (i128::from(bits.cast_signed()), i128::from(bits));
        let mut expected = Vec::new();
        if format == F32 {
            expected.extend(directions.map(|direction| format.of_integer(int, direction)));
            expected.extend(directions.map(|direction| format.of_integer(word, direction)));
        } else {
            expected.extend([int, word].map(|value| format.of_integer(value, Nearest)));
        }
        expected.extend(directions.map(|direction| format.of_integer(long, direction)));
        expected.extend(directions.map(|direction| format.of_integer(whole, direction)));
        assert_eq!(row, &expected, "{}: from_integers of {bits:#x}", module.text.name);
    }
}

/// How far a function's result may be off, in units of what is expected.
fn near(found: f64, expected: f64, relative: f64) -> bool {
    if expected.is_nan() || found.is_nan() {
        return expected.is_nan() && found.is_nan();
    }
    if expected.is_infinite() || found.is_infinite() {
        return expected == found;
    }
    (found - expected).abs() <= relative * expected.abs() + relative * relative
}

/// What the host's library says, in the kernels' order, without what it has not.
fn library(a: f64, b: f64) -> Vec<(usize, f64)> {
    vec![
        (0, a.sin()),
        (1, a.cos()),
        (2, a.tan()),
        (3, a.exp()),
        (4, a.exp2()),
        (5, 10f64.powf(a)),
        (6, a.exp_m1()),
        (7, b.ln()),
        (8, b.log2()),
        (9, b.log10()),
        (10, b.ln_1p()),
        (11, b.powf(a)),
        (12, b.sqrt()),
        (13, 1.0 / b.sqrt()),
        (14, a.cbrt()),
        (15, (a / 32.0).asin()),
        (16, (a / 32.0).acos()),
        (17, a.atan()),
        (18, a.atan2(b)),
        (19, a.sinh()),
        (20, a.cosh()),
        (21, a.tanh()),
        (22, a.asinh()),
        (23, (b + 1.0).acosh()),
        (24, (a / 32.0).atanh()),
        (29, a.hypot(b)),
        (30, a % b),
        (31, a - b * (a / b).round_ties_even()),
        (32, a / b),
    ]
}

/// The logarithm of gamma for large numbers.
fn stirling(x: f64) -> f64 {
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

fn check_functions(module: &Module) {
    let a: Vec<f64> = (0..200).map(|at| f64::from((f64::from(at) * 0.299 - 29.7) as f32)).collect();
    let b: Vec<f64> = (0..200).map(|at| f64::from((f64::from(at) * 0.151 + 0.07) as f32)).collect();
    let single = |numbers: &[f64]| upload(&numbers.iter().map(|&x| x as f32).collect::<Vec<f32>>());
    let singles = module.rows::<f32>("singles", 200, 36, &[single(&a), single(&b)]);
    let doubles = module.rows::<f64>("doubles", 200, 34, &[upload(&a), upload(&b)]);
    for at in 0..200 {
        let (x, y) = (a[at], b[at]);
        // Fast arithmetic promises an absolute error for the circular functions only, near zero.
        let loose = if module.text.fast { 3e-4 } else { 4e-6 };
        for (place, expected) in library(x, y) {
            let name = &module.text.name;
            let found = doubles[at][place];
            let bound = if matches!(place, 30 | 31) { 1e-9 } else { 1e-13 };
            assert!(
                near(found, expected, bound) || (found - expected).abs() < 1e-14,
                "{name}: doubles, result {place} of {x} and {y}: {found:e} instead of {expected:e}"
            );
            let (found, expected) = (f64::from(singles[at][place]), f64::from(expected as f32));
            let bound = if matches!(place, 2 | 11 | 30 | 31) { loose * 30.0 } else { loose };
            assert!(
                near(found, expected, bound) || (found - expected).abs() < loose,
                "{name}: singles, result {place} of {x} and {y}: {found:e} instead of {expected:e}"
            );
        }
        // Functions that the host's standard library lacks, by identities.
        let row = &doubles[at];
        assert!((row[25] + row[26] - 1.0).abs() < 1e-14, "erf and erfc of {}", x / 8.0);
        // Gamma(x / 8) by its recurrence from the logarithm of gamma.
        let log_gamma =
            |x: f64| (1..40).fold(stirling(x + 39.0), |sum, k| sum - (x + f64::from(k) - 1.0).ln());
        assert!(near(row[27], log_gamma(y / 8.0).exp(), 1e-9), "gamma of {}", y / 8.0);
        assert!(near(row[28], log_gamma(y), 1e-9), "logarithm of gamma of {y}");
        assert!(near(row[33], (x * 1e6).sin(), 1e-9), "sin of {}: {}", x * 1e6, row[33]);
        let row = &singles[at];
        let big = f64::from((x as f32) * 1000.0);
        if !module.text.fast {
            assert!((f64::from(row[34]) - big.sin()).abs() < 1e-6, "sincosf of {big}");
            assert!((f64::from(row[35]) - big.cos()).abs() < 1e-6, "sincosf of {big}");
        }
    }
    let nears = module.rows::<f32>("near", 200, 9, &[single(&a), single(&b)]);
    for at in 0..200 {
        let (x, y) = (a[at], b[at]);
        let expected = [
            x.sin(),
            x.cos(),
            x.exp(),
            y.ln(),
            y.log2(),
            x / y,
            y.powf(1.5),
            1.0 / y.sqrt(),
            10f64.powf(x / 8.0),
        ];
        for (place, expected) in expected.into_iter().enumerate() {
            let found = f64::from(nears[at][place]);
            assert!(
                near(found, expected, 1e-4) || (found - expected).abs() < 1e-5,
                "{}: near, result {place} of {x} and {y}: {found:e} instead of {expected:e}",
                module.text.name
            );
        }
    }
}

crate::child::in_child! {
    singles_are_rounded_as_asked("sms=2,memory=64MiB,driver=13.5") {
        each("float", |module| {
            check_rounded(module, F32, &singles(), 29);
            check_steps(module, F32, &singles(), false);
            check_conversions(module, F32);
        });
    }

    doubles_are_rounded_as_asked("sms=2,memory=64MiB,driver=13.5") {
        each("double", |module| {
            check_rounded(module, F64, &doubles(), 28);
            check_steps(module, F64, &doubles(), true);
            check_conversions(module, F64);
        });
    }

    library_functions_are_near("sms=2,memory=64MiB,driver=13.5") {
        if std::env::var_os("GPUMUX_CORPUS").is_some() {
            each("functions", check_functions);
        }
    }
}
