//! Instructions that do more than compute: memory, atomics, threads together, control.

use super::device::{Device, Params, line};
use super::harness::{Random, check, exactly, note_opcodes, run, width};
use crate::block::Fault;

/// Loads a kernel `k` with parameters `a` and `b` and this body.
fn load(body: &str) -> Device {
    note_opcodes(body);
    Device::load(&format!(
        ".version 8.6\n.target sm_90\n.address_size 64\n.visible .entry k(.param .u64 a, .param .u64 b)\n{{\n\
         .reg .pred %p<8>; .reg .b16 %h<8>; .reg .b32 %r<16>; .reg .b64 %d<16>; .reg .f32 %f<8>; .reg .f64 %e<4>; .reg .b128 %w<4>;\n\
         ld.param.u64 %d1, [a]; ld.param.u64 %d2, [b];\n{body}\n}}\n"
    ))
}

/// Runs `body` in one block of `threads` threads; `%d1` points to `input`, `%d2` to as many zeroed
/// words as are returned.
fn words(body: &str, threads: u32, input: &[u32], results: usize) -> Vec<u32> {
    let mut device = load(body);
    let (a, b) = (device.upload(input), device.allocate(results * 4));
    device
        .launch("k", line(1, threads), &Params::new().u64(a).u64(b))
        .unwrap_or_else(|fault| panic!("{body}: {fault:?}"));
    device.download(b, results)
}

pub(super) fn moves() {
    let mut random = Random::new();
    let rows: Vec<Vec<u64>> = (0..64).map(|_| vec![random.next(), random.next()]).collect();
    for ty in ["b16", "u16", "s16", "b32", "u32", "s32", "f32", "b64", "u64", "s64", "f64"] {
        check(&format!("mov.{ty} %r, %a;"), &[ty], ty, &rows, exactly, |row| row[0]);
    }
    check("mov.pred %r, %a;", &["pred"], "pred", &[vec![0], vec![1]], exactly, |row| row[0]);
    let halves = "{ .reg .b16 %h<4>; mov.b32 {%h0, %h1}, %a; mov.b32 %r, {%h1, %h0}; }";
    check(halves, &["b32"], "b32", &rows, exactly, |row| {
        u64::from((row[0] as u32).rotate_left(16))
    });
    let quarters =
        "{ .reg .b16 %h<4>; mov.b64 {%h0, %h1, %h2, %h3}, %a; mov.b64 %r, {%h3, %h2, %h1, %h0}; }";
    check(quarters, &["b64"], "b64", &rows, exactly, |row| {
        (0..4).fold(0, |all, at| all << 16 | row[0] >> (16 * at) & 0xffff)
    });
    let words = "{ .reg .b32 %l, %h; mov.b64 {%l, %h}, %a; mov.b64 %r, {%h, %l}; }";
    check(words, &["b64"], "b64", &rows, exactly, |row| row[0].rotate_left(32));
    let long = "{ .reg .b128 %w, %v; .reg .b64 %l; mov.b128 %w, {%a, %b}; mov.b128 %v, %w; mov.b128 {%r, %l}, %v; sub.u64 %r, %l, %r; }";
    check(long, &["b64"; 2], "b64", &rows, exactly, |row| row[1].wrapping_sub(row[0]));
}

