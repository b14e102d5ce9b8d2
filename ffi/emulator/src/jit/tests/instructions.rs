//! Each family of instructions against exact arithmetic of the host.

use std::cmp::Ordering;

use super::harness::{mask, run};

/// Numbers at which integer arithmetic goes wrong.
const WORDS: [u64; 12] = [
    0,
    1,
    2,
    31,
    0x7f,
    0x8000,
    0xffff,
    0x1234_5678,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
];

/// Singles at which float arithmetic goes wrong.
const SINGLES: [f32; 16] = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    2.5,
    1e-40,
    -1e-40,
    1.000_000_1,
    3.4e38,
    -3.4e38,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    16_777_217.5,
    -0.499_999_97,
    4_294_967_040.0,
];

/// All pairs of interesting words.
fn pairs() -> Vec<Vec<u64>> {
    WORDS.iter().flat_map(|&a| WORDS.iter().map(move |&b| vec![a, b])).collect()
}

/// Checks one instruction `name %r, %a, %b` on all pairs.
fn check2(name: &str, ty: &str, result: &str, expected: impl Fn(u64, u64) -> u64) {
    let rows = pairs();
    let found = run(&format!("{name} %r, %a, %b;"), &[ty, ty], result, &rows);
    for (row, found) in rows.iter().zip(found) {
        let (a, b) = (row[0] & mask(ty), row[1] & mask(ty));
        let expected = expected(a, b) & mask(result);
        assert_eq!(found & mask(result), expected, "{name} of {a:#x} and {b:#x}");
    }
}

fn s32(x: u64) -> i32 {
    (x as u32).cast_signed()
}

fn s64(x: u64) -> i64 {
    x.cast_signed()
}

fn s16(x: u64) -> i16 {
    (x as u16).cast_signed()
}

#[test]
fn sums_and_products_wrap() {
    check2("add.s32", "b32", "b32", |a, b| a.wrapping_add(b));
    check2("sub.u64", "b64", "b64", u64::wrapping_sub);
    check2("add.s16", "b16", "b16", |a, b| a.wrapping_add(b));
    check2("add.sat.s32", "b32", "b32", |a, b| s32(a).saturating_add(s32(b)) as u64);
    check2("sub.sat.s32", "b32", "b32", |a, b| s32(a).saturating_sub(s32(b)) as u64);
    check2("mul.lo.s32", "b32", "b32", |a, b| a.wrapping_mul(b));
    check2("mul.hi.u32", "b32", "b32", |a, b| (a * b) >> 32);
    check2("mul.hi.s32", "b32", "b32", |a, b| {
        ((i64::from(s32(a)) * i64::from(s32(b))) >> 32) as u64
    });
    check2("mul.hi.u64", "b64", "b64", |a, b| ((u128::from(a) * u128::from(b)) >> 64) as u64);
    check2("mul.hi.s64", "b64", "b64", |a, b| {
        ((i128::from(s64(a)) * i128::from(s64(b))) >> 64) as u64
    });
    check2("mul.hi.s16", "b16", "b16", |a, b| {
        ((i32::from(s16(a)) * i32::from(s16(b))) >> 16) as u64
    });
    check2("mul.wide.s32", "b32", "b64", |a, b| (i64::from(s32(a)) * i64::from(s32(b))) as u64);
    check2("mul.wide.u32", "b32", "b64", |a, b| a * b);
    check2("mul.wide.s16", "b16", "b32", |a, b| (i32::from(s16(a)) * i32::from(s16(b))) as u64);
    check2("min.s32", "b32", "b32", |a, b| s32(a).min(s32(b)) as u64);
    check2("max.u64", "b64", "b64", u64::max);
    check2("min.s16", "b16", "b16", |a, b| s16(a).min(s16(b)) as u64);
    check2("mul24.lo.s32", "b32", "b32", |a, b| {
        ((s64(a << 40) >> 40) * (s64(b << 40) >> 40)) as u64
    });
}

