//! The speed of compiled kernels on one host thread.
//!
//! The PTX is of `kernels.cu`, compiled by
//! `python kernels/compile.py ffi/emulator/benches/emulator ffi/emulator/benches/emulator`.

use crate::driver::{Arguments, Driver, Launch, Span, spread};
use sha2::Digest as _;
use std::time::Duration;

/// How often each kernel is timed, after one run that is not.
const RUNS: usize = 9;
/// Elements of the kernels that go through a line of them.
const LINE: u32 = 1 << 20;
/// Rows and columns of those that go through a matrix.
const ROWS: u32 = 512;
const COLUMNS: u32 = 1024;
/// The side of the matrices that are multiplied.
const SIDE: u32 = 256;
const THREADS: u32 = 256;

/// A kernel, and what one launch of it does.
struct Case {
    kernel: &'static str,
    unit: &'static str,
    /// How many of the unit, in millions, one launch does.
    millions: f64,
    launch: Launch,
    /// Whether the device's memory holds what it should.
    check: Box<dyn Fn(&Driver) -> bool>,
}

fn line(blocks: u32, arguments: Arguments) -> Launch {
    Launch { grid: [blocks, 1], threads: [THREADS, 1], arguments }
}

/// Numbers that are not too regular.
fn numbers(count: u32) -> Vec<f32> {
    (0..count).map(|at| ((at.wrapping_mul(7919) % 1009) as f32 / 1009.0 - 0.5) * 4.0).collect()
}

fn near(found: f32, expected: f64, what: &str) -> bool {
    let close = (f64::from(found) - expected).abs() <= 1e-4 * expected.abs().max(1.0);
    if !close {
        eprintln!("{what}: {found} instead of {expected}");
    }
    close
}

/// One element of the output is compared for each kernel; whole outputs are the tests' work.
fn output_near(out: u64, at: u32, expected: f64) -> Box<dyn Fn(&Driver) -> bool> {
    Box::new(move |driver| {
        let found = driver.download_f32(out + u64::from(at) * 4);
        near(found, expected, &format!("element {at}"))
    })
}

fn elementwise(driver: &Driver) -> Vec<Case> {
    let x = numbers(LINE);
    let (a, b) = (driver.upload(&x), driver.upload(&x));
    let (out, blocks) = (driver.allocate(LINE * 4), LINE / THREADS);
    let at = LINE - 3;
    let value = f64::from(x[at as usize]);
    let curved = 0.797_884_560_8 * (value + 0.044_715 * value.powi(3));
    let nothing = Launch { grid: [1 << 16, 1], threads: [1, 1], arguments: Arguments::default() };
    let million = f64::from(LINE) / 1e6;
    vec![
        Case {
            kernel: "empty",
            unit: "Mblock/s",
            millions: f64::from(1 << 16) / 1e6,
            launch: nothing,
            check: Box::new(|_| true),
        },
        Case {
            kernel: "vadd",
            unit: "Melem/s",
            millions: million,
            launch: line(blocks, Arguments::default().u64(a).u64(b).u64(out).u32(LINE)),
            check: output_near(out, at, 2.0 * value),
        },
        Case {
            kernel: "gelu",
            unit: "Melem/s",
            millions: million,
            launch: line(blocks, Arguments::default().u64(a).u64(out).u32(LINE)),
            check: output_near(out, at, 0.5 * value * (1.0 + curved.tanh())),
        },
    ]
}

fn waiting(driver: &Driver) -> Vec<Case> {
    let x = numbers(LINE);
    let (input, blocks) = (driver.upload(&x), LINE / THREADS);
    let (sums, marks) = (driver.allocate(LINE / 8), driver.allocate(blocks * 4));
    let last: f64 = x[x.len() - 32..].iter().map(|&x| f64::from(x)).sum();
    vec![
        Case {
            kernel: "warp_reduce",
            unit: "Mshfl/s",
            millions: f64::from(LINE) * 5.0 / 1e6,
            launch: line(blocks, Arguments::default().u64(input).u64(sums).u32(LINE)),
            check: output_near(sums, LINE / 32 - 1, last),
        },
        Case {
            kernel: "barriers",
            unit: "Mwait/s",
            millions: f64::from(LINE) * 16.0 / 1e6,
            launch: line(blocks, Arguments::default().u64(marks)),
            check: Box::new(move |driver| driver.download_u32(marks) == 16),
        },
    ]
}

