//! Random kernels whose threads wait in divergent control flow, run with threads that are cut into
//! regions and with threads that have stacks: both must leave the same memory. `GPUMUX_SEED` names
//! the seeds to run instead: one, or first and last as in `1..5000`.

use std::fmt::Write as _;

use super::device::{Device, Params, Shape};
use crate::jit::Form;

const SEEDS: u64 = 250;
/// Registers that a thread stores at its end.
const WORDS: u32 = 10;

/// Shapes of blocks: whole warps, parts of warps, more than one axis.
const SHAPES: [[u32; 3]; 9] = [
    [32, 1, 1],
    [64, 1, 1],
    [128, 1, 1],
    [16, 6, 1],
    [8, 4, 4],
    [7, 1, 1],
    [40, 1, 1],
    [33, 3, 1],
    [5, 5, 4],
];

/// Which threads run the statements that are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Company {
    /// All of the block that have not ended.
    Block,
    /// All lanes of some warps, as far as they have not ended.
    Warps,
    /// Some lanes.
    Lanes,
}

struct Writer {
    random: u64,
    text: String,
    labels: u32,
    threads: u32,
    /// Some threads may have ended, so that barriers cannot be counted.
    ended: bool,
    /// Threads may end here.
    may_end: bool,
    /// Loops may read what other threads write, so that each looks whether others can run.
    spins: bool,
}

impl Writer {
    fn new(seed: u64) -> Self {
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut writer = Self {
            random,
            text: String::new(),
            labels: 0,
            threads: 0,
            ended: false,
            may_end: true,
            spins: false,
        };
        // The first numbers of neighbouring seeds are alike.
        for _ in 0..8 {
            writer.below(2);
        }
        writer
    }