#[test]
fn divisions_never_stop_the_host() {
    check2("div.u32", "b32", "b32", |a, b| a.checked_div(b).unwrap_or(u64::MAX));
    check2("rem.u32", "b32", "b32", |a, b| a.checked_rem(b).unwrap_or(a));
    let quotient = |a: i64, b: i64| if b == 0 { -1 } else { a.wrapping_div(b) };
    let remainder = |a: i64, b: i64| if b == 0 { a } else { a.wrapping_rem(b) };
    check2("div.s32", "b32", "b32", |a, b| quotient(s32(a).into(), s32(b).into()) as u64);
    check2("rem.s32", "b32", "b32", |a, b| remainder(s32(a).into(), s32(b).into()) as u64);
    check2("div.s64", "b64", "b64", |a, b| quotient(s64(a), s64(b)) as u64);
    check2("rem.s64", "b64", "b64", |a, b| remainder(s64(a), s64(b)) as u64);
    check2("div.u64", "b64", "b64", |a, b| a.checked_div(b).unwrap_or(u64::MAX));
    check2("div.s16", "b16", "b16", |a, b| quotient(s16(a).into(), s16(b).into()) as u64);
}

#[test]
fn shifts_past_the_width_shift_everything_out() {
    let check = |name: &str, ty: &str, expected: &dyn Fn(u64, u32) -> u64| {
        let rows: Vec<Vec<u64>> = WORDS
            .iter()
            .flat_map(|&a| [0u64, 1, 15, 16, 31, 32, 63, 64, 0xffff_ffff].map(|n| vec![a, n]))
            .collect();
        let found = run(&format!("{name} %r, %a, %b;"), &[ty, "b32"], ty, &rows);
        for (row, found) in rows.iter().zip(found) {
            let (a, n) = (row[0] & mask(ty), row[1] as u32);
            assert_eq!(found & mask(ty), expected(a, n) & mask(ty), "{name} of {a:#x} by {n}");
        }
    };
    check("shl.b32", "b32", &|a, n| (a as u32).checked_shl(n).unwrap_or(0).into());
    check("shl.b64", "b64", &|a, n| a.checked_shl(n).unwrap_or(0));
    check("shl.b16", "b16", &|a, n| (a as u16).checked_shl(n).unwrap_or(0).into());
    check("shr.u32", "b32", &|a, n| (a as u32).checked_shr(n).unwrap_or(0).into());
    check("shr.s32", "b32", &|a, n| (s32(a) >> n.min(31)) as u64);
    check("shr.s64", "b64", &|a, n| (s64(a) >> n.min(63)) as u64);
    check("shr.u64", "b64", &|a, n| a.checked_shr(n).unwrap_or(0));
    check("shr.s16", "b16", &|a, n| (s16(a) >> n.min(15)) as u64);
}

#[test]
fn bits_are_counted_and_turned() {
    let rows: Vec<Vec<u64>> = WORDS.iter().map(|&a| vec![a]).collect();
    let check = |name: &str, ty: &str, result: &str, expected: &dyn Fn(u64) -> u64| {
        let found = run(&format!("{name} %r, %a;"), &[ty], result, &rows);
        for (row, found) in rows.iter().zip(found) {
            let a = row[0] & mask(ty);
            assert_eq!(found & mask(result), expected(a) & mask(result), "{name} of {a:#x}");
        }
    };
    check("popc.b32", "b32", "b32", &|a| a.count_ones().into());
    check("popc.b64", "b64", "b32", &|a| a.count_ones().into());
    check("clz.b32", "b32", "b32", &|a| (a as u32).leading_zeros().into());
    check("clz.b64", "b64", "b32", &|a| a.leading_zeros().into());
    check("brev.b32", "b32", "b32", &|a| (a as u32).reverse_bits().into());
    check("brev.b64", "b64", "b64", &u64::reverse_bits);
    check("not.b16", "b16", "b16", &|a| !a);
    check("cnot.b32", "b32", "b32", &|a| u64::from(a == 0));
    check("neg.s32", "b32", "b32", &u64::wrapping_neg);
    check("abs.s64", "b64", "b64", &|a| s64(a).wrapping_abs().cast_unsigned());
    check2("xor.b64", "b64", "b64", |a, b| a ^ b);
    let rows: Vec<Vec<u64>> = pairs().into_iter().map(|pair| vec![pair[0], pair[1], 7]).collect();
    for (name, left) in [("shf.l.wrap.b32", true), ("shf.r.clamp.b32", false)] {
        let found = run(&format!("{name} %r, %a, %b, %c;"), &["b32", "b32", "b32"], "b32", &rows);
        for (row, found) in rows.iter().zip(found) {
            let both = (row[1] & 0xffff_ffff) << 32 | row[0] & 0xffff_ffff;
            let expected = if left { both << 7 >> 32 } else { both >> 7 };
            assert_eq!(found & 0xffff_ffff, expected & 0xffff_ffff, "{name}");
        }
    }
    let rows = vec![vec![0b1100, 0b1010, 0b1001]];
    let found = run("lop3.b32 %r, %a, %b, %c, 0x96;", &["b32"; 3], "b32", &rows);
    assert_eq!(found[0] & 0xffff_ffff, 0b1100 ^ 0b1010 ^ 0b1001);
}

