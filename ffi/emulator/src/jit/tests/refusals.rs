//! Texts that must not be loaded, and what is said about them.

use super::device::CLAIM;
use crate::jit::{Claim, CompileErrorKind, compile};

const HEADER: &str = ".version 7.5\n.target sm_75\n.address_size 64\n";

/// Compiles a kernel with this body, which starts on line 6.
fn refused(body: &str) -> (u32, String) {
    let text =
        format!("{HEADER}.visible .entry k(.param .u64 p, .param .u32 q)\n{{\n{body}\nret;\n}}\n");
    match compile(&text, &CLAIM) {
        Ok(_) => panic!("accepted: {body}"),
        Err(error) => {
            assert_eq!(error.kind, CompileErrorKind::InvalidPtx);
            (error.line, error.reason)
        }
    }
}

#[test]
fn what_is_not_known_is_refused_by_name_and_line() {
    let registers = ".reg .pred %p<4>; .reg .b16 %h<4>; .reg .b32 %r<9>; .reg .b64 %d<9>; .reg .f32 %f<9>; .reg .f64 %e<4>;\n";
    for (instruction, part) in [
        ("wgmma.fence.sync.aligned;", "wgmma.fence.sync.aligned"),
        ("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f1}, {%r1}, {%r2}, {%f1};", "mma"),
        ("cp.async.ca.shared.global [%r1], [%d1], 16;", "cp.async"),
        ("bar.red.xor.pred %p1, 0, %p2;", "xor"),
        ("bar.sync.aligned 0;", "aligned"),
        ("bar.sync 16;", "16 barriers"),
        ("barrier.cluster.arrive;", "cluster"),
        ("add.rn.s32 %r1, %r2, %r3;", "rn"),
        ("add.sat.u32 %r1, %r2, %r3;", "u32"),
        ("add.s32 %r1, %r2;", "expected 3 operands"),
        ("add.s32 %r1, %d2, %r3;", "%d2"),
        ("add.s32 %f1, %r2, %r3;", "%f1"),
        ("add.s32 %r1, %r2, 0f3F800000;", "float"),
        ("add.f32 %f1, %f2, 1;", "no float"),
        ("add.s32 %r1, %r2, %r99;", "%r99"),
        ("add.s32 %r1, %r2, %nosuch;", "%nosuch"),
        ("mov.u32 %r1, %clusterid.x;", "%clusterid.x"),
        ("mov.u16 %h1, q;", "64 bits"),
        ("mov.u64 %d1, nowhere;", "nowhere"),
        ("ld.global.L1::evict_sometimes.u32 %r1, [%d1];", "L1::evict_sometimes"),
        ("ld.global.v8.u32 {%r1,%r2}, [%d1];", "v8"),
        ("ld.global.v4.u64 {%d1,%d2,%d3,%d4}, [%d5];", "16 bytes"),
        ("ld.relaxed.global.u32 %r1, [%d1];", ".cta .gpu .sys"),
        ("ld.param.u32 %r1, [q+4];", "past"),
        ("st.param.u32 [q], %r1;", "not written"),
        ("st.param.u32 [%d1], %r1;", "not written"),
        ("st.const.u32 [%d1], %r1;", "not written"),
        ("atom.global.add.f16 %h1, [%d1], %h2;", "noftz"),
        ("atom.global.add.noftz.u32 %r1, [%d1], %r2;", "noftz"),
        ("atom.acquire.global.add.u32 %r1, [%d1], %r2;", ".cta .gpu .sys"),
        ("atom.local.add.u32 %r1, [%d1], %r2;", "atomics"),
        ("red.global.exch.b32 [%d1], %r1;", "operation"),
        ("cvt.s32.f32 %r1, %f1;", "rni"),
        ("cvt.f32.s32 %f1, %r1;", "rounding"),
        ("cvt.rn.f64.f32 %e1, %f1;", "nothing is rounded"),
        ("shfl.down.b32 %r1, %r2, %r3, %r4;", "sync"),
        ("vote.ballot.b32 %r1, %p1;", "sync"),
        ("activemask.u32 %r1;", "type"),
        ("setp.lo.f32 %p1, %f1, %f2;", "compared"),
        ("setp.lt.b32 %p1, %r1, %r2;", "compared"),
        ("bra NOWHERE;", "NOWHERE"),
        ("call (%r1), nothing, (%r2);", "nothing"),
        ("call %d1, (%r2), proto;", "no prototype"),
        ("call %d1, (%r2);", "needs a prototype"),
        ("tex.2d.v4.f32.f32 {%f1,%f2,%f3,%f4}, [%d1, {%f5,%f6}];", "`tex.2d.v4.f32.f32`: textures"),
        ("suld.b.1d.b32.trap %r1, [%d1, {%r2}];", "`suld.b.1d.b32.trap`: textures and surfaces"),
        ("mbarrier.init.shared.b64 [%d1], 1;", "asynchronous copies"),
        ("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r1}, [%d1];", "matrix"),
        ("mapa.u64 %d1, %d2, %r1;", "clusters"),
        ("createpolicy.fractional.L2::evict_last.b64 %d1, 0f3F800000;", "not supported"),
        ("ld.global.L2::cache_hint.u32 %r1, [%d1], %d2;", "L2::cache_hint"),
        ("mov.u32 %r1, %envreg2;", "%envreg2"),
        ("min.xorsign.abs.f32 %f1, %f2, %f3;", "xorsign"),
        ("vadd4.u32.u32.u32 %r1, %r2, %r3, %r4;", "not supported"),
        ("discard.global.L2 [%d1], 128;", "cache control"),
        ("fence.proxy.async;", "proxy"),
        ("brkpt;", "debugger"),
        ("setmaxnreg.inc.sync.aligned.u32 240;", "setmaxnreg"),
    ] {
        let (line, reason) = refused(&format!("{registers}{instruction}"));
        assert_eq!(line, 7, "{instruction}: {reason}");
        assert!(reason.contains(part), "{instruction}: {reason}");
    }
}

