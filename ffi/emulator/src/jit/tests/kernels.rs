//! Whole kernels, as NVRTC compiles them from `testdata`.

use super::device::{Device, Params, Shape, line};
use crate::block::Fault;
use crate::jit::{Kernel, Program, Scratch};

const ELEMENTWISE: &str = include_str!("../../../testdata/elementwise.ptx");
const BLOCKS: &str = include_str!("../../../testdata/blocks.ptx");
const WARPS: &str = include_str!("../../../testdata/warps.ptx");
const ATOMICS: &str = include_str!("../../../testdata/atomics.ptx");
const CALLS: &str = include_str!("../../../testdata/calls.ptx");

/// Virtual SMs share kernels, and each owns a scratch.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    const fn moved<T: Send>() {}
    shared::<Program>();
    shared::<Kernel>();
    moved::<Scratch>();
};

/// Numbers that are not too regular.
fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 7919 % 1009) as f32 / 1009.0 - 0.5) * 6.0).collect()
}

fn assert_near(found: f32, expected: f64, relative: f64, what: &str) {
    let error = (f64::from(found) - expected).abs();
    assert!(error <= relative * expected.abs().max(1e-3), "{what}: {found} instead of {expected}");
}

#[test]
fn elements_are_added() {
    let mut device = Device::load(ELEMENTWISE);
    let (a, b) = (numbers(1000), numbers(1000).into_iter().rev().collect::<Vec<_>>());
    let (at, bt, out) = (device.upload(&a), device.upload(&b), device.allocate(4000));
    let params = Params::new().u64(at).u64(bt).u64(out).i32(1000);
    device.launch("add", line(4, 256), &params).expect("the kernel runs");
    let expected: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
    assert_eq!(device.download::<f32>(out, 1000), expected);
}

#[test]
fn library_functions_are_near_the_host_s() {
    let mut device = Device::load(ELEMENTWISE);
    let mut x = numbers(300);
    x.extend([0.0, -0.0, 1e-20, 30.0, -30.0, 1e6, 123_456.78]);
    let (input, out) = (device.upload(&x), device.allocate(x.len() * 64));
    let params = Params::new().u64(input).u64(out).u64(x.len() as u64);
    device.launch("functions", line(5, 64), &params).expect("the kernel runs");
    let y = device.download::<f32>(out, x.len() * 16);
    for (at, &x) in x.iter().enumerate() {
        let y = &y[at * 16..][..16];
        let d = f64::from(x);
        let size = d.abs();
        assert_near(
            y[0],
            d.exp().min(f64::from(f32::MAX)),
            if d > 88.0 { 1e300 } else { 1e-6 },
            "expf",
        );
        assert_near(y[2], d.tanh(), 1e-6, "tanhf");
        assert_near(y[3], size.sqrt(), 1e-7, "sqrtf");
        assert_near(y[4], 1.0 / (f64::from(x.abs() + 1.0)).sqrt(), 2e-7, "rsqrtf");
        assert_near(y[5], d.sin(), 2e-6, "sinf");
        assert_near(y[6], d.cos(), 2e-6, "cosf");
        assert_near(y[7], f64::from(x.abs() + 0.1).ln(), 1e-6, "logf");
        assert_near(y[8], size.powf(f64::from(1.7f32)), 2e-6, "powf");
        assert_eq!(y[9], x.floor());
        assert_eq!(y[10], x.round());
        assert_near(y[11], f64::from(x % 0.3), 1e-6, "fmodf");
        assert_eq!(y[12], x.round_ties_even());
        assert_eq!(y[13], x / 3.0);
        assert_near(y[14], size.ln_1p(), 1e-6, "log1pf");
        assert_near(y[15], d.cbrt(), 1e-6, "cbrtf");
    }
}

#[test]
fn the_error_function_is_the_tabulated_one() {
    let mut device = Device::load(ELEMENTWISE);
    let x = [0.0f32, 0.5, 1.0, -2.0, 3.5];
    let expected = [0.0, 0.520_499_877_8, 0.842_700_792_9, -0.995_322_265_0, 0.999_999_256_9];
    let (input, out) = (device.upload(&x), device.allocate(x.len() * 64));
    let params = Params::new().u64(input).u64(out).u64(x.len() as u64);
    device.launch("functions", line(1, 32), &params).expect("the kernel runs");
    let y = device.download::<f32>(out, x.len() * 16);
    for (at, expected) in expected.into_iter().enumerate() {
        assert_near(y[at * 16 + 1], expected, 3e-7, "erff");
    }
}