    fn below(&mut self, limit: u32) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 20) as u32 % limit
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u32) as usize]
    }

    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{line}");
    }

    fn fresh(&mut self) -> u32 {
        self.labels += 1;
        self.labels
    }

    /// A register of 32 bits.
    fn word(&mut self) -> String {
        format!("%u{}", self.below(6))
    }

    fn predicate(&mut self) -> String {
        format!("%p{}", self.below(3))
    }

    /// A register or a constant.
    fn operand(&mut self) -> String {
        if self.below(3) == 0 { self.below(100).to_string() } else { self.word() }
    }

    /// The whole kernel.
    fn kernel(&mut self, shape: [u32; 3]) -> String {
        self.threads = shape.iter().product();
        self.spins = self.below(4) == 0;
        self.block(Company::Block, "0xffffffff", 3);
        format!(
            ".version 8.0\n.target sm_80\n.address_size 64\n\
             .visible .entry k(.param .u64 out, .param .u32 salt)\n{{\n\
             .reg .b32 %u<6>, %t<4>, %m<{registers}>, %c<{registers}>; .reg .b64 %d<2>, %a<4>;\n\
             .reg .f32 %f<2>; .reg .b16 %h; .reg .pred %p<3>, %q<{registers}>;\n\
             .shared .align 4 .b8 slots[4096]; .shared .align 4 .b8 sum[4];\n\
             .local .align 4 .b8 own[16];\n{START}{}{END}}}\n",
            self.text,
            registers = self.labels + 1,
        )
    }

    fn block(&mut self, company: Company, mask: &str, depth: u32) {
        for _ in 0..2 + self.below(4) {
            match self.below(10) {
                0..3 => self.arithmetic(),
                3..6 => self.warp_operation(company, mask),
                6 if company == Company::Block => self.block_operation(),
                7 if depth > 0 => self.branch(mask, depth - 1),
                8 if depth > 0 => self.shrinking_loop(mask, depth - 1),
                9 if depth > 0 && company == Company::Block => self.of_block(depth - 1),
                _ => self.arithmetic(),
            }
        }
    }

    fn arithmetic(&mut self) {
        let (a, b, c) = (self.word(), self.word(), self.operand());
        let (p, f) = (self.predicate(), self.below(2));
        let line = match self.below(12) {
            0 => format!("add.u32 {a}, {b}, {c};"),
            1 => format!("xor.b32 {a}, {b}, {c};"),
            2 => format!("mad.lo.u32 {a}, {b}, {c}, {a};"),
            3 => format!("shr.u32 {a}, {b}, {};", self.below(20)),
            4 => format!("mad.wide.u32 %d{f}, {b}, {c}, %d{};", 1 - f),
            5 => format!("and.b32 %t0, {b}, 0xfff; cvt.rn.f32.u32 %f{f}, %t0;"),
            6 => format!("add.rn.f32 %f{f}, %f{f}, %f{};", 1 - f),
            7 => format!("setp.{}.u32 {p}, {b}, {c};", self.pick(&["lt", "ge", "eq", "ne"])),
            8 => format!("selp.b32 {a}, {b}, {c}, {p};"),
            9 => format!("cvt.u16.u32 %h, {b}; cvt.u32.u16 {a}, %h;"),
            10 => format!("@{p} sub.u32 {a}, {b}, {c};"),
            _ => format!(
                "and.b32 %t0, {b}, 12; cvt.u64.u32 %a1, %t0; mov.u64 %a0, own; add.s64 %a0, %a0, %a1;\n\
                 ld.local.u32 {a}, [%a0]; st.local.u32 [%a0], {b};"
            ),
        };
        self.line(&line);
    }

    fn warp_operation(&mut self, company: Company, mask: &str) {
        let (a, b, p, q) = (self.word(), self.word(), self.predicate(), self.predicate());
        let line = match self.below(9) {
            0..4 => {
                let mode = self.pick(&["up", "down", "bfly", "idx"]);
                let clamp = self.pick(&["31", "0", "0x181f", "0x1c1f", "0x1800", "%u1"]);
                let select = if self.below(2) == 0 { self.operand() } else { "1".into() };
                let target = if self.below(2) == 0 { a } else { format!("{a}|{p}") };
                format!("shfl.sync.{mode}.b32 {target}, {b}, {select}, {clamp}, {mask};")
            }
            4 => format!("vote.sync.{}.pred {p}, {q}, {mask};", self.pick(&["all", "any", "uni"])),
            5 => format!("vote.sync.ballot.b32 {a}, {q}, {mask};"),
            6 => format!("and.b32 %t0, {b}, 3; match.any.sync.b32 {a}, %t0, {mask};"),
            7 => {
                let kind = self.pick(&["add.u32", "min.s32", "max.u32", "xor.b32", "and.b32"]);
                format!("redux.sync.{kind} {a}, {b}, {mask};")
            }
            _ if company == Company::Lanes => format!("bar.warp.sync {mask};"),
            // The carry flag lives across the wait.
            _ => format!(
                "add.cc.u32 {a}, {a}, {b}; match.all.sync.b32 %t1|{p}, {b}, {mask}; addc.u32 {b}, %t1, {a};"
            ),
        };
        self.line(&line);
    }

    fn block_operation(&mut self) {
        let (a, b, p, q) = (self.word(), self.word(), self.predicate(), self.predicate());
        let counted = !self.ended && self.threads.is_multiple_of(32);
        let line = match self.below(8) {
            0 => "bar.sync 0;".into(),
            1 => "mov.u32 %t0, 3; barrier.sync %t0;".into(),
            2 => format!("bar.red.{}.pred {p}, 0, {q};", self.pick(&["and", "or"])),
            3 => format!("bar.red.popc.u32 {a}, 2, {q};"),
            4 if counted => format!("mov.u32 %t0, {}; bar.sync 1, %t0;", self.threads),
            5 if counted && self.threads >= 64 => self.hand_over(&a, &b),
            6 => format!(
                "atom.shared.add.u32 %t0, [sum], {b}; bar.sync 0; ld.shared.u32 {a}, [sum]; bar.sync 0;"
            ),
            // Each thread reads what its neighbour has stored.
            _ => format!(
                "st.shared.u32 [%a2], {b}; bar.sync 0; ld.shared.u32 {a}, [%a3]; bar.sync 0;"
            ),
        };
        self.line(&line);
    }

    /// The first warp stores and goes on; the second waits for it.
    fn hand_over(&mut self, a: &str, b: &str) -> String {
        let label = self.fresh();
        format!(
            "setp.ne.u32 %q{label}, %t3, 0; @%q{label} bra SECOND{label};\n\
             st.shared.u32 [%a2], {b}; bar.arrive 4, 64; bra.uni AFTER{label};\n\
             SECOND{label}: setp.ne.u32 %q{label}, %t3, 1; @%q{label} bra AFTER{label};\n\
             bar.sync 4, 64; ld.shared.u32 {a}, [%a2+-128];\n\
             AFTER{label}: bar.sync 0;"
        )
    }

    /// Lanes that part and meet again, each knowing who is with it.
    fn branch(&mut self, mask: &str, depth: u32) {
        let (yes, no) = (self.fresh(), self.fresh());
        let (a, b) = (self.word(), self.operand());
        let compare = self.pick(&["lt", "ge", "ne"]);
        self.line(&format!(
            "and.b32 %t0, {a}, 31; setp.{compare}.u32 %q{yes}, %t0, {b};\n\
             vote.sync.ballot.b32 %m{yes}, %q{yes}, {mask}; not.b32 %m{no}, %m{yes}; and.b32 %m{no}, %m{no}, {mask};\n\
             @!%q{yes} bra ELSE{yes};"
        ));
        self.block(Company::Lanes, &format!("%m{yes}"), depth);
        if self.below(4) == 0 {
            self.active(yes);
        }
        self.line(&format!("bra END{yes};\nELSE{yes}:"));
        if self.below(3) > 0 {
            self.block(Company::Lanes, &format!("%m{no}"), depth);
        }
        self.line(&format!("END{yes}:"));
    }

    fn active(&mut self, number: u32) {
        self.line(&format!("activemask.b32 %t0; xor.b32 %u0, %u0, %t0; // {number}"));
    }

    /// A loop that each lane leaves when it has had enough.
    fn shrinking_loop(&mut self, mask: &str, depth: u32) {
        let (turn, rest) = (self.fresh(), self.fresh());
        let a = self.word();
        self.line(&format!(
            "and.b32 %c{turn}, {a}, 3; mov.u32 %m{turn}, {mask};\n\
             LOOP{turn}: setp.ne.u32 %q{turn}, %c{turn}, 0; vote.sync.ballot.b32 %m{rest}, %q{turn}, %m{turn};\n\
             @!%q{turn} bra LEFT{turn};\nmov.u32 %m{turn}, %m{rest};"
        ));
        self.block(Company::Lanes, &format!("%m{turn}"), depth.min(1));
        self.line(&format!("sub.u32 %c{turn}, %c{turn}, 1; bra LOOP{turn};\nLEFT{turn}:"));
    }

    /// What only a whole block does.
    fn of_block(&mut self, depth: u32) {
        let number = self.fresh();
        match self.below(5) {
            0 if self.may_end => {
                // Some threads end; they store their registers as all do.
                let a = self.word();
                self.ended = true;
                self.line(&format!(
                    "and.b32 %t0, {a}, 7; setp.eq.u32 %q{number}, %t0, 3; @%q{number} bra STORE;"
                ));
            }
            1 => {
                self.line(&format!("mov.u32 %c{number}, 3;\nLOOP{number}:"));
                // Where threads may end, the next turn begins with those that this one has left.
                let may_end = self.may_end;
                self.may_end &= self.below(2) == 0;
                self.ended |= self.may_end;
                self.block(Company::Block, "0xffffffff", depth);
                self.may_end = may_end;
                self.line(&format!(
                    "sub.u32 %c{number}, %c{number}, 1; setp.ne.u32 %q{number}, %c{number}, 0; @%q{number} bra LOOP{number};"
                ));
            }
            2 if self.spins => {
                // Long enough that other threads get a turn in between.
                let (a, b) = (self.word(), self.word());
                self.line(&format!(
                    "and.b32 %c{number}, {b}, 1; mad.lo.u32 %c{number}, %c{number}, 1500, 5;\n\
                     LOOP{number}: ld.volatile.shared.u32 %t0, [%a2]; add.u32 {a}, {a}, 1;\n\
                     sub.u32 %c{number}, %c{number}, 1; setp.ne.u32 %q{number}, %c{number}, 0; @%q{number} bra LOOP{number};"
                ));
            }
            _ => {
                // Warps part, and those of one kind may meet at a barrier of their own.
                let warps = self.threads.div_ceil(32);
                let even = warps.div_ceil(2) * 32;
                let counted = !self.ended && self.threads.is_multiple_of(32);
                self.line(&format!(
                    "and.b32 %t0, %t3, 1; setp.ne.u32 %q{number}, %t0, 0; @%q{number} bra AFTER{number};"
                ));
                self.block(Company::Warps, "0xffffffff", depth);
                if counted {
                    self.line(&format!("bar.sync 5, {even};"));
                }
                self.line(&format!("AFTER{number}:"));
            }
        }
    }
}

