//! `warp.cu`, `block.cu`, `groups.cu`, `atomics.cu` and `exchange.cu`

use super::{Module, check_rows, download, each, upload};

fn mask(warp: usize, holds: impl Fn(usize) -> bool) -> u32 {
    (0..32).filter(|&lane| holds(warp * 32 + lane)).map(|lane| 1 << lane).sum()
}

fn votes(module: &Module) {
    let found = module.rows::<u32>("votes", 64, 14, &[]);
    check_rows(module, "votes", &found, |at| {
        let (warp, lane) = (at / 32, at % 32);
        let all_same = |value: &dyn Fn(usize) -> usize| {
            (0..32).all(|lane| value(warp * 32 + lane) == value(warp * 32))
        };
        let uniform = |holds: &dyn Fn(usize) -> bool| {
            (0..32).all(|lane| holds(warp * 32 + lane) == holds(warp * 32))
        };
        let both = |holds: bool| if holds { [u32::MAX, 1] } else { [0, 0] };
        let [all_mask, all_flag] = both(all_same(&|i| i / 32));
        let [double_mask, double_flag] = both(all_same(&|i| i));
        vec![
            mask(warp, |i| i % 3 == 0),
            u32::from(warp == 0),
            u32::from(warp == 1),
            mask(warp, |i| i / 5 == at / 5),
            mask(warp, |i| i / 7 == at / 7),
            all_mask,
            all_flag,
            double_mask,
            double_flag,
            u32::from(uniform(&|i| i < 16)),
            lane as u32,
            (1u32 << lane) - 1,
            !((1u32 << lane) - 1),
            warp as u32,
        ]
    });
}

fn shuffles(module: &Module) {
    let found = module.rows::<u64>("shuffles", 64, 10, &[]);
    check_rows(module, "shuffles", &found, |at| {
        let (base, lane) = (at / 32 * 32, at % 32);
        let of = |lane: usize| (base + lane) as u64;
        let down = lane + (at & 3);
        let meeting = if at & 1 == 1 {
            let own = of(lane ^ 2);
            own + if at & 2 == 2 { of(lane ^ 4) * 100 } else { 0 }
        } else {
            of(lane ^ 4) + (at as u64 & 12) / 2
        };
        let next = of((lane + 1) % 32);
        vec![
            of((at ^ 9) % 32) * 5,
            of(if lane >= 3 { lane - 3 } else { lane }) * 5,
            of(if down / 16 == lane / 16 { down } else { lane }) * 5,
            // Beyond its segment a lane keeps its own value.
            of(if (lane ^ 13) <= (lane | 7) { lane ^ 13 } else { lane }) * 5,
            next << 33 | 7,
            f32::to_bits((base + (lane ^ 16)) as f32).into(),
            f64::to_bits((base + (lane + 1).min(31)) as f64),
            meeting,
            (0..32).map(of).sum(),
            u64::from(lane >= 4) << 32 | of(if lane >= 4 { lane - 4 } else { lane }),
        ]
    });
}

fn reductions(module: &Module) {
    let found = module.rows::<u32>("reductions", 64, 8, &[]);
    check_rows(module, "reductions", &found, |at| {
        if module.text.architecture < 80 {
            return vec![0xdead; 8];
        }
        let warp = at / 32 * 32;
        let value = |i: usize| (i as u32).wrapping_mul(77_777_777);
        let values = || (warp..warp + 32).map(value);
        let signed = || values().map(u32::cast_signed);
        vec![
            values().fold(0, u32::wrapping_add),
            values().min().unwrap(),
            values().max().unwrap(),
            signed().min().unwrap().cast_unsigned(),
            signed().max().unwrap().cast_unsigned(),
            (warp..warp + 32).fold(u32::MAX, |all, i| all & (!(1 << (i & 31)) | 0xf0)),
            0xffff,
            values().fold(0, |all, value| all ^ value),
        ]
    });
}

fn leaving(module: &Module) {
    let found = module.rows::<u32>("leaving", 64, 2, &[]);
    check_rows(module, "leaving", &found, |at| vec![1, (at as u32 & 7) + 1]);
}