#[test]
fn bytes_are_multiplied_and_summed() {
    let rows = vec![vec![0x01ff_0280, 0x02fe_03ff, 1000]];
    let dot =
        |name: &str| run(&format!("{name} %r, %a, %b, %c;"), &["b32"; 3], "b32", &rows)[0] as u32;
    assert_eq!(dot("dp4a.s32.s32").cast_signed(), 1000 + 2 + 2 + 6 + 128);
    assert_eq!(dot("dp4a.u32.u32"), 1000 + 2 + 255 * 254 + 6 + 128 * 255);
    assert_eq!(dot("dp4a.u32.s32").cast_signed(), 1000 + 2 - 255 * 2 + 6 - 128);
}

#[test]
fn carries_go_from_word_to_word() {
    let rows = pairs();
    let split = "{ .reg .b32 %t<6>; mov.b64 {%t0, %t1}, %a; mov.b64 {%t2, %t3}, %b;";
    let add = format!(
        "{split} add.cc.u32 %t4, %t0, %t2; addc.u32 %t5, %t1, %t3; mov.b64 %r, {{%t4, %t5}}; }}"
    );
    let sub = format!(
        "{split} sub.cc.u32 %t4, %t0, %t2; subc.u32 %t5, %t1, %t3; mov.b64 %r, {{%t4, %t5}}; }}"
    );
    let mad = format!(
        "{split} mul.lo.u32 %t4, %t0, %t2; mul.hi.u32 %t5, %t0, %t2; mad.lo.cc.u32 %t4, %t0, %t2, %t0; madc.hi.u32 %t5, %t0, %t2, %t1; mov.b64 %r, {{%t4, %t5}}; }}"
    );
    let low = |x: u64| x & 0xffff_ffff;
    let found = run(&add, &["b64", "b64"], "b64", &rows);
    let found_sub = run(&sub, &["b64", "b64"], "b64", &rows);
    let found_mad = run(&mad, &["b64", "b64"], "b64", &rows);
    for (at, row) in rows.iter().enumerate() {
        let (a, b) = (row[0], row[1]);
        assert_eq!(found[at], a.wrapping_add(b));
        assert_eq!(found_sub[at], a.wrapping_sub(b));
        assert_eq!(found_mad[at], (low(a) * low(b)).wrapping_add(a));
    }
}

/// All pairs of interesting singles, as bits.
fn single_pairs() -> Vec<Vec<u64>> {
    let bits = SINGLES.map(|x| u64::from(x.to_bits()));
    bits.iter().flat_map(|&a| bits.iter().map(move |&b| vec![a, b])).collect()
}

/// Checks a single-precision instruction; NaNs need not have equal bits.
fn check_f32(name: &str, expected: impl Fn(f32, f32) -> f32) {
    let rows = single_pairs();
    let found = run(&format!("{name} %r, %a, %b;"), &["f32", "f32"], "f32", &rows);
    for (row, found) in rows.iter().zip(found) {
        let (a, b) = (f32::from_bits(row[0] as u32), f32::from_bits(row[1] as u32));
        let (found, expected) = (f32::from_bits(found as u32), expected(a, b));
        let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
        assert!(same, "{name} of {a:e} and {b:e}: {found:e} instead of {expected:e}");
    }
}

fn flush(x: f32) -> f32 {
    if x.is_subnormal() { 0f32.copysign(x) } else { x }
}