/// Loads and stores of each type, order and hint; a narrow value fills a wider register by its sign.
pub(super) fn loads_and_stores() {
    let forms = [
        "",
        ".weak",
        ".volatile",
        ".relaxed.cta",
        ".relaxed.gpu",
        ".relaxed.sys",
        ".acquire.cta",
        ".acquire.gpu",
        ".acquire.sys",
    ];
    for ty in [
        "b8", "u8", "s8", "b16", "u16", "s16", "b32", "u32", "s32", "f32", "b64", "u64", "s64",
        "f64",
    ] {
        let register = if ty.ends_with('8') { "b32" } else { ty };
        let sign = ty.starts_with('s');
        for form in forms {
            let store = form.replace("acquire", "release");
            let class = width(register).0;
            let body = format!(
                "{{ .reg .b64 %t; ld.param.u64 %t, [out]; mul.wide.u32 %offset, %tid, 8; add.s64 %t, %t, %offset;\n\
                 st{store}.global.{ty} [%t], %a; .reg .{class} %u; ld{form}.global.{ty} %u, [%t]; mov.{class} %r, %u; }}"
            );
            let mut random = Random::new();
            let rows: Vec<Vec<u64>> = (0..64).map(|_| vec![random.next()]).collect();
            check(&body, &[register], register, &rows, exactly, |row| {
                match (ty.ends_with('8'), sign) {
                    (true, true) => (row[0] as u8).cast_signed() as u64,
                    (true, false) => row[0] & 0xff,
                    _ => row[0],
                }
            });
        }
    }
    let hints = [
        "ld.global.ca",
        "ld.global.cg",
        "ld.global.cs",
        "ld.global.lu",
        "ld.global.cv",
        "ld.global.nc",
        "ldu.global",
        "ld.global.L1::no_allocate",
        "ld.global.nc.L1::evict_last.L2::128B",
        "ld.global.L1::evict_first.L2::64B",
    ];
    for hint in hints {
        let body = format!(
            "mov.u32 %r1, %tid.x; mul.wide.u32 %d3, %r1, 4; add.s64 %d1, %d1, %d3; add.s64 %d2, %d2, %d3;\n\
             {hint}.u32 %r2, [%d1]; st.global.wt.u32 [%d2], %r2; st.global.cs.L1::no_allocate.u32 [%d2], %r2; ret;"
        );
        let input: Vec<u32> = (0..40).map(|at| at * 3).collect();
        assert_eq!(words(&body, 40, &input, 40), input, "{hint}");
    }
    let vectors = "ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%d1]; st.global.v2.u32 [%d2], {%r4, %r3}; st.global.v2.u32 [%d2+8], {%r2, _}; ret;";
    let vectors = vectors.replace(", _}", ", %r1}");
    assert_eq!(words(&vectors, 1, &[1, 2, 3, 4], 4), [4, 3, 2, 1]);
}

