//! Integer arithmetic, logic, shifts and bit fields of every type, against integers of 128 bits.

use super::harness::{Random, check, combinations, exactly, width};

/// Numbers at which integer arithmetic goes wrong.
const SPECIAL: [u64; 16] = [
    0,
    1,
    2,
    7,
    31,
    0x7f,
    0x80,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

fn rows(count: usize) -> Vec<Vec<u64>> {
    let mut rows = combinations(&SPECIAL, count.min(3));
    let mut random = Random::new();
    for _ in 0..600 {
        rows.push((0..count).map(|_| random.next() >> (random.next() & 63)).collect());
        rows.push((0..count).map(|_| random.next()).collect());
    }
    if count > 3 {
        for row in &mut rows {
            row.resize_with(count, || random.next() >> (random.next() & 63));
        }
    }
    rows
}

fn bits(ty: &str) -> u32 {
    width(ty).1 * 8
}

/// The integer that a register's bits are.
fn value(ty: &str, register: u64) -> i128 {
    let shift = 64 - bits(ty);
    if ty.starts_with('s') {
        i128::from((register << shift).cast_signed() >> shift)
    } else {
        i128::from(register << shift >> shift)
    }
}

/// Checks an operation on integers whose result has the operands' type.
fn check_all(
    spelled: &str,
    types: &[&'static str],
    count: usize,
    operation: impl Fn(&str, &[i128]) -> i128,
) {
    let rows = rows(count);
    for &ty in types {
        let operands = [", %a", ", %b", ", %c"][..count].concat();
        let body = format!("{spelled}.{ty} %r{operands};");
        check(&body, &[ty; 3][..count], ty, &rows, exactly, |row| {
            let values: Vec<i128> = row.iter().map(|&bits| value(ty, bits)).collect();
            operation(ty, &values) as u64
        });
    }
}

const INTEGERS: [&str; 6] = ["u16", "s16", "u32", "s32", "u64", "s64"];
const SIGNED: [&str; 3] = ["s16", "s32", "s64"];
const BITS: [&str; 3] = ["b16", "b32", "b64"];

pub(super) fn sums() {
    check_all("add", &INTEGERS, 2, |_, v| v[0].wrapping_add(v[1]));
    check_all("sub", &INTEGERS, 2, |_, v| v[0].wrapping_sub(v[1]));
    let limited = |x: i128| x.clamp(i32::MIN.into(), i32::MAX.into());
    check_all("add.sat", &["s32"], 2, |_, v| limited(v[0] + v[1]));
    check_all("sub.sat", &["s32"], 2, |_, v| limited(v[0] - v[1]));
    let halves = |word: u64, shift: u32| word >> shift & 0xffff;
    for ty in ["u16x2", "s16x2"] {
        check(&format!("add.{ty} %r, %a, %b;"), &[ty; 2], ty, &rows(2), exactly, |row| {
            let sum = |at| (halves(row[0], at) + halves(row[1], at)) & 0xffff;
            sum(16) << 16 | sum(0)
        });
    }
}

pub(super) fn products() {
    check_all("mul.lo", &INTEGERS, 2, |_, v| v[0].wrapping_mul(v[1]));
    let high = |ty: &str, a: i128, b: i128| {
        if bits(ty) < 64 {
            (a * b) >> bits(ty)
        } else if ty.starts_with('s') {
            (a * b) >> 64
        } else {
            ((a.cast_unsigned() * b.cast_unsigned()) >> 64).cast_signed()
        }
    };
    check_all("mul.hi", &INTEGERS, 2, |ty, v| high(ty, v[0], v[1]));
    check_all("mad.lo", &INTEGERS, 3, |_, v| v[0].wrapping_mul(v[1]).wrapping_add(v[2]));
    check_all("mad.hi", &INTEGERS, 3, |ty, v| high(ty, v[0], v[1]).wrapping_add(v[2]));
    check_all("mad.hi.sat", &["s32"], 3, |ty, v| {
        (high(ty, v[0], v[1]) + v[2]).clamp(i32::MIN.into(), i32::MAX.into())
    });
    for (ty, wide) in [("u16", "u32"), ("s16", "s32"), ("u32", "u64"), ("s32", "s64")] {
        let body = format!("mul.wide.{ty} %r, %a, %b;");
        check(&body, &[ty; 2], wide, &rows(2), exactly, |row| {
            (value(ty, row[0]) * value(ty, row[1])) as u64
        });
        let body = format!("mad.wide.{ty} %r, %a, %b, %c;");
        check(&body, &[ty, ty, wide], wide, &rows(3), exactly, |row| {
            (value(ty, row[0]) * value(ty, row[1]) + value(wide, row[2])) as u64
        });
    }
}

pub(super) fn products_of_24_bits() {
    for ty in ["u32", "s32"] {
        let low = |bits: u64| {
            let top = (bits as u32) << 8;
            if ty == "s32" { i64::from(top.cast_signed() >> 8) } else { i64::from(top >> 8) }
        };
        for (part, shift) in [("lo", 0), ("hi", 16)] {
            let product = |row: &[u64]| ((low(row[0]) * low(row[1])) >> shift) as u64;
            let body = format!("mul24.{part}.{ty} %r, %a, %b;");
            check(&body, &[ty; 2], ty, &rows(2), exactly, product);
            let body = format!("mad24.{part}.{ty} %r, %a, %b, %c;");
            check(&body, &[ty; 3], ty, &rows(3), exactly, |row| product(row).wrapping_add(row[2]));
        }
    }
}

/// Division by zero gives all ones and the dividend, as on a device; the ISA leaves it open.
pub(super) fn quotients() {
    check_all("div", &INTEGERS, 2, |_, v| if v[1] == 0 { -1 } else { v[0] / v[1] });
    check_all("rem", &INTEGERS, 2, |_, v| if v[1] == 0 { v[0] } else { v[0] % v[1] });
}

pub(super) fn signs_and_extremes() {
    check_all("abs", &SIGNED, 1, |_, v| v[0].abs());
    check_all("neg", &SIGNED, 1, |_, v| -v[0]);
    check_all("min", &INTEGERS, 2, |_, v| v[0].min(v[1]));
    check_all("max", &INTEGERS, 2, |_, v| v[0].max(v[1]));
    check_all("sad", &INTEGERS, 3, |_, v| v[2] + (v[0] - v[1]).abs());
    for ty in ["u16x2", "s16x2"] {
        let one = &ty[..3];
        for (opcode, larger) in [("min", false), ("max", true)] {
            let body = format!("{opcode}.{ty} %r, %a, %b;");
            check(&body, &[ty; 2], ty, &rows(2), exactly, |row| {
                let pick = |shift: u32| {
                    let (a, b) = (value(one, row[0] >> shift), value(one, row[1] >> shift));
                    (if larger { a.max(b) } else { a.min(b) }) as u64 & 0xffff
                };
                pick(16) << 16 | pick(0)
            });
        }
    }
}

pub(super) fn dot_products() {
    for a in ["u32", "s32"] {
        for b in ["u32", "s32"] {
            let part = |ty: &str, word: u64, shift: u32, bits: u32| {
                let top = (word as u32) << (32 - bits - shift);
                if ty == "s32" {
                    i64::from(top.cast_signed() >> (32 - bits))
                } else {
                    i64::from(top >> (32 - bits))
                }
            };
            let body = format!("dp4a.{a}.{b} %r, %a, %b, %c;");
            check(&body, &["b32"; 3], "b32", &rows(3), exactly, |row| {
                let products =
                    (0..4).map(|at| part(a, row[0], 8 * at, 8) * part(b, row[1], 8 * at, 8));
                row[2].wrapping_add(products.sum::<i64>() as u64)
            });
            for (half, first) in [("lo", 0), ("hi", 2)] {
                let body = format!("dp2a.{half}.{a}.{b} %r, %a, %b, %c;");
                check(&body, &["b32"; 3], "b32", &rows(3), exactly, |row| {
                    let products = (0..2).map(|at| {
                        part(a, row[0], 16 * at, 16) * part(b, row[1], 8 * (first + at), 8)
                    });
                    row[2].wrapping_add(products.sum::<i64>() as u64)
                });
            }
        }
    }
}

pub(super) fn packed_distances() {
    for (opcode, bits) in [("vabsdiff2", 16), ("vabsdiff4", 8u32)] {
        for ty in ["u32", "s32"] {
            let distance = |row: &[u64], shift: u32| {
                let part = |word: u64| {
                    let top = (word as u32) << (32 - bits - shift);
                    if ty == "s32" {
                        i64::from(top.cast_signed() >> (32 - bits))
                    } else {
                        i64::from(top >> (32 - bits))
                    }
                };
                (part(row[0]) - part(row[1])).unsigned_abs()
            };
            let shifts = || (0..32).step_by(bits as usize);
            let body = format!("{opcode}.{ty}.{ty}.{ty} %r, %a, %b, %c;");
            check(&body, &["b32"; 3], "b32", &rows(3), exactly, |row| {
                shifts().fold(0, |all, shift| all | (distance(row, shift) << shift))
            });
            let body = format!("{opcode}.{ty}.{ty}.{ty}.add %r, %a, %b, %c;");
            check(&body, &["b32"; 3], "b32", &rows(3), exactly, |row| {
                row[2].wrapping_add(shifts().map(|shift| distance(row, shift)).sum())
            });
        }
    }
}

pub(super) fn logic() {
    check_all("and", &BITS, 2, |_, v| v[0] & v[1]);
    check_all("or", &BITS, 2, |_, v| v[0] | v[1]);
    check_all("xor", &BITS, 2, |_, v| v[0] ^ v[1]);
    check_all("not", &BITS, 1, |_, v| !v[0]);
    check_all("cnot", &BITS, 1, |_, v| i128::from(v[0] == 0));
    let truths = combinations(&[0, 1], 2);
    for (opcode, operation) in [
        ("and", (|a, b| a & b) as fn(u64, u64) -> u64),
        ("or", |a, b| a | b),
        ("xor", |a, b| a ^ b),
    ] {
        let body = format!("{opcode}.pred %r, %a, %b;");
        check(&body, &["pred"; 2], "pred", &truths, exactly, |row| operation(row[0], row[1]));
    }
    check("not.pred %r, %a;", &["pred"], "pred", &truths, exactly, |row| 1 - row[0]);
    for table in [0x00u64, 0x01, 0x80, 0x96, 0xca, 0xe8, 0x55, 0xff] {
        let body = format!("lop3.b32 %r, %a, %b, %c, {table};");
        check(&body, &["b32"; 3], "b32", &rows(3), exactly, |row| {
            (0..32).fold(0, |all, at| {
                let input = |which: usize| row[which] >> at & 1;
                all | (table >> (input(0) << 2 | input(1) << 1 | input(2)) & 1) << at
            })
        });
    }
}

pub(super) fn shifts() {
    let mut random = Random::new();
    let mut rows = rows(1);
    let amounts = [0u64, 1, 5, 15, 16, 17, 31, 32, 33, 63, 64, 65, 0x8000_0000, 0xffff_ffff];
    rows = rows
        .iter()
        .flat_map(|row| amounts.map(|amount| vec![row[0], amount]))
        .chain((0..300).map(|_| vec![random.next(), random.next() & 127]))
        .collect();
    for ty in ["b16", "b32", "b64"] {
        check(&format!("shl.{ty} %r, %a, %b;"), &[ty, "u32"], ty, &rows, exactly, |row| {
            row[0].checked_shl(row[1] as u32).unwrap_or(0)
        });
        check(&format!("shl.{ty} %r, %a, 9;"), &[ty], ty, &rows, exactly, |row| row[0] << 9);
    }
    for ty in ["b16", "b32", "b64", "u16", "u32", "u64", "s16", "s32", "s64"] {
        check(&format!("shr.{ty} %r, %a, %b;"), &[ty, "u32"], ty, &rows, exactly, |row| {
            (value(ty, row[0]) >> (row[1] as u32).min(100)) as u64
        });
        check(&format!("shr.{ty} %r, %a, 40;"), &[ty], ty, &rows, exactly, |row| {
            (value(ty, row[0]) >> 40) as u64
        });
    }
    let rows: Vec<Vec<u64>> = combinations(&SPECIAL, 2)
        .into_iter()
        .flat_map(|row| amounts.map(|amount| vec![row[0], row[1], amount]))
        .collect();
    for (name, left, wraps) in [
        ("l.wrap", true, true),
        ("l.clamp", true, false),
        ("r.wrap", false, true),
        ("r.clamp", false, false),
    ] {
        let body = format!("shf.{name}.b32 %r, %a, %b, %c;");
        check(&body, &["b32", "b32", "u32"], "b32", &rows, exactly, |row| {
            let both = row[1] << 32 | row[0];
            let amount = if wraps { row[2] & 31 } else { row[2].min(32) };
            if left { (u128::from(both) << amount >> 32) as u64 } else { both >> amount }
        });
    }
}

pub(super) fn counts() {
    let rows = rows(1);
    for ty in ["b32", "b64"] {
        let wide = bits(ty);
        let top = |x: u64| x.leading_zeros() - (64 - wide);
        check(&format!("popc.{ty} %r, %a;"), &[ty], "u32", &rows, exactly, |row| {
            row[0].count_ones().into()
        });
        check(&format!("clz.{ty} %r, %a;"), &[ty], "u32", &rows, exactly, |row| top(row[0]).into());
        check(&format!("brev.{ty} %r, %a;"), &[ty], ty, &rows, exactly, |row| {
            row[0].reverse_bits() >> (64 - wide)
        });
    }
    for ty in ["u32", "s32", "u64", "s64"] {
        let wide = bits(ty);
        for (form, as_shift) in [("", false), (".shiftamt", true)] {
            let body = format!("bfind{form}.{ty} %r, %a;");
            check(&body, &[ty], "u32", &rows, exactly, |row| {
                let x = value(ty, row[0]);
                let x = if x < 0 { !x } else { x };
                match x.cast_unsigned().checked_ilog2() {
                    None => u64::from(u32::MAX),
                    Some(at) if as_shift => u64::from(wide - 1 - at),
                    Some(at) => at.into(),
                }
            });
        }
    }
}

/// The ISA's own words for `bfe` and `bfi`, bit by bit.
pub(super) fn fields() {
    let mut random = Random::new();
    let mut rows = Vec::new();
    let edges = [0u64, 1, 7, 8, 31, 32, 33, 63, 64, 200, 255, 256, 0x1_0005];
    for position in edges {
        for length in edges {
            for _ in 0..3 {
                rows.push(vec![random.next(), random.next(), position, length]);
            }
        }
    }
    for ty in ["u32", "s32", "u64", "s64"] {
        let wide = u64::from(bits(ty));
        let swapped: Vec<Vec<u64>> = rows.iter().map(|row| vec![row[0], row[2], row[3]]).collect();
        let body = format!("bfe.{ty} %r, %a, %b, %c;");
        check(&body, &[ty, "u32", "u32"], ty, &swapped, exactly, |row| {
            let (position, length) = (row[1] & 0xff, row[2] & 0xff);
            let sign = if ty.starts_with('u') || length == 0 {
                0
            } else {
                row[0] >> (position + length - 1).min(wide - 1) & 1
            };
            (0..wide).fold(0, |all, at| {
                let inside = at < length && position + at < wide;
                let bit = if inside { row[0] >> (position + at) & 1 } else { sign };
                all | bit << at
            })
        });
    }
    for ty in ["b32", "b64"] {
        let wide = u64::from(bits(ty));
        let body = format!("bfi.{ty} %r, %a, %b, %c, %d;");
        check(&body, &[ty, ty, "u32", "u32"], ty, &rows, exactly, |row| {
            let (position, length) = (row[2] & 0xff, row[3] & 0xff);
            (0..wide).fold(0, |all, at| {
                let inside = position <= at && at < position + length;
                let bit = if inside { row[0] >> (at - position) & 1 } else { row[1] >> at & 1 };
                all | bit << at
            })
        });
    }
}

pub(super) fn permutations() {
    let mut rows: Vec<Vec<u64>> =
        (0..4).map(|select| vec![0x3322_1180, 0xf766_5544, select]).collect();
    let mut random = Random::new();
    rows.extend((0..500).map(|_| vec![random.next(), random.next(), random.next()]));
    // The byte that each mode picks for each place, by the lowest two bits of the selector.
    let modes: [(&str, [[usize; 4]; 4]); 6] = [
        (".f4e", [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5, 6]]),
        (".b4e", [[0, 7, 6, 5], [1, 0, 7, 6], [2, 1, 0, 7], [3, 2, 1, 0]]),
        (".rc8", [[0; 4], [1; 4], [2; 4], [3; 4]]),
        (".ecl", [[0, 1, 2, 3], [1, 1, 2, 3], [2, 2, 2, 3], [3, 3, 3, 3]]),
        (".ecr", [[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 2, 2], [0, 1, 2, 3]]),
        (".rc16", [[0, 1, 0, 1], [2, 3, 2, 3], [0, 1, 0, 1], [2, 3, 2, 3]]),
    ];
    let byte = |row: &[u64], at: usize| if at < 4 { row[0] >> (8 * at) } else { row[1] >> (8 * (at - 4)) } & 0xff;
    for (mode, picks) in modes {
        let body = format!("prmt.b32{mode} %r, %a, %b, %c;");
        check(&body, &["b32"; 3], "b32", &rows, exactly, |row| {
            let pick = picks[(row[2] & 3) as usize];
            (0..4).fold(0, |all, at| all | byte(row, pick[at]) << (8 * at))
        });
    }
    check("prmt.b32 %r, %a, %b, %c;", &["b32"; 3], "b32", &rows, exactly, |row| {
        (0..4).fold(0, |all, at| {
            let nibble = row[2] >> (4 * at) & 15;
            let picked = byte(row, (nibble & 7) as usize);
            let spread = if picked & 0x80 != 0 { 0xff } else { 0 };
            all | (if nibble & 8 != 0 { spread } else { picked }) << (8 * at)
        })
    });
}

/// Carries, in and out, for words of 32 and of 64 bits.
pub(super) fn carries() {
    let rows = rows(3);
    for ty in ["u32", "s32", "u64", "s64"] {
        let modulus = 1i128 << bits(ty);
        let plain = &format!("u{}", bits(ty));
        let number = |bits: u64| value(plain, bits);
        // The carry of a + b goes into c + c; the second carry is what comes out.
        let carry_out =
            format!("add.cc.{ty} %t, %a, %b; addc.cc.{ty} %t, %c, %c; addc.{ty} %r, 0, 0;");
        let class = width(ty).0;
        let scoped = |text: &str| format!("{{ .reg .{class} %t; {text} }}");
        check(&scoped(&carry_out), &[ty; 3], ty, &rows, exactly, |row| {
            let first = number(row[0]) + number(row[1]) >= modulus;
            u64::from(2 * number(row[2]) + i128::from(first) >= modulus)
        });
        let sum = format!("add.cc.{ty} %t, %a, %b; addc.{ty} %r, %c, %t;");
        check(&scoped(&sum), &[ty; 3], ty, &rows, exactly, |row| {
            let first = number(row[0]) + number(row[1]);
            (first % modulus + number(row[2]) + i128::from(first >= modulus)) as u64
        });
        let difference =
            format!("sub.cc.{ty} %t, %a, %b; subc.cc.{ty} %t, %c, %t; subc.{ty} %r, 0, 0;");
        check(&scoped(&difference), &[ty; 3], ty, &rows, exactly, |row| {
            let first = (number(row[0]) - number(row[1])).rem_euclid(modulus);
            let borrow = number(row[0]) < number(row[1]);
            let borrows = number(row[2]) - first - i128::from(borrow) < 0;
            if borrows { u64::MAX } else { 0 }
        });
        // The flag of a difference is a carry: one where nothing was borrowed.
        for (last, wrapped) in [("addc", 0), ("subc", u64::MAX)] {
            let flag = format!("sub.cc.{ty} %t, %a, %b; {last}.{ty} %r, 0, 0;");
            check(&scoped(&flag), &[ty; 3], ty, &rows, exactly, |row| {
                let borrows = number(row[0]) < number(row[1]);
                if borrows { wrapped } else { wrapped.wrapping_add(1) }
            });
        }
        let product = format!("mad.hi.cc.{ty} %t, %a, %b, %c; addc.{ty} %r, 0, 0;");
        check(&scoped(&product), &[ty; 3], ty, &rows, exactly, |row| {
            let high = if ty.starts_with('s') {
                ((value(ty, row[0]) * value(ty, row[1])) >> bits(ty)).rem_euclid(modulus)
            } else {
                let product = u128::from(row[0]) * u128::from(row[1]);
                (product >> bits(ty)).cast_signed()
            };
            u64::from(high + number(row[2]) >= modulus)
        });
        let product = format!(
            "mad.lo.cc.{ty} %t, %a, %b, %c; madc.hi.cc.{ty} %t, %a, %b, %t; addc.{ty} %r, %t, 0;"
        );
        check(&scoped(&product), &[ty; 3], ty, &rows, exactly, |row| {
            let signed = |bits| value(ty, bits);
            let (low, high) = if bits(ty) == 64 && ty.starts_with('u') {
                let product = u128::from(row[0]) * u128::from(row[1]);
                (i128::from(product as u64), i128::from((product >> 64) as u64))
            } else {
                let product = signed(row[0]) * signed(row[1]);
                (product.rem_euclid(modulus), (product >> bits(ty)).rem_euclid(modulus))
            };
            let first = low + number(row[2]);
            let second = high + first % modulus + i128::from(first >= modulus);
            (second % modulus + i128::from(second >= modulus)) as u64
        });
    }
}