#[test]
fn doubles_are_computed_to_their_last_bits() {
    let mut device = Device::load(ELEMENTWISE);
    let x: Vec<f64> = numbers(100).into_iter().map(|x| f64::from(x) * 1.001).collect();
    let (input, out) = (device.upload(&x), device.allocate(x.len() * 64));
    let params = Params::new().u64(input).u64(out).i32(100);
    device.launch("doubles", line(1, 128), &params).expect("the kernel runs");
    let y = device.download::<f64>(out, x.len() * 8);
    for (at, &x) in x.iter().enumerate() {
        let expected = [
            x.exp(),
            (x.abs() + 0.1).ln(),
            x.sin(),
            x.abs().powf(1.5),
            x.abs().sqrt(),
            x / 3.0,
            x.mul_add(x, 1.0),
            (x * 1e9).cos(),
        ];
        for (which, (found, expected)) in y[at * 8..][..8].iter().zip(expected).enumerate() {
            let error = (found - expected).abs();
            assert!(
                error <= 1e-13 * expected.abs().max(1e-3),
                "{which} of {x}: {found} {expected}"
            );
        }
    }
}

#[test]
fn wide_integers_are_compared() {
    let mut device = Device::load(ELEMENTWISE);
    let a = [1i64 << 40, -1, 5, i64::MIN];
    let b = [1i64 << 41, 0, 5, i64::MAX];
    let (at, bt) = (device.upload(&a), device.upload(&b));
    let (less, larger) = (device.allocate(4), device.allocate(32));
    let params = Params::new().u64(at).u64(bt).u64(less).u64(larger).i32(4);
    device.launch("select", line(1, 4), &params).expect("the kernel runs");
    assert_eq!(device.download::<u8>(less, 4), [1, 0, 0, 1]);
    assert_eq!(device.download::<i64>(larger, 4), b);
}

#[test]
fn rows_are_normalised_by_barriers_and_shuffles() {
    for mut device in Device::in_both_forms(BLOCKS) {
        let columns = 500;
        let x = numbers(3 * columns);
        let (input, out) = (device.upload(&x), device.allocate(x.len() * 4));
        let params = Params::new().u64(input).u64(out).i32(columns as i32);
        device.launch("softmax", line(3, 128), &params).expect("the kernel runs");
        let y = device.download::<f32>(out, x.len());
        for (row, y) in x.chunks(columns).zip(y.chunks(columns)) {
            let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
            for (&x, &y) in row.iter().zip(y) {
                assert_near(y, f64::from(x).exp() / sum, 2e-6, "softmax");
            }
        }
        let (gain, bias) =
            (device.upload(&vec![2.0f32; columns]), device.upload(&vec![1.0f32; columns]));
        let params = Params::new().u64(input).u64(gain).u64(bias).u64(out).i32(columns as i32);
        let params = params.u32(1e-5f32.to_bits());
        device.launch("layer_norm", line(3, 96), &params).expect("the kernel runs");
        let y = device.download::<f32>(out, x.len());
        for (row, y) in x.chunks(columns).zip(y.chunks(columns)) {
            let mean: f64 = row.iter().map(|&x| f64::from(x)).sum::<f64>() / columns as f64;
            let variance: f64 =
                row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / columns as f64;
            for (&x, &y) in row.iter().zip(y) {
                let expected = (f64::from(x) - mean) / (variance + 1e-5).sqrt() * 2.0 + 1.0;
                assert!((f64::from(y) - expected).abs() < 1e-5, "{y} instead of {expected}");
            }
        }
    }
}

#[test]
fn tiles_go_through_shared_memory() {
    for mut device in Device::in_both_forms(BLOCKS) {
        let (rows, columns) = (70, 45);
        let x = numbers(rows * columns);
        let (input, out) = (device.upload(&x), device.allocate(x.len() * 4));
        let shape = Shape { grid: [2, 3, 1], threads: [32, 8, 1], dynamic_shared_bytes: 0 };
        let params = Params::new().u64(input).u64(out).i32(rows as i32).i32(columns as i32);
        device.launch("transpose", shape, &params).expect("the kernel runs");
        let y = device.download::<f32>(out, x.len());
        for row in 0..rows {
            for column in 0..columns {
                assert_eq!(y[column * rows + row], x[row * columns + column]);
            }
        }
        let n = 48;
        let (a, b) = (numbers(n * n), numbers(n * n).into_iter().rev().collect::<Vec<_>>());
        let (at, bt, ct) = (device.upload(&a), device.upload(&b), device.allocate(n * n * 4));
        let shape = Shape { grid: [3, 3, 1], threads: [16, 16, 1], dynamic_shared_bytes: 0 };
        let params = Params::new().u64(at).u64(bt).u64(ct).i32(n as i32);
        device.launch("product", shape, &params).expect("the kernel runs");
        let c = device.download::<f32>(ct, n * n);
        for row in 0..n {
            for column in 0..n {
                let sum =
                    (0..n).fold(0f32, |sum, k| a[row * n + k].mul_add(b[k * n + column], sum));
                assert_eq!(c[row * n + column], sum, "{row} {column}");
            }
        }
    }
}