/// `%a2` is the thread's slot of shared memory, `%a3` that of its neighbour, `%t3` its warp.
const START: &str = "\
    mov.u32 %u2, %tid.x; mov.u32 %t0, %tid.y; mov.u32 %t1, %ntid.x; mov.u32 %t2, %tid.z; mov.u32 %u3, %ntid.y;\n\
    mad.lo.u32 %t2, %t2, %u3, %t0; mad.lo.u32 %t3, %t2, %t1, %u2;\n\
    mul.wide.u32 %a2, %t3, 4; mov.u64 %d0, slots; add.s64 %a2, %a2, %d0;\n\
    add.u32 %t0, %t3, 1; mov.u32 %t2, %ntid.z; mul.lo.u32 %t2, %t2, %u3; mul.lo.u32 %t2, %t2, %t1;\n\
    rem.u32 %t0, %t0, %t2; mul.wide.u32 %a3, %t0, 4; add.s64 %a3, %a3, %d0;\n\
    ld.param.u32 %u4, [salt]; mad.lo.u32 %u0, %t3, 0x9e3779b1, %u4; mov.u32 %u1, %laneid; mov.u32 %u5, %ctaid.x;\n\
    shr.u32 %t3, %t3, 5; mov.u64 %d1, 7; mov.f32 %f0, 0f3F800000; mov.f32 %f1, 0f40000000; mov.u16 %h, 9;\n\
    setp.lt.u32 %p0, %u1, 9; setp.eq.u32 %p1, %u2, 3; setp.ne.u32 %p2, %u5, 0;\n\
    st.local.u32 [own], %u0; st.local.u32 [own+4], %u1; st.local.u32 [own+8], %u2; st.local.u32 [own+12], %u4;\n\
    st.shared.u32 [%a2], %u0; @%p1 st.shared.u32 [sum], %u4; mov.u32 %t1, 0; bar.sync 0;\n\
    @!%p1 mov.u32 %t1, 1; st.shared.u32 [sum], 0; bar.sync 0;\n";