#[test]
fn unreachable_instructions_are_judged_too() {
    let (line, reason) = refused("ret;\nnonsense.b32;");
    assert_eq!(line, 7);
    assert!(reason.contains("nonsense.b32"));
}

#[test]
fn texts_for_other_devices_are_refused_before_they_are_read() {
    let claim = Claim { ptx: (8, 0), compute: (8, 6) };
    for (header, kind) in [
        (".version 8.1\n.target sm_75\n", CompileErrorKind::UnsupportedPtxVersion),
        (".version 8.0\n.target sm_87\n", CompileErrorKind::NoBinary),
        (".version 8.0\n.target sm_90\n", CompileErrorKind::NoBinary),
        (".version 8.0\n.target sm_80a\n", CompileErrorKind::NoBinary),
        (".version 8.0\n.target compute_80\n", CompileErrorKind::InvalidPtx),
        ("", CompileErrorKind::InvalidPtx),
    ] {
        let error = compile(&format!("{header}.address_size 64\n?"), &claim).err();
        assert_eq!(error.map(|error| error.kind), Some(kind), "{header}");
    }
    assert!(compile(".version 8.0\n.target sm_86\n.address_size 64\n", &claim).is_ok());
}

#[test]
fn directives_that_are_not_known_are_refused() {
    for (text, part) in [
        (".address_size 32", "32"),
        (".address_size 64\n.texref t;", ".texref"),
        (".address_size 64\n.extern .global .u32 x;", "x is not defined"),
        (".address_size 64\n.global .u32 x;\n.global .u32 x;", "twice"),
        (".address_size 64\n.global .u32 x = y;", "64 bits"),
        (".address_size 64\n.global .u64 x = y;", "y"),
        (".address_size 64\n.shared .u32 x = 1;", "value"),
        (".address_size 64\n.global .v4 .f32 x;", "vector"),
        (".address_size 64\n.global .b8 x[99999999999];", "too large"),
        (".address_size 64\n.entry k() .explicitcluster {}", ".explicitcluster"),
        (".address_size 64\n.entry k() { .shared .b8 x[50000]; }", "shared memory"),
        (".address_size 64\n.entry k() {", "statement"),
    ] {
        let text = format!(".version 7.5\n.target sm_75\n{text}\n");
        let error = compile(&text, &CLAIM).err().unwrap_or_else(|| panic!("accepted: {text}"));
        assert!(error.reason.contains(part), "{text}: {error}");
    }
}

#[test]
fn cut_texts_are_refused_and_never_panic() {
    let text = include_str!("../../../testdata/warps.ptx");
    let step = text.len() / 97;
    for length in (0..text.len() - 16).step_by(step) {
        if text.is_char_boundary(length) && !text[..length].trim_end().ends_with('}') {
            let _ = compile(&text[..length], &CLAIM);
        }
    }
}

/// Replaces one word of the text by another of its words.
fn mutated(words: &[&str], random: &mut u64) -> String {
    let mut next = || {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        *random
    };
    let count = words.len() as u64;
    let (at, by) = (next() % count, next() % count);
    let mut words = words.to_vec();
    words[at as usize] = words[by as usize];
    words.concat()
}

#[test]
fn mutated_texts_are_compiled_or_refused_and_never_panic() {
    for text in [
        include_str!("../../../testdata/warps.ptx"),
        include_str!("../../../testdata/calls.ptx"),
        include_str!("../../../testdata/memory.ptx"),
        include_str!("../../../testdata/atomics.ptx"),
    ] {
        // Words and the marks between them; the header stays, so that the rest is looked at.
        let body = text.find("address_size 64").expect("the text has a header") + 16;
        let (header, body) = text.split_at(body);
        let mut words = Vec::new();
        for piece in body.split_inclusive(|c: char| !c.is_alphanumeric() && c != '_' && c != '%') {
            let end = piece.char_indices().next_back().map_or(0, |(at, _)| at);
            words.extend([&piece[..end], &piece[end..]]);
        }
        words.retain(|word| !word.is_empty());
        for seed in 1..=60u64 {
            let text = format!(
                "{header}{}",
                mutated(&words, &mut seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            );
            println!("seed {seed}");
            let _ = compile(&text, &CLAIM);
        }
    }
}