#[test]
fn counts_are_gathered_by_atomics() {
    for mut device in Device::in_both_forms(BLOCKS) {
        let values: Vec<i32> = (0..1000).map(|at| at * 37 % 64).collect();
        let (input, counts) = (device.upload(&values), device.allocate(256));
        let params = Params::new().u64(input).u64(counts).i32(1000);
        device.launch("histogram", line(3, 96), &params).expect("the kernel runs");
        let counts = device.download::<u32>(counts, 64);
        for (bin, &count) in counts.iter().enumerate() {
            let expected = values.iter().filter(|&&value| value as usize == bin).count();
            assert_eq!(count as usize, expected, "bin {bin}");
        }
    }
}

#[test]
fn launches_bring_their_own_shared_memory() {
    for mut device in Device::in_both_forms(BLOCKS) {
        let data = device.upload(&(0..100).collect::<Vec<i32>>());
        let shape = Shape { dynamic_shared_bytes: 400, ..line(1, 100) };
        device.launch("reverse", shape, &Params::new().u64(data)).expect("the kernel runs");
        assert_eq!(device.download::<i32>(data, 100), (0..100).rev().collect::<Vec<i32>>());
        let short = Shape { dynamic_shared_bytes: 384, ..line(1, 100) };
        let fault = device.launch("reverse", short, &Params::new().u64(data));
        assert_eq!(fault, Err(Fault::IllegalAddress { address: 384, bytes: 4 }));
    }
}

#[test]
fn barriers_reduce_predicates() {
    for mut device in Device::in_both_forms(BLOCKS) {
        let out = device.allocate(70 * 12);
        for (k, all, any) in [(30, 0, 1), (70, 1, 0)] {
            device
                .launch("reductions", line(1, 70), &Params::new().u64(out).i32(k))
                .expect("the kernel runs");
            for answers in device.download::<i32>(out, 210).chunks(3) {
                assert_eq!(
                    (answers[0], (answers[1] != 0) as i32, (answers[2] != 0) as i32),
                    (k.min(70), all, any)
                );
            }
        }
    }
}

#[test]
fn barriers_do_not_wait_for_threads_that_ended() {
    for mut device in Device::in_both_forms(BLOCKS) {
        let out = device.allocate(400);
        device
            .launch("early_exit", line(1, 100), &Params::new().u64(out))
            .expect("the kernel runs");
        assert_eq!(device.download::<i32>(out, 99), [99; 99]);
    }
}

#[test]
fn a_spinning_thread_lets_the_one_it_waits_for_run() {
    for mut device in Device::in_both_forms(BLOCKS) {
        let out = device.allocate(4);
        device.launch("hand_over", line(1, 64), &Params::new().u64(out)).expect("the kernel runs");
        assert_eq!(device.download::<i32>(out, 1), [7]);
    }
}

#[test]
fn lanes_vote() {
    for mut device in Device::in_both_forms(WARPS) {
        let out = device.allocate(32 * 16);
        device
            .launch("votes", line(1, 32), &Params::new().u64(out).i32(20))
            .expect("the kernel runs");
        for (lane, answers) in device.download::<u32>(out, 128).chunks(4).enumerate() {
            assert_eq!(answers[0], 0xaaaa_aaaa);
            assert_eq!((answers[1], answers[2] != 0), (0, true));
            assert_eq!(answers[3], 0xf << (lane & !3));
        }
    }
}

#[test]
fn lanes_that_diverged_shuffle_by_their_mask() {
    for mut device in Device::in_both_forms(WARPS) {
        let out = device.allocate(128);
        device.launch("divergent", line(1, 32), &Params::new().u64(out)).expect("the kernel runs");
        for (lane, &found) in (0..).zip(&device.download::<i32>(out, 32)) {
            let expected = if lane < 8 {
                (7 - lane) * 3
            } else if lane == 9 {
                // It would read lane 7, which is no member: that has no defined result.
                continue;
            } else if lane & 1 == 1 {
                lane - 2
            } else if lane + 2 < 32 {
                lane + 2
            } else {
                lane
            };
            assert_eq!(found, expected, "lane {lane}");
        }
    }
}

#[test]
fn the_active_lanes_are_those_at_the_same_place() {
    for mut device in Device::in_both_forms(WARPS) {
        let out = device.allocate(128);
        device.launch("active", line(1, 32), &Params::new().u64(out)).expect("the kernel runs");
        for (lane, &mask) in device.download::<u32>(out, 32).iter().enumerate() {
            // Those without bit 1 store the complement of their mask, which is the mask of the others.
            let expected = 0xcccc_cccc;
            assert_eq!(mask, expected, "lane {lane}");
        }
    }
}