const END: &str = "\
    STORE: mov.u32 %t0, %tid.y; mov.u32 %t1, %ntid.x; mov.u32 %t2, %tid.z; mov.u32 %t3, %ntid.y;\n\
    mad.lo.u32 %t2, %t2, %t3, %t0; mov.u32 %t0, %tid.x; mad.lo.u32 %t2, %t2, %t1, %t0;\n\
    mul.lo.u32 %t3, %t3, %t1; mov.u32 %t0, %ntid.z; mul.lo.u32 %t3, %t3, %t0; mov.u32 %t0, %ctaid.x;\n\
    mad.lo.u32 %t2, %t0, %t3, %t2; ld.param.u64 %a0, [out]; mad.wide.u32 %a0, %t2, 40, %a0;\n\
    st.global.u32 [%a0], %u0; st.global.u32 [%a0+4], %u1; st.global.u32 [%a0+8], %u2;\n\
    st.global.u32 [%a0+12], %u3; st.global.u32 [%a0+16], %u4; st.global.u32 [%a0+20], %u5;\n\
    xor.b64 %d0, %d0, %d1; cvt.u32.u64 %t0, %d0; st.global.u32 [%a0+24], %t0;\n\
    add.rn.f32 %f0, %f0, %f1; st.global.f32 [%a0+28], %f0;\n\
    selp.b32 %t0, 1, 0, %p0; selp.b32 %t1, 2, 0, %p1; or.b32 %t0, %t0, %t1; selp.b32 %t1, 4, 0, %p2;\n\
    or.b32 %t0, %t0, %t1; st.global.u32 [%a0+32], %t0; ld.local.u32 %t0, [own+4]; st.global.u32 [%a0+36], %t0;\n\
    ret;\n";

/// What a kernel leaves when its threads wait in this form.
fn outcome(text: &str, shape: [u32; 3], form: Form, salt: u32) -> Vec<u32> {
    let mut device = Device::load_in_form(text, form);
    assert_eq!(device.program.kernels["k"].is_cut(), form == Form::Regions);
    let words = (2 * shape.iter().product::<u32>() * WORDS) as usize;
    let out = device.allocate(words * 4);
    let shape = Shape { grid: [2, 1, 1], threads: shape, dynamic_shared_bytes: 0 };
    device.launch("k", shape, &Params::new().u64(out).u32(salt)).expect("the kernel runs");
    device.download(out, words)
}

#[test]
fn regions_and_stacks_give_the_same_results() {
    let asked = std::env::var("GPUMUX_SEED").unwrap_or_else(|_| format!("1..{SEEDS}"));
    let (first, last) = asked.split_once("..").unwrap_or((&asked, &asked));
    let number = |text: &str| text.parse::<u64>().expect("GPUMUX_SEED is a number, or two and ..");
    let seeds = number(first)..=number(last);
    let mut waits = 0;
    for seed in seeds {
        let mut writer = Writer::new(seed);
        let shape = SHAPES[writer.below(SHAPES.len() as u32) as usize];
        let text = writer.kernel(shape);
        println!("GPUMUX_SEED={seed}, threads {shape:?}:\n{text}");
        let salt = writer.below(1000);
        let expected = outcome(&text, shape, Form::Stacks, salt);
        let found = outcome(&text, shape, Form::Regions, salt);
        waits += text.matches(".sync").count();
        for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let (thread, word) = (at as u32 / WORDS, at as u32 % WORDS);
            assert_eq!(found, expected, "seed {seed}: word {word} of thread {thread}");
        }
    }
    assert!(waits > 0, "no kernel has waited");
}