/// An atomic, its types, and what it makes of a word and an operand.
type AtomicCase = (&'static str, &'static [&'static str], fn(&str, u64, u64) -> u64);

/// What a reduction makes of two values.
type Combine<'a> = &'a dyn Fn(u64, u64) -> u64;

/// An approximate function, what it is near to, and how near.
type Approximation = (&'static str, fn(f64) -> f64, f64);

/// Every atomic, of each type, memory, order and scope, by one thread: what it returns and leaves.
pub(super) fn atomics() {
    let cases: [AtomicCase; 10] = [
        ("add", &["u32", "s32", "u64", "s64"], |_, a, b| a.wrapping_add(b)),
        ("min", &["u32", "u64"], |_, a, b| a.min(b)),
        ("max", &["u32", "u64"], |_, a, b| a.max(b)),
        ("min", &["s32", "s64"], |ty, a, b| signed(ty, a).min(signed(ty, b)) as u64),
        ("max", &["s32", "s64"], |ty, a, b| signed(ty, a).max(signed(ty, b)) as u64),
        ("and", &["b32", "b64"], |_, a, b| a & b),
        ("or", &["b32", "b64"], |_, a, b| a | b),
        ("xor", &["b32", "b64"], |_, a, b| a ^ b),
        ("inc", &["u32"], |_, a, b| if a >= b { 0 } else { a + 1 }),
        ("dec", &["u32"], |_, a, b| if a == 0 || a > b { b } else { a - 1 }),
    ];
    let mut random = Random::new();
    let mut rows: Vec<Vec<u64>> = super::harness::combinations(
        &[0, 1, 9, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 63, u64::MAX],
        2,
    );
    rows.extend((0..100).map(|_| vec![random.next(), random.next()]));
    for (name, types, change) in cases {
        for &ty in types {
            check_atomic(name, ty, &rows, |row| change(ty, row[0], row[1]));
        }
    }
    for ty in ["b32", "b64"] {
        check_atomic("exch", ty, &rows, |row| row[1]);
    }
    for (ty, add) in [
        (
            "f32",
            (|a, b| u64::from((f32::from_bits(a as u32) + f32::from_bits(b as u32)).to_bits()))
                as fn(u64, u64) -> u64,
        ),
        ("f64", |a, b| (f64::from_bits(a) + f64::from_bits(b)).to_bits()),
    ] {
        let rows: Vec<Vec<u64>> = [(1.5, 2.25), (-0.1, 1e20), (3e-39, 1e-40)]
            .iter()
            .map(|&(a, b): &(f64, f64)| {
                let bits = |x: f64| {
                    if ty == "f32" { u64::from((x as f32).to_bits()) } else { x.to_bits() }
                };
                vec![bits(a), bits(b)]
            })
            .collect();
        check_atomic("add", ty, &rows, |row| add(row[0], row[1]));
    }
    halves_are_added();
    compare_and_exchange();
    wide_words();
}

fn signed(ty: &str, bits: u64) -> i64 {
    if ty.ends_with("32") { i64::from((bits as u32).cast_signed()) } else { bits.cast_signed() }
}

/// The word is %a, the operand %b. `atom` returns the word, which then is what `red` leaves as well.
fn check_atomic(name: &str, ty: &'static str, rows: &[Vec<u64>], change: impl Fn(&[u64]) -> u64) {
    let class = width(ty).0;
    let stays = format!(
        "{{ .reg .b64 %t; ld.param.u64 %t, [out]; add.s64 %t, %t, %offset2; st.global.{class} [%t], %a; .reg .{class} %o;\n"
    );
    let stays = format!(".reg .b64 %offset2; mul.wide.u32 %offset2, %tid, 8;\n{stays}");
    let generic = "atom";
    for (spelled, _) in [
        (format!("{generic}.{name}"), ()),
        (format!("atom.global.{name}"), ()),
        (format!("atom.relaxed.gpu.global.{name}"), ()),
        (format!("atom.acq_rel.sys.{name}"), ()),
        (format!("atom.global.cta.{name}"), ()),
        (format!("atom.{name}.acquire.gpu"), ()),
    ] {
        let body = format!("{stays} {spelled}.{ty} %o, [%t], %b; mov.{class} %r, %o; }}");
        check(&body, &[ty; 2], ty, rows, exactly, |row| row[0]);
        let body = format!("{stays} {spelled}.{ty} %o, [%t], %b; ld.global.{class} %r, [%t]; }}");
        check(&body, &[ty; 2], ty, rows, exactly, &change);
    }
    if name != "exch" {
        for spelled in ["red", "red.global", "red.release.sys.global"] {
            let body =
                format!("{stays} {spelled}.{name}.{ty} [%t], %b; ld.global.{class} %r, [%t]; }}");
            check(&body, &[ty; 2], ty, rows, exactly, &change);
        }
    }
    // In shared memory each thread has a word of its own.
    let body = format!(
        "{{ .shared .align 8 .b8 %own[1024]; .reg .b32 %t, %at; mov.u32 %t, %own; mov.u32 %at, %tid.x; mad.lo.u32 %t, %at, 8, %t;\n\
         .reg .{class} %o; st.shared.{class} [%t], %a; atom.shared.{name}.{ty} %o, [%t], %b; ld.shared.{class} %r, [%t]; }}"
    );
    check(&body, &[ty; 2], ty, rows, exactly, &change);
}

fn halves_are_added() {
    use super::exact::{BF16, Direction, F16};
    for (one, two, format) in [("f16", "f16x2", F16), ("bf16", "bf16x2", BF16)] {
        let rows = super::halves::rows(format, 2);
        let start = ".reg .b64 %t; ld.param.u64 %t, [out]; mul.wide.u32 %offset, %tid, 8; add.s64 %t, %t, %offset;";
        let same = |found, expected| format.is_nan(found) && format.is_nan(expected);
        let add = |a, b| format.add(a, b, Direction::Nearest);
        let body = format!(
            "{start} st.global.b16 [%t], %a; atom.global.add.noftz.{one} %r, [%t], %b; ld.global.b16 %r, [%t];"
        );
        check(&body, &[one; 2], one, &rows, same, |row| add(row[0], row[1]));
        let pairs: Vec<Vec<u64>> = rows
            .iter()
            .zip(rows.iter().rev())
            .map(|(low, high)| vec![high[0] << 16 | low[0], high[1] << 16 | low[1]])
            .collect();
        let body = format!(
            "{start} st.global.b32 [%t], %a; red.global.add.noftz.{two} [%t], %b; ld.global.b32 %r, [%t];"
        );
        let same_pair = |found: u64, wanted: u64| {
            [0, 16].into_iter().all(|shift| {
                let (found, wanted) = (found >> shift & 0xffff, wanted >> shift & 0xffff);
                found == wanted || same(found, wanted)
            })
        };
        check(&body, &[two; 2], two, &pairs, same_pair, |row| {
            let half = |shift: u32| add(row[0] >> shift & 0xffff, row[1] >> shift & 0xffff);
            half(16) << 16 | half(0)
        });
    }
}

fn compare_and_exchange() {
    let mut random = Random::new();
    let rows: Vec<Vec<u64>> = (0..100)
        .map(|at| {
            let old = random.next();
            vec![old, if at % 2 == 0 { old } else { old ^ 1 << (at % 16) }, random.next()]
        })
        .collect();
    for ty in ["b16", "b32", "b64"] {
        for spelled in ["atom.global.cas", "atom.acquire.gpu.cas", "atom.cas.acq_rel.gpu"] {
            let body = format!(
                ".reg .b64 %t; ld.param.u64 %t, [out]; mul.wide.u32 %offset, %tid, 8; add.s64 %t, %t, %offset;\n\
                 st.global.{ty} [%t], %a; {spelled}.{ty} %r, [%t], %b, %c; ld.global.{ty} %r, [%t];"
            );
            check(&body, &[ty; 3], ty, &rows, exactly, |row| {
                if row[0] == row[1] { row[2] } else { row[0] }
            });
        }
    }
}

/// 16 bytes at once, and vectors of singles.
fn wide_words() {
    let body = "mov.u64 %d3, 7; mov.u64 %d4, 8; mov.b128 %w1, {%d3, %d4};\n\
                atom.global.exch.b128 %w2, [%d1], %w1; mov.b128 {%d5, %d6}, %w2; st.global.u64 [%d2], %d6;\n\
                mov.b128 %w3, {%d4, %d3}; atom.global.cas.b128 %w2, [%d1], %w3, %w3; mov.b128 {%d5, %d6}, %w2; st.global.u64 [%d2+8], %d5;\n\
                atom.global.cas.b128 %w2, [%d1], %w1, %w3; ld.global.u64 %d5, [%d1]; st.global.u64 [%d2+16], %d5; ret;";
    assert_eq!(words(body, 1, &[1, 2, 3, 4], 6), [3, 4, 7, 0, 8, 0]);
    let body = "mov.f32 %f1, 0f3F800000; atom.global.add.v4.f32 {%f2, %f3, %f4, %f5}, [%d1], {%f1, %f1, %f1, %f1};\n\
                add.f32 %f1, %f2, %f5; st.global.f32 [%d2], %f1; ld.global.f32 %f1, [%d1+12]; st.global.f32 [%d2+4], %f1;\n\
                red.global.add.v2.f32 [%d1], {%f1, %f1}; ld.global.f32 %f2, [%d1]; st.global.f32 [%d2+8], %f2; ret;";
    let input = [1.0f32, 2.0, 3.0, 4.0].map(f32::to_bits);
    assert_eq!(words(body, 1, &input, 3), [5.0f32, 5.0, 7.0].map(f32::to_bits));
}

/// Fences and prefetches change nothing that one thread sees, and are taken in every form.
pub(super) fn fences_and_prefetches() {
    let body = "st.global.u32 [%d2], 5; membar.cta; membar.gl; membar.sys; fence.sc.cta; fence.acq_rel.gpu; fence.sys;\n\
                prefetch.global.L1 [%d1]; prefetch.global.L2 [%d1+64]; prefetch.L2 [%d1]; prefetch.global.L2::evict_last [%d1]; prefetchu.L1 [%d1];\n\
                mov.u64 %d3, 64; prefetch.global.L2 [%d3]; ret;";
    assert_eq!(words(body, 1, &[0], 1), [5]);
}

pub(super) fn addresses() {
    let body = ".shared .align 4 .b8 s[64]; .local .align 4 .b8 l[64];\n\
                mov.u64 %d3, s; cvta.shared.u64 %d4, %d3; mov.u64 %d5, l; cvta.local.u64 %d6, %d5; mov.u64 %d7, a; cvta.param.u64 %d8, %d7;\n\
                isspacep.shared %p1, %d4; isspacep.local %p2, %d6; isspacep.global %p3, %d1; isspacep.global %p4, %d4;\n\
                selp.u32 %r1, 1, 0, %p1; @%p2 add.u32 %r1, %r1, 2; @%p3 add.u32 %r1, %r1, 4; @%p4 add.u32 %r1, %r1, 8; st.global.u32 [%d2], %r1;\n\
                st.u32 [%d4+8], 11; ld.shared.u32 %r2, [s+8]; st.global.u32 [%d2+4], %r2;\n\
                st.u32 [%d6+8], 12; ld.local.u32 %r2, [l+8]; st.global.u32 [%d2+8], %r2;\n\
                cvta.to.shared.u64 %d9, %d4; ld.shared.u32 %r2, [%d9+8]; st.global.u32 [%d2+12], %r2;\n\
                cvta.to.global.u64 %d9, %d1; ld.global.u32 %r2, [%d9]; st.global.u32 [%d2+16], %r2;\n\
                ld.u64 %d10, [%d8]; sub.u64 %d10, %d10, %d1; st.global.u32 [%d2+20], %d10; ld.param.u64 %d10, [%d7+8]; sub.u64 %d10, %d10, %d2; st.global.u32 [%d2+24], %d10; ret;";
    assert_eq!(words(body, 1, &[99], 7), [7, 11, 12, 11, 99, 0, 0]);
    for (body, is_misaligned) in [
        ("mov.u64 %d3, a; ld.param.u64 %d4, [%d3+16]; ret;", false),
        ("mov.u64 %d3, a; cvta.param.u64 %d3, %d3; ld.u64 %d4, [%d3+16]; ret;", false),
        ("mov.u64 %d3, a; cvta.param.u64 %d3, %d3; st.u32 [%d3], 1; ret;", false),
        ("mov.u64 %d3, a; ld.param.u64 %d4, [%d3+4]; ret;", true),
    ] {
        let fault = load(body).launch("k", line(1, 1), &Params::new().u64(0).u64(0));
        match fault {
            Err(Fault::IllegalAddress { .. }) if !is_misaligned => {}
            Err(Fault::MisalignedAddress { .. }) if is_misaligned => {}
            other => panic!("{body}: {other:?}"),
        }
    }
}

/// Lanes that exchange values: the answers by the ISA's words.
pub(super) fn shuffles() {
    let rows: Vec<Vec<u64>> = (0..128u64).map(|at| vec![at * 3 + 1, at % 37]).collect();
    for (mode, clamp) in [
        ("up", 0u64),
        ("down", 31),
        ("bfly", 31),
        ("idx", 31),
        ("idx", 0x1807),
        ("down", 0x180f),
        ("up", 0x1c00),
        ("bfly", 0x1003),
    ] {
        let body = format!(
            "shfl.sync.{mode}.b32 %r|%q, %a, %b, {clamp}, 0xffffffff; {{ .reg .b32 %t; selp.b32 %t, 1000, 0, %q; add.u32 %r, %r, %t; }}"
        );
        let found = run(&body, &["b32"; 2], "b32", &rows);
        for (at, &found) in found.iter().enumerate() {
            let (lane, warp) = (at as u64 % 32, at / 32 * 32);
            let (limit, segment) = (clamp & 31, clamp >> 8 & 31);
            let top = lane & segment | limit & !segment;
            let low = lane & segment;
            let b = rows[at][1] & 31;
            let (from, inside) = match mode {
                "up" => {
                    (lane.wrapping_sub(b), lane.wrapping_sub(b).cast_signed() >= top.cast_signed())
                }
                "down" => (lane + b, lane + b <= top),
                "bfly" => (lane ^ b, lane ^ b <= top),
                _ => (low | b & !segment & 31, (low | b & !segment & 31) <= top),
            };
            let from = if inside { from } else { lane };
            // What a lane outside of the warp would bring is its own.
            let expected = rows[warp + from as usize][0] + if inside { 1000 } else { 0 };
            // Each lane picks by its own operand; for `up` the lowest lane of the segment is the limit.
            assert_eq!(found & 0xffff_ffff, expected, "{mode} {clamp:#x}, lane {lane} by {b}");
        }
    }
}

pub(super) fn votes() {
    let rows: Vec<Vec<u64>> = (0..128u64).map(|at| vec![at % 3, at / 32]).collect();
    let ballot = "setp.eq.u32 %q, %a, 0; vote.sync.ballot.b32 %r, %q, 0xffffffff;";
    for (at, found) in run(ballot, &["b32"], "b32", &rows).into_iter().enumerate() {
        let warp = at / 32 * 32;
        let expected = (0..32).fold(0, |all, lane| all | u64::from((warp + lane) % 3 == 0) << lane);
        assert_eq!(found & 0xffff_ffff, expected);
    }
    for (mode, expected) in [("all", [1, 0, 0, 0]), ("any", [1, 1, 0, 0]), ("uni", [1, 0, 1, 1])] {
        // Warp 0: all hold. Warp 1: some. The others: none.
        let body = format!(
            "{{ .reg .pred %t; setp.eq.u32 %q, %b, 0; setp.eq.u32 %t, %b, 1; setp.eq.and.u32 %t, %a, 0, %t; or.pred %q, %q, %t; vote.sync.{mode}.pred %r, %q, 0xffffffff; }}"
        );
        for (at, found) in run(&body, &["b32"; 2], "pred", &rows).into_iter().enumerate() {
            assert_eq!(found & 1, expected[at / 32], "{mode} in warp {}", at / 32);
        }
    }
    matches();
    reductions();
    let active = "activemask.b32 %r;";
    assert!(run(active, &[], "b32", &rows).iter().all(|&found| found & 0xffff_ffff == 0xffff_ffff));
}

fn matches() {
    let rows: Vec<Vec<u64>> = (0..128u64).map(|at| vec![((at % 5) << 33) | (at % 5)]).collect();
    for ty in ["b32", "b64"] {
        let body = format!("match.any.sync.{ty} %r, %a, 0xffffffff;");
        for (at, found) in run(&body, &[ty], "b32", &rows).into_iter().enumerate() {
            let warp = at / 32 * 32;
            let expected =
                (0..32).fold(0, |all, lane| all | u64::from((warp + lane) % 5 == at % 5) << lane);
            assert_eq!(found & 0xffff_ffff, expected, "{ty}");
        }
        let body = format!(
            "match.all.sync.{ty} %r|%q, %a, 0xffffffff; {{ .reg .b32 %t; selp.b32 %t, 1, 0, %q; add.u32 %r, %r, %t; }}"
        );
        assert!(run(&body, &[ty], "b32", &rows).iter().all(|&found| found & 0xffff_ffff == 0));
        let same: Vec<Vec<u64>> = vec![vec![77]; 128];
        // All lanes, plus one for the predicate, wraps to zero.
        let body = body.replace("add.u32 %r, %r, %t", "sub.u32 %r, %r, %t");
        assert!(
            run(&body, &[ty], "b32", &same).iter().all(|&found| found & 0xffff_ffff == 0xffff_fffe)
        );
    }
}

fn reductions() {
    let mut random = Random::new();
    let rows: Vec<Vec<u64>> = (0..128).map(|_| vec![random.next() & 0xffff_ffff]).collect();
    let signed = |x: u64| i64::from((x as u32).cast_signed());
    let cases: [(&str, Combine<'_>); 9] = [
        ("add.u32", &|a, b| a.wrapping_add(b)),
        ("add.s32", &|a, b| a.wrapping_add(b)),
        ("min.u32", &|a, b| a.min(b)),
        ("max.u32", &|a, b| a.max(b)),
        ("min.s32", &|a, b| signed(a).min(signed(b)) as u64 & 0xffff_ffff),
        ("max.s32", &|a, b| signed(a).max(signed(b)) as u64 & 0xffff_ffff),
        ("and.b32", &|a, b| a & b),
        ("or.b32", &|a, b| a | b),
        ("xor.b32", &|a, b| a ^ b),
    ];
    for (name, combine) in cases {
        let body = format!("redux.sync.{name} %r, %a, 0xffffffff;");
        for (at, found) in run(&body, &["b32"], "b32", &rows).into_iter().enumerate() {
            let warp = at / 32 * 32;
            let values = rows[warp..warp + 32].iter().map(|row| row[0]);
            let expected = values.reduce(combine).expect("a warp has lanes");
            assert_eq!(found & 0xffff_ffff, expected & 0xffff_ffff, "{name}");
        }
    }
}

/// Barriers order what threads of a block write and read.
pub(super) fn barriers() {
    for wait in [
        "bar.sync 0;",
        "bar.sync 3, 96;",
        "barrier.sync 0;",
        "barrier.sync.aligned 0;",
        "bar.cta.sync 0;",
        "barrier.cta.sync 0, 96;",
        "bar.red.popc.u32 %r5, 0, %p1;",
    ] {
        let body = format!(
            ".shared .align 4 .b8 s[384]; setp.ne.u32 %p1, 0, 1; mov.u32 %r1, %tid.x; shl.b32 %r2, %r1, 2; mov.u32 %r3, s; add.u32 %r4, %r3, %r2; st.shared.u32 [%r4], %r1;\n\
             {wait}\n\
             sub.u32 %r4, 95, %r1; shl.b32 %r4, %r4, 2; add.u32 %r4, %r4, %r3; ld.shared.u32 %r6, [%r4]; mul.wide.u32 %d3, %r1, 4; add.s64 %d2, %d2, %d3; st.global.u32 [%d2], %r6; ret;"
        );
        let expected: Vec<u32> = (0..96).rev().collect();
        assert_eq!(words(&body, 96, &[0], 96), expected, "{wait}");
    }
    for (red, expected) in [("popc.u32 %r5", 32), ("and.pred %p2", 0), ("or.pred %p2", 1)] {
        let take = if red.starts_with("popc") { "" } else { "selp.u32 %r5, 1, 0, %p2;" };
        let body = format!(
            "mov.u32 %r1, %tid.x; rem.u32 %r2, %r1, 3; setp.eq.u32 %p1, %r2, 0; bar.red.{red}, 1, %p1; {take}\n\
             mul.wide.u32 %d3, %r1, 4; add.s64 %d2, %d2, %d3; st.global.u32 [%d2], %r5; ret;"
        );
        assert_eq!(words(&body, 96, &[0], 96), vec![expected; 96], "{red}");
    }
    let hand_over = ".shared .align 4 .b8 s[4]; mov.u32 %r1, %tid.x; setp.lt.u32 %p1, %r1, 32; @%p1 bra GIVE;\n\
                     bar.sync 2, 64; ld.shared.u32 %r2, [s]; sub.u32 %r3, %r1, 32; mul.wide.u32 %d3, %r3, 4; add.s64 %d2, %d2, %d3; st.global.u32 [%d2], %r2; ret;\n\
                     GIVE: st.shared.u32 [s], 42; bar.arrive 2, 64; bar.warp.sync 0xffffffff; ret;";
    assert_eq!(words(hand_over, 64, &[0], 32), [42; 32]);
}

pub(super) fn control() {
    let body = "mov.u32 %r1, 0; mov.u32 %r2, 0;\nAGAIN: add.u32 %r2, %r2, %r1; add.u32 %r1, %r1, 1; setp.lt.u32 %p1, %r1, 10; @%p1 bra AGAIN;\n\
                setp.eq.u32 %p2, %r2, 45; @!%p2 bra.uni BAD; nanosleep.u32 20; st.global.u32 [%d2], %r2; exit;\nBAD: ret;";
    assert_eq!(words(body, 1, &[0], 1), [45]);
    let body = "ld.global.u32 %r1, [%d1]; brx.idx %r1, LIST;\nLIST: .branchtargets A, B, C;\n\
                A: mov.u32 %r2, 1; bra END;\nB: mov.u32 %r2, 2; bra END;\nC: mov.u32 %r2, 3;\nEND: st.global.u32 [%d2], %r2; ret;";
    assert_eq!([0, 1, 2].map(|at| words(body, 1, &[at], 1)[0]), [1, 2, 3]);
    for body in ["trap;", "mov.u32 %r1, 9; brx.idx %r1, LIST;\nLIST: .branchtargets A;\nA: ret;"] {
        let fault = load(body).launch("k", line(1, 1), &Params::new().u64(0).u64(0));
        assert_eq!(fault, Err(Fault::Trap), "{body}");
    }
    let mut device = load("AGAIN: bra AGAIN;");
    device.stop.set();
    let ended = device.launch("k", line(1, 1), &Params::new().u64(0).u64(0));
    assert_eq!(ended, Err(Fault::Stopped));
    calls();
}

/// Calls by name and through a pointer; a pointer that leads nowhere, or to a function of another
/// kind, is a fault.
fn calls() {
    let text = ".version 8.6\n.target sm_90\n.address_size 64\n\
        .func (.param .b32 result) twice(.param .b32 x) { .reg .b32 %r<3>; ld.param.u32 %r1, [x]; add.u32 %r2, %r1, %r1; st.param.b32 [result], %r2; ret; }\n\
        .func (.param .b32 result) other(.param .b64 x) { st.param.b32 [result], 5; ret; }\n\
        .global .u64 table[2] = {twice, other};\n\
        .visible .entry k(.param .u64 a, .param .u64 b) { .reg .b32 %r<4>; .reg .b64 %d<4>; ld.param.u64 %d1, [a]; ld.param.u64 %d2, [b];\n\
        { .param .b32 p; .param .b32 q; st.param.b32 [p], 21; call.uni (q), twice, (p); ld.param.b32 %r1, [q]; }\n\
        { .param .b32 p; .param .b32 q; st.param.b32 [p], %r1; proto: .callprototype (.param .b32 _) _ (.param .b32 _); call (q), %d1, (p), proto; ld.param.b32 %r1, [q]; }\n\
        st.global.u32 [%d2], %r1; ret; }";
    note_opcodes(text);
    let mut device = Device::load(text);
    let (table, out) = (device.variables["table"], device.allocate(4));
    let pointers = device.download::<u64>(table, 2);
    let mut call = |pointer: u64| {
        let ended = device.launch("k", line(1, 1), &Params::new().u64(pointer).u64(out));
        ended.map(|()| device.download::<u32>(out, 1)[0])
    };
    assert_eq!(call(pointers[0]), Ok(84));
    for wrong in [pointers[1], 0, pointers[0] + 1, pointers[1] + 16, table] {
        assert_eq!(call(wrong), Err(Fault::InvalidFunction { address: wrong }));
    }
}

/// Special registers: what can be known of them.
pub(super) fn special_registers() {
    let body = "mov.u32 %r1, %tid.x; mul.wide.u32 %d3, %r1, 40; add.s64 %d2, %d2, %d3;\n\
                mov.u32 %r2, %laneid; st.global.u32 [%d2], %r2; mov.u32 %r2, %warpid; st.global.u32 [%d2+4], %r2;\n\
                mov.u32 %r2, %lanemask_lt; st.global.u32 [%d2+8], %r2; mov.u32 %r2, %lanemask_ge; st.global.u32 [%d2+12], %r2;\n\
                mov.u32 %r2, %ntid.x; st.global.u32 [%d2+16], %r2; mov.u32 %r2, %nctaid.x; st.global.u32 [%d2+20], %r2;\n\
                mov.u32 %r2, %nsmid; st.global.u32 [%d2+24], %r2; mov.u32 %r2, WARP_SZ; st.global.u32 [%d2+28], %r2;\n\
                mov.u64 %d4, %clock64; mov.u64 %d5, %clock64; setp.ge.u64 %p1, %d5, %d4; mov.u64 %d4, %globaltimer; mov.u64 %d5, %globaltimer; setp.ge.and.u64 %p1, %d5, %d4, %p1; selp.u32 %r2, 1, 0, %p1; st.global.u32 [%d2+32], %r2; ret;";
    for (at, row) in words(body, 40, &[0], 400).chunks(10).enumerate() {
        let (lane, warp) = (at as u32 % 32, at as u32 / 32);
        let below = (1u32 << lane) - 1;
        assert_eq!(row[..9], [lane, warp, below, !below, 40, 1, 4, 32, 1], "thread {at}");
    }
}

/// The approximate functions, at least as near as the ISA promises.
pub(super) fn approximations() {
    use super::exact::{Direction, F32, F64};
    let rows: Vec<Vec<u64>> =
        (0..4000u32).map(|at| vec![u64::from((0.001 + at as f32 * 0.0123).to_bits())]).collect();
    let cases: [Approximation; 7] = [
        ("ex2", f64::exp2, 2f64.powi(-22)),
        ("lg2", f64::log2, 2f64.powi(-22)),
        ("sin", f64::sin, 2f64.powi(-20)),
        ("cos", f64::cos, 2f64.powi(-20)),
        ("rcp", f64::recip, 2f64.powi(-23)),
        ("rsqrt", |x| 1.0 / x.sqrt(), 2f64.powi(-22)),
        ("sqrt", f64::sqrt, 2f64.powi(-23)),
    ];
    let single = |bits: u64| f64::from(f32::from_bits(bits as u32));
    for (name, function, error) in cases {
        for manner in ["", ".ftz"] {
            let near = |found: u64, expected: u64| {
                (single(found) - single(expected)).abs() <= error * single(expected).abs().max(1.0)
                    && (single(expected).abs() < 1e-3
                        || (single(found) - single(expected)).abs()
                            <= 4.0 * error * single(expected).abs())
            };
            let body = format!("{name}.approx{manner}.f32 %r, %a;");
            check(&body, &["f32"], "f32", &rows, near, |row| {
                F64.convert(function(single(row[0])).to_bits(), F32, Direction::Nearest)
            });
        }
    }
    let near = |found: u64, expected: u64| {
        (single(found) - single(expected)).abs() <= 2f64.powi(-10) * single(expected).abs()
    };
    check("tanh.approx.f32 %r, %a;", &["f32"], "f32", &rows, near, |row| {
        F64.convert(single(row[0]).tanh().to_bits(), F32, Direction::Nearest)
    });
    for form in ["approx", "approx.ftz", "full", "full.ftz"] {
        let near = |found: u64, expected: u64| {
            (single(found) - single(expected)).abs() <= 2f64.powi(-22) * single(expected).abs()
        };
        let pairs: Vec<Vec<u64>> =
            rows.iter().zip(rows.iter().rev()).map(|(a, b)| vec![a[0], b[0]]).collect();
        check(&format!("div.{form}.f32 %r, %a, %b;"), &["f32"; 2], "f32", &pairs, near, |row| {
            F32.divide(row[0], row[1], Direction::Nearest)
        });
    }
    let doubles: Vec<Vec<u64>> =
        (0..500).map(|at| vec![(0.001 + f64::from(at) * 1.234).to_bits()]).collect();
    let near = |found: u64, expected: u64| {
        (f64::from_bits(found) - f64::from_bits(expected)).abs()
            <= 2f64.powi(-19) * f64::from_bits(expected).abs()
    };
    check("rcp.approx.ftz.f64 %r, %a;", &["f64"], "f64", &doubles, near, |row| {
        f64::from_bits(row[0]).recip().to_bits()
    });
    for form in ["approx", "approx.ftz"] {
        check(&format!("rsqrt.{form}.f64 %r, %a;"), &["f64"], "f64", &doubles, near, |row| {
            (1.0 / f64::from_bits(row[0]).sqrt()).to_bits()
        });
    }
}