#[test]
fn shuffles_stay_in_their_segment() {
    for mut device in Device::in_both_forms(WARPS) {
        let out = device.allocate(512);
        device.launch("segments", line(1, 32), &Params::new().u64(out)).expect("the kernel runs");
        for (lane, found) in (0..).zip(device.download::<i32>(out, 128).chunks(4)) {
            let down = if lane % 8 + 3 < 8 { lane + 3 } else { lane };
            let up = if lane % 16 >= 1 { lane - 1 } else { lane };
            assert_eq!(found, [down, up, lane ^ 5, lane & !3 | 2], "lane {lane}");
        }
    }
}

#[test]
fn a_loop_may_lose_lanes() {
    for mut device in Device::in_both_forms(WARPS) {
        let out = device.allocate(128);
        device.launch("shrinking", line(1, 32), &Params::new().u64(out)).expect("the kernel runs");
        for (lane, &found) in (0..).zip(&device.download::<i32>(out, 32)) {
            assert_eq!(found, (0..lane).map(|round| 31 - round).sum::<i32>(), "lane {lane}");
        }
    }
}

#[test]
fn atomics_change_their_word() {
    for mut device in Device::in_both_forms(ATOMICS) {
        let mut words = vec![0u32; 96];
        words[1] = 1000;
        words[5] = u32::MAX;
        let u = device.upload(&words);
        let s = device.upload(&[0i32, 1000, -1000, 0]);
        let l = device.upload(&[0u64, 0, 0, 0, 1000, 7]);
        let f = device.upload(&[0f32; 2]);
        let d = device.upload(&[0f64]);
        let params = Params::new().u64(u).u64(s).u64(l).u64(f).u64(d);
        device.launch("atomics", line(1, 64), &params).expect("the kernel runs");
        let words = device.download::<u32>(u, 96);
        assert_eq!(words[..3], [64, 0, 63]);
        assert_eq!(words[4..12], [1, 0, u32::MAX, 0, 0, 0, 64, 64]);
        assert_eq!(words[32], 0);
        assert!(words[33..].iter().all(|&old| old == 1));
        assert_eq!(device.download::<i32>(s, 4), [-64, -5, 58, -2016]);
        let long = device.download::<i64>(l, 6);
        assert_eq!((long[0], long[1], long[2], long[4], long[5]), (2016, 63, 1, -9, 5));
        assert_eq!(device.download::<f32>(f, 1), [64.0]);
        assert_eq!(device.download::<f64>(d, 1), [64.0]);
    }
}

#[test]
fn a_lock_keeps_threads_apart() {
    for mut device in Device::in_both_forms(ATOMICS) {
        let (lock, count) = (device.allocate(4), device.allocate(4));
        let params = Params::new().u64(lock).u64(count);
        device.launch("locked", line(2, 64), &params).expect("the kernel runs");
        assert_eq!(device.download::<i32>(count, 1), [128]);
    }
}

#[test]
fn functions_are_called_and_may_wait() {
    for mut device in Device::in_both_forms(CALLS) {
        let out = device.upload(&[2.0f32; 64]);
        device
            .launch("calls", line(1, 64), &Params::new().u64(out).i32(10))
            .expect("the kernel runs");
        let grown = (0..10).fold(2.0f32, |r, _| r.mul_add(1.5, 2.0));
        for (at, &found) in device.download::<f32>(out, 64).iter().enumerate() {
            let lanes: usize = (0..32).map(|lane| at / 32 * 32 + lane).sum();
            let expected = grown + 55.0 + (lanes + at) as f32;
            assert_eq!(found, expected, "thread {at}");
        }
    }
}

#[test]
fn endless_recursion_is_a_fault() {
    for mut device in Device::in_both_forms(CALLS) {
        let out = device.allocate(256);
        device
            .launch("deep", line(1, 64), &Params::new().u64(out).i32(15))
            .expect("the kernel runs");
        assert_eq!(device.download::<i32>(out, 64), [610; 64]);
        let fault = device.launch("deep", line(1, 64), &Params::new().u64(out).i32(1_000_000));
        assert!(matches!(fault, Err(Fault::IllegalAddress { .. })), "{fault:?}");
    }
}

#[test]
fn a_failed_assertion_ends_the_kernel() {
    for mut device in Device::in_both_forms(CALLS) {
        let out = device.allocate(256);
        let params = Params::new().u64(out);
        assert_eq!(device.launch("asserts", line(1, 64), &params.clone().i32(64)), Ok(()));
        assert_eq!(device.launch("asserts", line(1, 64), &params.i32(9)), Err(Fault::Assert));
    }
}
