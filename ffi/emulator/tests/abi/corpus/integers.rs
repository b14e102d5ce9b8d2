//! `integer.cu`

use super::{Module, check_rows, each, upload};

/// Words at which arithmetic goes wrong, in pairs.
fn pairs() -> (Vec<u32>, Vec<u32>) {
    let special = [
        0,
        1,
        2,
        7,
        0x7f,
        0x80,
        0xff,
        0x7fff,
        0x8000,
        0xffff,
        0x0123_4567,
        0x89ab_cdef,
        0x7fff_ffff,
        0x8000_0000,
        0x8000_0001,
        0xffff_fff9,
        0xffff_fffe,
        0xffff_ffff,
    ];
    let pairs = special.iter().flat_map(|&a| special.map(|b| (a, b)));
    pairs.unzip()
}

fn longs() -> (Vec<u64>, Vec<u64>) {
    let special = [
        0,
        1,
        3,
        97,
        0xffff_ffff,
        0x1_0000_0001,
        0x0123_4567_89ab_cdef,
        0x7fff_ffff_ffff_ffff,
        0x8000_0000_0000_0000,
        0xffff_ffff_ffff_fff0,
        u64::MAX,
    ];
    special.iter().flat_map(|&a| special.map(|b| (a, b))).unzip()
}

fn words(module: &Module) {
    let (a, b) = pairs();
    let inputs = [upload(&a), upload(&b)];
    let found = module.rows::<u32>("words", a.len(), 24, &inputs);
    check_rows(module, "words", &found, |at| {
        let (a, b) = (a[at], b[at]);
        let (sa, sb) = (a.cast_signed(), b.cast_signed());
        let (wa, wb) = (i64::from(sa), i64::from(sb));
        let divides = sb != 0 && sb != -1;
        let low24 = |x: i32| i64::from(x << 8 >> 8);
        vec![
            a.wrapping_add(b),
            a.wrapping_sub(b),
            a.wrapping_mul(b),
            a.checked_div(b).unwrap_or(7),
            a.checked_rem(b).unwrap_or(7),
            if divides { (sa / sb) as u32 } else { 7 },
            if divides { (sa % sb) as u32 } else { 7 },
            ((u64::from(a) * u64::from(b)) >> 32) as u32,
            ((wa * wb) >> 32) as u32,
            (u64::from(a & 0xff_ffff) * u64::from(b & 0xff_ffff)) as u32,
            (low24(sa) * low24(sb)) as u32,
            a.abs_diff(b).wrapping_add(5),
            sa.abs_diff(sb).wrapping_add(5),
            sa.min(sb) as u32,
            a.max(b),
            sa.wrapping_abs() as u32,
            ((wa + wb) >> 1) as u32,
            ((wa + wb + 1) >> 1) as u32,
            ((u64::from(a) + u64::from(b)) >> 1) as u32,
            ((u64::from(a) + u64::from(b) + 1) >> 1) as u32,
            a << (b & 31),
            (sa >> (b & 31)) as u32,
            (a / 7).wrapping_add(a % 1000),
            (sa / -3).wrapping_add(sa % 10) as u32,
        ]
    });
}

/// The four bytes of a word picked by the nibbles of a selector.
fn permuted(a: u32, b: u32, select: u32) -> u32 {
    let both = u64::from(b) << 32 | u64::from(a);
    (0..4).fold(0, |all, at| {
        let nibble = select >> (4 * at) & 15;
        let byte = (both >> (8 * (nibble & 7))) as u8;
        let byte = if nibble & 8 == 0 { byte } else { (byte.cast_signed() >> 7).cast_unsigned() };
        all | u32::from(byte) << (8 * at)
    })
}