fn barriers(module: &Module) {
    let found = module.rows::<u32>("barriers", 128, 5, &[]);
    check_rows(module, "barriers", &found, |at| {
        let other = 127 - at as u32;
        vec![other * other, 43, 1, 1, if at < 64 { 0 } else { at as u32 - 64 + 500 }]
    });
    let input: Vec<u32> = (0..256).map(|at| at * at % 91).collect();
    let (from, out) = (upload(&input), upload(&[0u32; 256]));
    module.launch("dynamic", [256, 1, 1], 1024, &[from, out]);
    let mut sum = 0;
    let sums: Vec<u32> = input
        .iter()
        .map(|value| {
            sum += value;
            sum
        })
        .collect();
    assert_eq!(download::<u32>(out, 256), sums);
    let tile: Vec<f32> = (0..64).map(|at| at as f32).collect();
    let (from, out) = (upload(&tile), upload(&[0f32; 64]));
    module.launch("transposed", [8, 8, 1], 0, &[from, out]);
    let expected: Vec<f32> = (0..64).map(|at| (at % 8 * 8 + at / 8) as f32 + 1.0).collect();
    assert_eq!(download::<f32>(out, 64), expected);
    let found = module.rows::<u32>("where", 128, 4, &[]);
    check_rows(module, "where", &found, |_| vec![1, 128_032, 2, 1]);
}

fn groups(module: &Module) {
    let found = module.rows::<u32>("groups", 64, 8, &[]);
    check_rows(module, "groups", &found, |at| {
        let (tile, rank) = (at / 8 * 8, at % 8);
        let warp = at / 32 * 32;
        let coalesced = if at % 4 == 1 { u32::from(warp == 0) + 2 } else { 0 };
        vec![
            (rank * 100 + at % 32 / 8) as u32,
            tile as u32 + 3,
            (0..8).filter(|k| (tile + k) % 3 == 0).map(|k| 1 << k).sum(),
            (tile..tile + 8).sum::<usize>() as u32,
            warp as u32 + 31,
            coalesced,
            mask(at / 32, |i| i / 9 == at / 9),
            64,
        ]
    });
}

fn word_atomics(module: &Module) {
    let mut start = [0u32; 16];
    start[2] = u32::MAX;
    start[4] = u32::MAX;
    start[15] = 1f32.to_bits();
    let (u, s, seen) = (upload(&start), upload(&[0i32, 0]), upload(&[0u32; 128]));
    module.launch("words", [64, 1, 1], 0, &[u, s, seen]);
    let found = download::<u32>(u, 16);
    let sum: u32 = (0..64).sum();
    let expected = [
        sum,
        0u32.wrapping_sub(sum),
        5,
        194,
        0xffff_0000,
        0xffff,
        0,
        4,
        found[8],
        64,
        128,
        64,
        found[12],
        sum,
        96 << 16 | 96,
        33f32.to_bits(),
    ];
    assert_eq!(found, expected, "{}", module.text.name);
    // 64 steps down from zero, which goes to nine: ten values in a circle.
    assert_eq!(found[8], 6);
    assert_eq!(download::<i32>(s, 2), [-7, 56]);
    let seen = download::<u32>(seen, 128);
    let mut counted = seen[..64].to_vec();
    counted.sort_unstable();
    assert_eq!(counted, (0..64).collect::<Vec<u32>>());
    // Each value that was exchanged in was taken out once, but for the last.
    let mut exchanged = seen[64..].to_vec();
    exchanged.push(found[12]);
    exchanged.sort_unstable();
    assert_eq!(exchanged, (0..=64).collect::<Vec<u32>>());
}