#[test]
fn singles_are_rounded_and_flushed_as_asked() {
    check_f32("add.f32", |a, b| a + b);
    check_f32("sub.rn.f32", |a, b| a - b);
    check_f32("mul.f32", |a, b| a * b);
    check_f32("div.rn.f32", |a, b| a / b);
    check_f32("add.ftz.f32", |a, b| flush(flush(a) + flush(b)));
    check_f32("mul.rn.ftz.f32", |a, b| flush(flush(a) * flush(b)));
    check_f32(
        "add.sat.f32",
        |a, b| if (a + b).is_nan() { 0.0 } else { (a + b).clamp(0.0, 1.0) + 0.0 },
    );
    let least = |a: f32, b: f32| match (a.is_nan(), b.is_nan()) {
        (true, _) => b,
        (_, true) => a,
        _ if a == b => {
            if a.is_sign_negative() {
                a
            } else {
                b
            }
        }
        _ => {
            if a < b {
                a
            } else {
                b
            }
        }
    };
    check_f32("min.f32", least);
    check_f32("max.f32", |a, b| -least(-a, -b));
    check_f32("min.NaN.f32", |a, b| if a.is_nan() || b.is_nan() { f32::NAN } else { least(a, b) });
    check_f32("copysign.f32", |a, b| b.copysign(a));
    // Products of singles are exact in double precision: rounding one of them is the reference.
    for (name, below, above) in [("rm", true, false), ("rp", false, true), ("rz", true, true)] {
        check_f32(&format!("mul.{name}.f32"), |a, b| {
            let (exact, near) = (f64::from(a) * f64::from(b), a * b);
            let toward_zero = below && above;
            let too_high = f64::from(near) > exact;
            let too_low = f64::from(near) < exact;
            match () {
                () if toward_zero && f64::from(near).abs() > exact.abs() => {
                    if near > 0.0 {
                        near.next_down()
                    } else {
                        near.next_up()
                    }
                }
                () if !toward_zero && below && too_high => near.next_down(),
                () if !toward_zero && above && too_low => near.next_up(),
                () => near,
            }
        });
    }
}

#[test]
fn comparisons_know_nan() {
    let rows = single_pairs();
    for (name, expected) in [
        ("lt", (|a, b| a < b) as fn(f32, f32) -> bool),
        ("ge", |a, b| a >= b),
        ("eq", |a, b| a == b),
        ("ne", |a, b| a.partial_cmp(&b).is_some_and(Ordering::is_ne)),
        ("neu", |a, b| a != b),
        ("ltu", |a, b| !a.partial_cmp(&b).is_some_and(Ordering::is_ge)),
        ("geu", |a, b| !a.partial_cmp(&b).is_some_and(Ordering::is_lt)),
        ("num", |a, b| !a.is_nan() && !b.is_nan()),
        ("nan", |a, b| a.is_nan() || b.is_nan()),
    ] {
        let found = run(&format!("setp.{name}.f32 %r, %a, %b;"), &["f32", "f32"], "pred", &rows);
        for (row, found) in rows.iter().zip(found) {
            let (a, b) = (f32::from_bits(row[0] as u32), f32::from_bits(row[1] as u32));
            assert_eq!(found == 1, expected(a, b), "{name} of {a:e} and {b:e}");
        }
    }
    check2("setp.lt.s32", "b32", "pred", |a, b| u64::from(s32(a) < s32(b)));
    check2("setp.hs.u64", "b64", "pred", |a, b| u64::from(a >= b));
    let rows: Vec<Vec<u64>> = pairs().into_iter().map(|pair| vec![pair[0], pair[1], 1]).collect();
    let body = "setp.gt.and.u32 %q|%s, %a, %b, !%c; or.pred %r, %q, %s;";
    assert!(run(body, &["b32", "b32", "pred"], "pred", &rows).iter().all(|&found| found == 0));
    let body = "setp.gt.xor.u32 %q|%r, %a, %b, %c;";
    for (row, found) in rows.iter().zip(run(body, &["b32", "b32", "pred"], "pred", &rows)) {
        let greater = row[0] & 0xffff_ffff > row[1] & 0xffff_ffff;
        assert_eq!(found == 1, greater);
    }
}