fn bits(module: &Module) {
    let (a, b) = pairs();
    let inputs = [upload(&a), upload(&b)];
    let found = module.rows::<u32>("bits", a.len(), 24, &inputs);
    check_rows(module, "bits", &found, |at| {
        let (a, b) = (a[at], b[at]);
        let long = u64::from(b) << 32 | u64::from(a);
        let turned = long.reverse_bits();
        let byte = |word: u32, at: u32| i64::from((word >> (8 * at)) as u8);
        let signed_byte = |word: u32, at: u32| i64::from(((word >> (8 * at)) as u8).cast_signed());
        let pair = |word: u32, at: u32| i64::from((word >> (16 * at)) as u16);
        let signed_pair =
            |word: u32, at: u32| i64::from(((word >> (16 * at)) as u16).cast_signed());
        let lowest = |x: u64| if x == 0 { 0 } else { x.trailing_zeros() + 1 };
        let left = |amount: u32| (u128::from(long) << amount >> 32) as u32;
        vec![
            a.count_ones(),
            long.count_ones(),
            a.leading_zeros(),
            long.leading_zeros(),
            lowest(a.into()),
            lowest(long),
            a.reverse_bits(),
            turned as u32,
            (turned >> 32) as u32,
            permuted(a, b, 0x4321),
            permuted(a, b, b & 0x7777),
            left(9),
            (long >> (b & 31)) as u32,
            left((b & 63).min(32)),
            (long >> (b & 63).min(32)) as u32,
            ((0..4).map(|at| byte(a, at) * byte(b, at)).sum::<i64>() + 9) as u32,
            ((0..4).map(|at| signed_byte(a, at) * signed_byte(b, at)).sum::<i64>() - 9) as u32,
            ((0..2).map(|at| pair(a, at) * byte(b, at)).sum::<i64>() + 1) as u32,
            ((0..2).map(|at| pair(a, at) * byte(b, at + 2)).sum::<i64>() + 1) as u32,
            ((0..2).map(|at| signed_pair(a, at) * signed_byte(b, at)).sum::<i64>() - 1) as u32,
            ((0..2).map(|at| signed_pair(a, at) * signed_byte(b, at + 2)).sum::<i64>() - 1) as u32,
            (a & b) | (!a & 0x0f0f_0f0f) ^ (b >> 3),
            a >> 5 & 0x7ff,
            ((a << 9).cast_signed() >> 20) as u32,
        ]
    });
}

fn wide(module: &Module) {
    let (a, b) = longs();
    let inputs = [upload(&a), upload(&b)];
    let found = module.rows::<u64>("longs", a.len(), 16, &inputs);
    check_rows(module, "longs", &found, |at| {
        let (a, b) = (a[at], b[at]);
        let (sa, sb) = (a.cast_signed(), b.cast_signed());
        let divides = sb != 0 && sb != -1;
        vec![
            a.wrapping_add(b),
            a.wrapping_sub(b),
            a.wrapping_mul(b),
            a.checked_div(b).unwrap_or(7),
            a.checked_rem(b).unwrap_or(7),
            if divides { (sa / sb) as u64 } else { 7 },
            if divides { (sa % sb) as u64 } else { 7 },
            ((u128::from(a) * u128::from(b)) >> 64) as u64,
            ((i128::from(sa) * i128::from(sb)) >> 64) as u64,
            sa.min(sb) as u64,
            a.max(b),
            sa.wrapping_abs() as u64,
            a << (b & 63),
            (sa >> (b & 63)) as u64,
            a / 1_000_000_007,
            (sa % 97) as u64,
        ]
    });
    let found = module.rows::<u64>("huge", a.len(), 12, &inputs);
    check_rows(module, "huge", &found, |at| {
        let x = u128::from(a[at]) << 64 | u128::from(b[at]);
        let y = (u128::from(b[at]) * 3).wrapping_add(a[at].into());
        let results = [
            x.wrapping_add(y),
            x.wrapping_sub(y),
            x.wrapping_mul(y),
            x.checked_div(y).unwrap_or(7),
            x.checked_rem(y).unwrap_or(7),
            (x.cast_signed() >> (b[at] & 127)).cast_unsigned(),
        ];
        results.iter().flat_map(|&result| [result as u64, (result >> 64) as u64]).collect()
    });
}