fn rows(driver: &Driver) -> Vec<Case> {
    let x = numbers(ROWS * COLUMNS);
    let ones = vec![1.0f32; COLUMNS as usize];
    let (input, out) = (driver.upload(&x), driver.allocate(ROWS * COLUMNS * 4));
    let (gain, bias) = (driver.upload(&ones), driver.upload(&ones));
    let last: Vec<f64> = x[x.len() - COLUMNS as usize..].iter().map(|&x| f64::from(x)).collect();
    let value = last[last.len() - 1];
    let sum: f64 = last.iter().map(|x| x.exp()).sum();
    let mean = last.iter().sum::<f64>() / f64::from(COLUMNS);
    let variance = last.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(COLUMNS);
    let normal = (value - mean) / (variance + 1e-5).sqrt() + 1.0;
    let (at, million) = (ROWS * COLUMNS - 1, f64::from(ROWS * COLUMNS) / 1e6);
    let both = Arguments::default().u64(input).u64(gain).u64(bias).u64(out).u32(COLUMNS);
    vec![
        Case {
            kernel: "softmax",
            unit: "Melem/s",
            millions: million,
            launch: line(ROWS, Arguments::default().u64(input).u64(out).u32(COLUMNS)),
            check: output_near(out, at, value.exp() / sum),
        },
        Case {
            kernel: "layernorm",
            unit: "Melem/s",
            millions: million,
            launch: line(ROWS, both),
            check: output_near(out, at, normal),
        },
    ]
}

fn shared(driver: &Driver) -> Vec<Case> {
    let x = numbers(SIDE * SIDE);
    let side = SIDE as usize;
    let (a, b, c) = (driver.upload(&x), driver.upload(&x), driver.allocate(SIDE * SIDE * 4));
    let corner: f64 = (0..side).map(|k| f64::from(x[k]) * f64::from(x[k * side])).sum();
    let values: Vec<u32> = (0..LINE).map(|at| at.wrapping_mul(2_654_435_761) >> 13).collect();
    let zeros = values.iter().filter(|&&value| value & 255 == 0).count();
    let (input, counts) = (driver.upload(&values), driver.upload(&[0u32; 256]));
    let tiles = SIDE / 16;
    vec![
        Case {
            kernel: "sgemm",
            unit: "GFLOP/s",
            millions: 2.0 * f64::from(SIDE).powi(3) / 1e9,
            launch: Launch {
                grid: [tiles, tiles],
                threads: [16, 16],
                arguments: Arguments::default().u64(a).u64(b).u64(c).u32(SIDE),
            },
            check: output_near(c, 0, corner),
        },
        Case {
            kernel: "histogram",
            unit: "Melem/s",
            millions: f64::from(LINE) / 1e6,
            launch: line(64, Arguments::default().u64(input).u64(counts).u32(LINE)),
            // Every run counts once more.
            check: Box::new(move |driver| {
                driver.download_u32(counts) as usize == zeros * (RUNS + 1)
            }),
        },
    ]
}

fn measure(driver: &Driver, case: &Case) {
    let rate = |span: Duration| case.millions / span.as_secs_f64();
    driver.time(case.kernel, &case.launch);
    let spans: Vec<Span> = (0..RUNS).map(|_| driver.time(case.kernel, &case.launch)).collect();
    assert!((case.check)(driver), "{} computed something else", case.kernel);
    let [median, least, most] = spread(spans.iter().map(|span| rate(span.wall)).collect());
    let [busy, ..] = spread(spans.iter().map(|span| rate(span.busy)).collect());
    println!("{:12} {median:9.2} {least:9.2} {most:9.2} {busy:9.2}  {}", case.kernel, case.unit);
}

/// The PTX names the source that it was made of.
fn check_source() {
    let hash = sha2::Sha256::digest(include_bytes!("kernels.cu"));
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let head = include_str!("kernels.ptx").lines().next().unwrap();
    assert!(head.contains(&format!("source-sha256={hash} ")), "kernels.cu changed: compile it");
}

/// Prints the table, of the kernels that are named or of all.
pub(crate) fn run(wanted: &[String]) {
    check_source();
    let driver = Driver::open(include_str!("kernels.ptx"));
    println!(
        "kernels on one host thread, {RUNS} runs each; by wall time, and by time of processors (busy)\n\
         {:12} {:>9} {:>9} {:>9} {:>9}",
        "kernel", "median", "lowest", "highest", "busy"
    );
    let families = [elementwise, waiting, rows, shared];
    for case in families.iter().flat_map(|family| family(&driver)) {
        if wanted.is_empty() || wanted.iter().any(|name| name == case.kernel) {
            measure(&driver, &case);
        }
    }
    driver.time_loading(include_str!("kernels.ptx"));
}