/// Checks a conversion from single precision.
fn check_from_f32(name: &str, result: &str, expected: impl Fn(f32) -> u64) {
    let rows: Vec<Vec<u64>> = SINGLES.iter().map(|x| vec![u64::from(x.to_bits())]).collect();
    let found = run(&format!("{name} %r, %a;"), &["f32"], result, &rows);
    for (&x, found) in SINGLES.iter().zip(found) {
        assert_eq!(found & mask(result), expected(x) & mask(result), "{name} of {x:e}");
    }
}

#[test]
fn floats_become_integers_by_clamping() {
    check_from_f32("cvt.rzi.s32.f32", "b32", |x| x as i32 as u64);
    check_from_f32("cvt.rni.s32.f32", "b32", |x| x.round_ties_even() as i32 as u64);
    check_from_f32("cvt.rmi.u32.f32", "b32", |x| u64::from(x.floor() as u32));
    check_from_f32("cvt.rpi.s32.f32", "b32", |x| x.ceil() as i32 as u64);
    check_from_f32("cvt.rzi.s16.f32", "b16", |x| x as i16 as u64);
    check_from_f32("cvt.rzi.u64.f32", "b64", |x| if x.is_nan() { 1 << 63 } else { x as u64 });
    check_from_f32(
        "cvt.rzi.s64.f32",
        "b64",
        |x| if x.is_nan() { 1 << 63 } else { x as i64 as u64 },
    );
    check_from_f32("cvt.f64.f32", "b64", |x| f64::from(x).to_bits());
    check_from_f32("cvt.rn.f16.f32", "b16", |x| {
        if x.is_nan() { 0x7fff } else { half::f16::from_f32(x).to_bits().into() }
    });
    check_from_f32("cvt.rn.bf16.f32", "b16", |x| {
        if x.is_nan() { 0x7fff } else { half::bf16::from_f32(x).to_bits().into() }
    });
    check_from_f32("cvt.sat.f32.f32", "b32", |x| {
        if x.is_nan() || x <= 0.0 { 0 } else { x.min(1.0).to_bits().into() }
    });
}

#[test]
fn integers_are_converted_with_their_sign() {
    let rows: Vec<Vec<u64>> = WORDS.iter().map(|&a| vec![a]).collect();
    let check = |name: &str, ty: &str, result: &str, expected: &dyn Fn(u64) -> u64| {
        let found = run(&format!("{name} %r, %a;"), &[ty], result, &rows);
        for (row, found) in rows.iter().zip(found) {
            assert_eq!(
                found & mask(result),
                expected(row[0]) & mask(result),
                "{name} of {:#x}",
                row[0]
            );
        }
    };
    check("cvt.s64.s32", "b32", "b64", &|a| i64::from(s32(a)) as u64);
    check("cvt.u64.u32", "b32", "b64", &|a| a & 0xffff_ffff);
    check("cvt.s32.s8", "b32", "b32", &|a| (a as u8).cast_signed() as u64);
    check("cvt.u32.u16", "b32", "b32", &|a| a & 0xffff);
    check("cvt.sat.s8.s32", "b32", "b32", &|a| s32(a).clamp(-128, 127) as u64);
    check("cvt.sat.u8.s32", "b32", "b32", &|a| s32(a).clamp(0, 255) as u64);
    check("cvt.sat.s32.u64", "b64", "b32", &|a| a.min(0x7fff_ffff));
    check("cvt.sat.u32.s64", "b64", "b32", &|a| s64(a).clamp(0, 0xffff_ffff) as u64);
    check("cvt.rn.f32.s32", "b32", "b32", &|a| (s32(a) as f32).to_bits().into());
    check("cvt.rn.f32.u32", "b32", "b32", &|a| (a as u32 as f32).to_bits().into());
    check("cvt.rn.f32.u64", "b64", "b32", &|a| (a as f32).to_bits().into());
    check("cvt.rn.f64.s64", "b64", "b64", &|a| (s64(a) as f64).to_bits());
    check("cvt.rz.f32.u64", "b64", "b32", &|a| {
        let near = a as f32;
        let high = near as u128 > u128::from(a);
        (if high { near.next_down() } else { near }).to_bits().into()
    });
}