fn shorts(module: &Module) {
    let (a, b) = pairs();
    let inputs = [upload(&a), upload(&b)];
    let found = module.rows::<u32>("shorts", a.len(), 12, &inputs);
    check_rows(module, "shorts", &found, |at| {
        let (a, b) = (a[at] as u16, b[at] as u16);
        let (sa, sb) = (a.cast_signed(), b.cast_signed());
        let (ca, cb) = ((a as u8).cast_signed(), (b as u8).cast_signed());
        let divides = sb != 0 && sb != -1;
        vec![
            a.wrapping_add(b).into(),
            a.wrapping_mul(b).into(),
            a.checked_div(b).unwrap_or(7).into(),
            if divides { i32::from(sa % sb) as u32 } else { 7 },
            i32::from(sa.min(sb)) as u32,
            i32::from(ca.max(cb)) as u32,
            i32::from(ca.wrapping_add(cb)) as u32,
            i32::from(sa >> (b & 7)) as u32,
            (a << (b & 7)).into(),
            (i32::from(sa) * i32::from(sb)) as u32,
            ((a & b) ^ (a | 3)).into(),
            if sa < sb {
                1
            } else if ca < cb {
                2
            } else {
                3
            },
        ]
    });
}

fn carries(module: &Module) {
    let threads = 60;
    let (words, more) = pairs();
    let a: Vec<u32> = (0..threads * 4).map(|at| words[at * 7 % words.len()]).collect();
    let b: Vec<u32> = (0..threads * 4).map(|at| more[at * 5 % more.len()]).collect();
    let found = module.rows::<u32>("carries", threads, 16, &[upload(&a), upload(&b)]);
    check_rows(module, "carries", &found, |at| {
        let all = |words: &[u32]| {
            (0..4).fold(0u128, |all, place| all | u128::from(words[at * 4 + place]) << (32 * place))
        };
        let (x, y) = (all(&a), all(&b));
        let split = |value: u128| (0..4).map(move |place| (value >> (32 * place)) as u32);
        let product = u128::from(x as u64) * u128::from(y as u64);
        let sum = ((x >> 32 & 0xffff_ffff) << 32 | x & 0xffff_ffff)
            + ((y >> 32 & 0xffff_ffff) << 32 | y & 0xffff_ffff);
        let results = [x.wrapping_add(y), x.wrapping_sub(y), product, sum];
        results.into_iter().flat_map(split).collect()
    });
}

fn fields(module: &Module) {
    let (mut a, mut b) = pairs();
    // Positions and lengths of all kinds.
    for position in [0u32, 5, 31, 32, 40, 63] {
        for length in [0u32, 1, 9, 31, 32, 63] {
            a.push(0xa5c3_9f71);
            b.push(position | length << 6 | 0x3a5 << 16);
        }
    }
    let found = module.rows::<u32>("fields", a.len(), 20, &[upload(&a), upload(&b)]);
    check_rows(module, "fields", &found, |at| {
        let (a, b) = (a[at], b[at]);
        let (position, length) = (b & 63, b >> 6 & 63);
        let long = u64::from(b) << 32 | u64::from(a);
        let extract = |value: u64, width: u32, signed: bool| -> u64 {
            let sign = if signed && length > 0 {
                value >> (position + length - 1).min(width - 1) & 1
            } else {
                0
            };
            (0..width).fold(0, |all, at| {
                let inside = at < length && position + at < width;
                all | (if inside { value >> (position + at) & 1 } else { sign }) << at
            })
        };
        let insert = |field: u64, base: u64, width: u32| -> u64 {
            (0..width).fold(0, |all, at| {
                let inside = position <= at && at < position + length;
                all | (if inside { field >> (at - position) & 1 } else { base >> at & 1 }) << at
            })
        };
        let byte = |at: u32| (long >> (8 * at)) as u8;
        let pick = |places: [u32; 4]| u32::from_le_bytes(places.map(byte));
        let first = b & 3;
        let (eu, es) = (extract(long, 64, false), extract(long, 64, true));
        let inserted = insert(long, !long, 64);
        let (sa, sb) = (a.cast_signed(), b.cast_signed());
        let magnitude = if sa < 0 { !a } else { a };
        let shift = if magnitude == 0 { u32::MAX } else { magnitude.leading_zeros() };
        vec![
            extract(a.into(), 32, false) as u32,
            extract(a.into(), 32, true) as u32,
            eu as u32,
            (eu >> 32) as u32,
            es as u32,
            (es >> 32) as u32,
            insert(a.into(), b.into(), 32) as u32,
            inserted as u32,
            (inserted >> 32) as u32,
            pick([0, 1, 2, 3].map(|at| first + at)),
            pick([0, 1, 2, 3].map(|at| (8 + first - at) % 8)),
            pick([first; 4]),
            pick([0, 1, 2, 3].map(|at| first.max(at))),
            pick([0, 1, 2, 3].map(|at| first.min(at))),
            pick([0, 1, 0, 1].map(|at| (first & 1) * 2 + at)),
            a.checked_ilog2().unwrap_or(u32::MAX),
            shift,
            (a & b) | (a & position) | (b & position),
            sa.saturating_add(sb) as u32,
            sa.saturating_sub(sb) as u32,
        ]
    });
}

