//! Runs one instruction, or a few, for many rows of operands.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::device::{Device, Params, line};

const BLOCK: usize = 128;

thread_local! {
    /// The opcodes that `run` was given on this thread.
    static SEEN: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

/// Forgets which opcodes were run, and says which they were.
pub(super) fn take_seen() -> BTreeSet<String> {
    SEEN.take()
}

/// Notes the opcodes of a text.
pub(super) fn note_opcodes(text: &str) {
    for statement in text.split([';', '{', '}', '\n']) {
        let mut words = statement.split_whitespace().filter(|word| !word.starts_with('@'));
        let Some(word) = words.next() else { continue };
        let opcode = word.split('.').next().unwrap_or_default();
        if !opcode.is_empty() {
            SEEN.with_borrow_mut(|seen| seen.insert(opcode.to_owned()));
        }
    }
}

/// The register class and the access of a type: bits, so that no conversion hides.
pub(super) fn width(ty: &str) -> (&'static str, u32) {
    match ty {
        "pred" => ("pred", 4),
        _ if ty.ends_with("x2") => ("b32", 4),
        _ if ty.ends_with("16") => ("b16", 2),
        _ if ty.ends_with("64") => ("b64", 8),
        _ => ("b32", 4),
    }
}

pub(super) fn mask(ty: &str) -> u64 {
    match width(ty).1 {
        2 => 0xffff,
        4 => 0xffff_ffff,
        _ => u64::MAX,
    }
}

/// Runs `body` for each row of inputs. It reads `%a`, `%b`, `%c`, `%d` of the given types and writes
/// `%r` of type `result`; all are given and returned as bits.
pub(super) fn run(body: &str, types: &[&str], result: &str, rows: &[Vec<u64>]) -> Vec<u64> {
    note_opcodes(body);
    let mut text = String::from(
        ".version 8.6\n.target sm_90\n.address_size 64\n.visible .entry k(.param .u64 in, .param .u64 out)\n{\n\
         .reg .b64 %in, %out, %offset; .reg .b32 %tid, %block; .reg .pred %q, %s;\n\
         mov.u32 %tid, %tid.x; mov.u32 %block, %ctaid.x; mad.lo.u32 %tid, %block, 128, %tid;\n\
         ld.param.u64 %in, [in]; ld.param.u64 %out, [out];\n\
         mul.wide.u32 %offset, %tid, 8; add.s64 %out, %out, %offset;\n\
         mul.wide.u32 %offset, %tid, 32; add.s64 %in, %in, %offset;\n",
    );
    for (at, (name, ty)) in ["%a", "%b", "%c", "%d"].into_iter().zip(types).enumerate() {
        let (class, _) = width(ty);
        let offset = 8 * at;
        if *ty == "pred" {
            text += &format!(
                ".reg .pred {name}; {{ .reg .b32 %t; ld.global.b32 %t, [%in+{offset}]; setp.ne.s32 {name}, %t, 0; }}\n"
            );
        } else {
            text += &format!(".reg .{class} {name}; ld.global.{class} {name}, [%in+{offset}];\n");
        }
    }
    let (class, _) = width(result);
    text += &format!(".reg .{class} %r;\n{body}\n");
    text += &if result == "pred" {
        "{ .reg .b32 %t; selp.b32 %t, 1, 0, %r; st.global.b32 [%out], %t; }\nret;\n}\n".to_owned()
    } else {
        format!("st.global.{class} [%out], %r;\nret;\n}}\n")
    };
    let mut device = Device::load(&text);
    let blocks = rows.len().div_ceil(BLOCK).max(1);
    let mut input = Vec::with_capacity(blocks * BLOCK * 4);
    for row in rows {
        input.extend((0..4).map(|at| row.get(at).copied().unwrap_or(0)));
    }
    // Threads past the last row get the first row again.
    while input.len() < blocks * BLOCK * 4 {
        input.extend((0..4).map(|at| rows[0].get(at).copied().unwrap_or(0)));
    }
    let (input, out) = (device.upload(&input), device.allocate(blocks * BLOCK * 8));
    let params = Params::new().u64(input).u64(out);
    device
        .launch("k", line(blocks as u32, BLOCK as u32), &params)
        .unwrap_or_else(|fault| panic!("{body}: {fault:?}"));
    device.download(out, rows.len())
}

/// Runs `body` on all rows and compares each result, as bits of type `result`, with what is expected.
/// `same` decides where equal bits are too much to ask for.
pub(super) fn check(
    body: &str,
    types: &[&str],
    result: &str,
    rows: &[Vec<u64>],
    same: impl Fn(u64, u64) -> bool,
    expected: impl Fn(&[u64]) -> u64,
) {
    for (row, found) in rows.iter().zip(run(body, types, result, rows)) {
        let row: Vec<u64> = row.iter().zip(types).map(|(value, ty)| value & mask(ty)).collect();
        let expected = expected(&row) & mask(result);
        let found = found & mask(result);
        assert!(
            found == expected || same(found, expected),
            "{body} of {row:x?}: {found:#x} instead of {expected:#x}"
        );
    }
}

/// Equal bits are what is asked for.
pub(super) fn exactly(_: u64, _: u64) -> bool {
    false
}

/// Random numbers of a seed that is printed, and taken from `GPUMUX_SEED` where that is set.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new() -> Self {
        let seed = std::env::var("GPUMUX_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or(20_240_711);
        println!("GPUMUX_SEED={seed}");
        Self(seed)
    }

    /// The step of splitmix64.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

/// All combinations of `count` of these numbers.
pub(super) fn combinations(numbers: &[u64], count: usize) -> Vec<Vec<u64>> {
    let mut rows = vec![Vec::new()];
    for _ in 0..count {
        rows = rows
            .iter()
            .flat_map(|row| {
                numbers.iter().map(move |&number| {
                    let mut longer = row.clone();
                    longer.push(number);
                    longer
                })
            })
            .collect();
    }
    rows
}