#[test]
fn approximations_are_near() {
    let rows: Vec<Vec<u64>> =
        [0.1f32, 0.7, 1.0, 1.9, 5.3].iter().map(|x| vec![u64::from(x.to_bits())]).collect();
    for (name, expected) in [
        ("ex2.approx.ftz.f32", f64::exp2 as fn(f64) -> f64),
        ("lg2.approx.f32", f64::log2),
        ("sin.approx.f32", f64::sin),
        ("cos.approx.ftz.f32", f64::cos),
        ("tanh.approx.f32", f64::tanh),
        ("rcp.approx.ftz.f32", f64::recip),
        ("rsqrt.approx.f32", |x| 1.0 / x.sqrt()),
        ("sqrt.approx.f32", f64::sqrt),
    ] {
        let found = run(&format!("{name} %r, %a;"), &["f32"], "f32", &rows);
        for (row, found) in rows.iter().zip(found) {
            let x = f64::from(f32::from_bits(row[0] as u32));
            let (found, expected) = (f64::from(f32::from_bits(found as u32)), expected(x));
            assert!(
                (found - expected).abs() <= 2f64.powi(-22) * expected.abs().max(0.5),
                "{name} of {x}"
            );
        }
    }
}

#[test]
fn halves_are_computed_one_or_two_at_a_time() {
    let half = |x: f64| u64::from(half::f16::from_f64(x).to_bits());
    let rows = vec![vec![half(1.5), half(2.25), half(-4.0)]];
    let one = |body: &str| run(body, &["b16"; 3], "b16", &rows)[0] & 0xffff;
    assert_eq!(one("add.f16 %r, %a, %b;"), half(3.75));
    assert_eq!(one("sub.rn.f16 %r, %a, %b;"), half(-0.75));
    assert_eq!(one("mul.f16 %r, %a, %b;"), half(3.375));
    assert_eq!(one("fma.rn.f16 %r, %a, %b, %c;"), half(-0.625));
    assert_eq!(one("fma.rn.relu.f16 %r, %a, %b, %c;"), half(0.0));
    assert_eq!(one("max.f16 %r, %a, %c;"), half(1.5));
    assert_eq!(one("neg.f16 %r, %a;"), half(-1.5));
    let both = |low: f64, high: f64| half(high) << 16 | half(low);
    let rows = vec![vec![both(1.0, 2.0), both(0.5, -8.0)]];
    let two = |body: &str| run(body, &["b32"; 2], "b32", &rows)[0] & 0xffff_ffff;
    assert_eq!(two("add.f16x2 %r, %a, %b;"), both(1.5, -6.0));
    assert_eq!(two("add.sat.f16x2 %r, %a, %b;"), both(1.0, 0.0));
    assert_eq!(two("set.gt.f16x2.f16x2 %r, %a, %b;"), both(1.0, 1.0));
    assert_eq!(two("set.lt.f16x2.f16x2 %r, %b, %a;"), both(1.0, 1.0));
    assert_eq!(two("set.eq.bf16x2.bf16x2 %r, %a, %a;"), 0x3f80_3f80);
    let rows = vec![vec![u64::from(1.0f32.to_bits()), u64::from(3.0f32.to_bits())]];
    let pair = run("cvt.rn.f16x2.f32 %r, %a, %b;", &["f32"; 2], "b32", &rows)[0] & 0xffff_ffff;
    assert_eq!(pair, both(3.0, 1.0));
}

#[test]
fn text_may_branch_by_index_and_skip_by_guard() {
    let body = "brx.idx %a, LIST;\nLIST: .branchtargets L0, L1, L2;\n\
                L0: mov.u32 %r, 10; bra.uni END;\nL1: mov.u32 %r, 11; bra.uni END;\nL2: mov.u32 %r, 12;\nEND:\n\
                setp.ge.u32 %q, %r, 12; @%q add.u32 %r, %r, 100; @!%q sub.u32 %r, %r, 1;";
    let rows: Vec<Vec<u64>> = (0..3).map(|index| vec![index]).collect();
    let found: Vec<u64> =
        run(body, &["b32"], "b32", &rows).into_iter().map(|found| found & 0xffff_ffff).collect();
    assert_eq!(found, [9, 10, 112]);
}