/// The numbers of `width` bits of two words, combined one by one.
fn packed(width: u32, a: u32, b: u32, combine: impl Fn(i64, i64) -> i64, signed: bool) -> u32 {
    let part = |word: u32, shift: u32| {
        let top = word << (32 - width - shift);
        if signed {
            i64::from(top.cast_signed() >> (32 - width))
        } else {
            i64::from(top >> (32 - width))
        }
    };
    (0..32).step_by(width as usize).fold(0, |all, shift| {
        let value = combine(part(a, shift), part(b, shift)) as u32;
        all | (value & (u32::MAX >> (32 - width))) << shift
    })
}

fn summed(width: u32, a: u32, b: u32, signed: bool) -> u32 {
    let part = |word: u32, shift: u32| {
        let top = word << (32 - width - shift);
        if signed {
            i64::from(top.cast_signed() >> (32 - width))
        } else {
            i64::from(top >> (32 - width))
        }
    };
    (0..32)
        .step_by(width as usize)
        .map(|shift| (part(a, shift) - part(b, shift)).unsigned_abs() as u32)
        .sum()
}

fn small_numbers(module: &Module) {
    let (a, b) = pairs();
    let found = module.rows::<u32>("packed", a.len(), 24, &[upload(&a), upload(&b)]);
    check_rows(module, "packed", &found, |at| {
        let (a, b) = (a[at], b[at]);
        let all = |holds: bool| if holds { -1 } else { 0 };
        vec![
            packed(8, a, b, |x, y| x + y, false),
            packed(16, a, b, |x, y| x + y, false),
            packed(8, a, b, |x, y| x - y, false),
            packed(16, a, b, |x, y| x - y, false),
            packed(8, a, b, |x, y| (x + y).clamp(-128, 127), true),
            packed(8, a, b, |x, y| (x + y).min(255), false),
            packed(16, a, b, |x, y| (x + y).clamp(-32768, 32767), true),
            packed(8, a, b, |x, y| (x - y).max(0), false),
            packed(8, a, b, |x, y| (x - y).abs(), false),
            packed(16, a, b, |x, y| (x - y).abs(), true),
            packed(8, a, b, |x, y| all(x == y), false),
            packed(8, a, b, |x, y| all(x > y), false),
            packed(16, a, b, |x, y| all(x > y), true),
            packed(8, a, b, i64::max, false),
            packed(8, a, b, i64::min, true),
            packed(16, a, b, i64::max, true),
            packed(8, a, b, |x, y| (x + y + 1) >> 1, false),
            summed(8, a, b, false),
            summed(16, a, b, true),
            packed(8, a, 0, |x, _| -x, true),
            packed(8, a, 0, |x, _| x.abs(), true),
            packed(16, a, 0, |x, _| x.abs().min(32767), true),
            packed(8, a, b, |x, y| i64::from(x < y), false),
            packed(8, a, b, |x, y| (x + y) >> 1, false),
        ]
    });
}

fn choices(module: &Module) {
    let input: Vec<u32> = (0..96).map(|at| at * 37 + 5).collect();
    let found = module.rows::<u32>("choose", input.len(), 1, &[upload(&input)]);
    check_rows(module, "choose", &found, |at| {
        let x = input[at];
        vec![match x % 12 {
            0 => x * 3,
            1 => x ^ 0x55,
            2 => x << 3,
            3 => x.count_ones() + 100,
            4 => 100,
            5 => x / 5,
            6 => !x,
            7 => x - 7,
            8 => (0..x & 7).map(|k| k * x).sum(),
            9 => x.reverse_bits(),
            10 => 10,
            _ => 1,
        }]
    });
}

crate::child::in_child! {
    integers_are_exact("sms=2,memory=64MiB,driver=13.5") {
        each("integer", |module| {
            words(module);
            bits(module);
            wide(module);
            shorts(module);
            carries(module);
            fields(module);
            small_numbers(module);
            choices(module);
        });
    }
}