fn long_atomics(module: &Module) {
    let mut start = [0u64; 9];
    start[1] = u64::MAX;
    start[3] = u64::MAX;
    start[8] = 2f64.to_bits();
    let (u, s, seen) = (upload(&start), upload(&[0i64, 0]), upload(&[0u64; 64]));
    module.launch("longs", [64, 1, 1], 0, &[u, s, seen]);
    let found = download::<u64>(u, 9);
    let sum: u64 = (0..64u64).map(|i| i << 33).sum();
    let xors = (0..64).fold(0, |all, i| all ^ 3u64 << (i & 31));
    let expected = [sum, 5, (63 << 33) + 5, 0, u64::MAX, xors, found[6], sum, 18f64.to_bits()];
    assert_eq!(found, expected, "{}", module.text.name);
    assert_eq!(download::<i64>(s, 2), [-7, (63 << 33) - 7]);
    let mut exchanged = download::<u64>(seen, 64);
    exchanged.push(found[6]);
    exchanged.sort_unstable();
    assert_eq!(exchanged, (0..=64).collect::<Vec<u64>>());
}

fn shared_atomics(module: &Module) {
    let out = upload(&[0u32; 12]);
    module.launch("shared", [96, 1, 1], 0, &[out]);
    let sum: u32 = (0..96).sum();
    let expected = [sum, 95, 3, 96 % 7, 0xff, 5, 0, 96, sum, 95, 192, 288];
    assert_eq!(download::<u32>(out, 12), expected, "{}", module.text.name);
    let (flag, data, out) = (upload(&[0u32]), upload(&[0u32]), upload(&[0u32; 4]));
    module.launch("orders", [64, 1, 1], 0, &[flag, data, out]);
    assert_eq!(download::<u32>(out, 4), [42, 1, 1, 13], "{}", module.text.name);
    assert_eq!(download::<u32>(flag, 1), [7]);
}

fn ordered(module: &Module) {
    let (u, l, f) = (upload(&[0u32; 4]), upload(&[0u64]), upload(&[0f32]));
    let mut seen: Vec<u32> =
        module.rows::<u32>("ordered", 64, 1, &[u, l, f]).into_iter().map(|row| row[0]).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..64).collect::<Vec<u32>>(), "{}", module.text.name);
    let found = download::<u32>(u, 4);
    assert_eq!((found[0], found[1], found[3]), (64, 63, 1));
    assert!((1..=64).contains(&found[2]));
    assert_eq!(download::<u64>(l, 1), [(0..64).sum::<u64>()]);
    assert_eq!(download::<f32>(f, 1), [32.0]);
}

/// Atomics of 16 bytes and of vectors, which compute_90 has.
fn wide(module: &Module) {
    if module.find("wide").is_none() {
        return;
    }
    let (two, pair, four) = (upload(&[0u64; 4]), upload(&[0f32; 2]), upload(&[0f32; 4]));
    module.launch("wide", [64, 1, 1], 0, &[two, pair, four]);
    if module.text.cuda < (12, 8) {
        return;
    }
    assert_eq!(download::<u64>(two, 4), [64, (0..64).sum(), 5, 6], "{}", module.text.name);
    assert_eq!(download::<f32>(pair, 2), [64.0, -64.0]);
    assert_eq!(download::<f32>(four, 4), [64.0, 128.0, 192.0, 256.0]);
}

crate::child::in_child! {
    lanes_of_a_warp_work_together("sms=2,memory=64MiB,driver=13.5") {
        each("warp", |module| {
            votes(module);
            shuffles(module);
            reductions(module);
            leaving(module);
        });
    }

    threads_of_a_block_wait_for_each_other("sms=2,memory=64MiB,driver=13.5") {
        each("block", barriers);
    }

    groups_cooperate("sms=2,memory=64MiB,driver=13.5") {
        if std::env::var_os("GPUMUX_CORPUS").is_some() {
            each("groups", groups);
        }
    }

    atomics_lose_nothing("sms=2,memory=64MiB,driver=13.5") {
        each("atomics", |module| {
            word_atomics(module);
            long_atomics(module);
            shared_atomics(module);
        });
    }

    newer_atomics_lose_nothing("sms=2,memory=64MiB,driver=13.5") {
        each("exchange", |module| {
            ordered(module);
            wide(module);
        });
    }
}
