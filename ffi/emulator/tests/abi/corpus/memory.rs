//! `memory.cu` and `calls.cu`

use super::{Module, check_rows, download, each, upload};
use crate::calls::*;
use std::ptr::null_mut;

/// A variable of the module.
fn variable(module: &Module, name: &std::ffi::CStr) -> (u64, usize) {
    let (mut address, mut bytes) = (0, 0);
    call!(cuModuleGetGlobal_v2(&mut address, &mut bytes, module.module, name.as_ptr()));
    (address, bytes)
}

fn constants(module: &Module) {
    let (settings, bytes) = variable(module, c"settings");
    assert_eq!(bytes, 16);
    let values = [100u32, 200, 300, 400];
    call!(cuMemcpyHtoD_v2(settings, values.as_ptr().cast(), 16));
    let input: Vec<i32> = (0..64).map(|at| at * 5).collect();
    let found = module.rows::<f32>("constants", 64, 1, &[upload(&input)]);
    for (at, found) in found.iter().enumerate() {
        let weight = (input[at] & 7) as f32 + 1.0;
        let expected = weight + values[at & 3] as f32 + f32::from(b"hello"[at % 5]) + 20.0;
        assert_eq!(found, &[expected], "{}", module.text.name);
    }
    let (managed, _) = variable(module, c"managed");
    // SAFETY: managed memory of four bytes, which the host may use while no kernel runs.
    let word = unsafe { std::sync::atomic::AtomicI32::from_ptr(managed as *mut i32) };
    assert_eq!(word.swap(7, std::sync::atomic::Ordering::SeqCst), 5);
    module.launch("host_sees", [1, 1, 1], 0, &[30]);
    assert_eq!(word.load(std::sync::atomic::Ordering::SeqCst), 37);
}

fn accesses(module: &Module) {
    let input: Vec<u32> = (0..64).map(|at| at * 3 + 1).collect();
    let found = module.rows::<u32>("hints", 64, 12, &[upload(&input)]);
    check_rows(module, "hints", &found, |at| {
        let x = input[at];
        vec![x, x, x, x, x, x, x + 1, x + 2, x + 3, x + 4, x, x]
    });
    let singles: Vec<[f32; 4]> =
        (0..32).map(|at| [0.0, 1.0, 2.0, 3.0].map(|x| x + at as f32)).collect();
    let doubles: Vec<[f64; 2]> = (0..32).map(|at| [f64::from(at), 0.5]).collect();
    let (a, b) = (upload(&singles), upload(&[[0f32; 4]; 32]));
    let (c, d) = (upload(&doubles), upload(&[[0f64; 2]; 32]));
    module.launch("vectors", [32, 1, 1], 0, &[a, b, c, d]);
    for (at, found) in download::<[f32; 4]>(b, 32).into_iter().enumerate() {
        let [x, y, z, w] = singles[at];
        assert_eq!(found, [w, z, y, x]);
    }
    for (at, found) in download::<[f64; 2]>(d, 32).into_iter().enumerate() {
        assert_eq!(found, [doubles[at][1], doubles[at][0] + 1.0]);
    }
}

/// The structure of the kernel, byte by byte: the fields of three and twelve bits share a word with the
/// two bytes before them, the one of nine bits has the next.
fn structures(module: &Module) {
    const SIZE: usize = 24;
    let mut bytes = Vec::new();
    for at in 0..32u16 {
        let mut one = [0u8; SIZE];
        one[0] = 248 + at as u8 % 8;
        one[2..4].copy_from_slice(&(at * 999).to_le_bytes());
        one[4..8].copy_from_slice(&(u32::from(at) * 12345).to_le_bytes());
        one[8..16].copy_from_slice(&u64::from(at).to_le_bytes());
        one[16] = at as u8 & 1;
        one[17] = at as u8;
        one[18..20].copy_from_slice(&(at & 7 | ((at * 77) & 0xfff) << 3).to_le_bytes());
        one[20..22].copy_from_slice(&at.to_le_bytes());
        bytes.extend(one);
    }
    let (input, out) = (upload(&bytes), upload(&vec![0u8; bytes.len()]));
    module.launch("mixed", [32, 1, 1], 0, &[input, out]);
    for (at, found) in download::<u8>(out, bytes.len()).chunks(SIZE).enumerate() {
        let one = &bytes[at * SIZE..][..SIZE];
        let word = |range: std::ops::Range<usize>| {
            found[range].iter().rev().fold(0u64, |all, &byte| all << 8 | u64::from(byte))
        };
        let at = at as u64;
        assert_eq!(found[0], one[0].wrapping_add(1));
        assert_eq!(word(2..4), (at * 999 * 3) & 0xffff);
        assert_eq!(word(4..8), (at * 12345) ^ 0xff);
        assert_eq!(word(8..16), at.wrapping_sub(1));
        assert_eq!(found[16], 1 - one[16]);
        assert_eq!(found[17], one[17].wrapping_neg());
        let fields = (at + 1) & 7 | ((at * 77 * 2) & 0xfff) << 3;
        assert_eq!(word(18..20) & 0x7fff, fields, "{}", module.text.name);
        assert_eq!(word(20..22) & 0x1ff, at.wrapping_sub(1) & 0x1ff, "{}", module.text.name);
    }
}

fn locals(module: &Module) {
    let input: Vec<i32> = (0..48).map(|at| at * 29 % 53).collect();
    let found = module.rows::<i32>("locals", 48, 6, &[upload(&input)]);
    for (at, found) in found.iter().enumerate() {
        let mut sorted: Vec<i32> = (0..16).map(|k| input[(at + k) % 48]).collect();
        sorted.sort_unstable();
        let mut bytes = [at as u8; 24];
        let from = (input[at] & 7) as usize;
        bytes[from..from + 4].copy_from_slice(&sorted[1].to_le_bytes());
        bytes[from + 4..from + 8].copy_from_slice(&sorted[2].to_le_bytes());
        let sum = bytes.iter().zip(1..).map(|(&byte, k)| i32::from(byte) * k).sum();
        let expected = [sorted[at & 15], sorted[(at & 3) * 4], sum, 3, 18, 0];
        assert_eq!(found, &expected, "{}: row {at}", module.text.name);
    }
    let found = module.rows::<u32>("spaces", 64, 2, &[]);
    check_rows(module, "spaces", &found, |at| {
        // Constant memory lies in the device's own; whether it is told apart is the device's affair.
        vec![(at as u32 ^ 1) * 2, found[at][1] & 4 | 3]
    });
}

fn fibonacci(n: i32) -> i32 {
    if n < 2 { n } else { fibonacci(n - 1) + fibonacci(n - 2) }
}

fn calls(module: &Module) {
    let input: Vec<i32> = (0..64).map(|at| at * 11 % 97).collect();
    let found = module.rows::<i32>("calls", 64, 8, &[upload(&input)]);
    let functions: [fn(i32) -> i32; 3] = [|x| 2 * x, |x| 3 * x, |x| x * x];
    for (at, found) in found.iter().enumerate() {
        let x = input[at];
        let own = if at & 1 == 1 { x * x } else { 2 * x };
        let by = at as i32 % 6;
        let cell = |k: i32| x + (k + by) % 6 + by;
        let (area, sides) =
            if at & 1 == 1 { ((x & 255) * (x & 255), 4) } else { (3 * (x & 15) * (x & 15), 0) };
        let expected = [
            fibonacci(x & 15),
            functions[at % 3](x),
            own + 3 * x,
            cell(0) + 7 * cell(5),
            2 * x,
            area + 100 * sides,
            sides,
            0,
        ];
        assert_eq!(found, &expected, "{}: row {at}", module.text.name);
    }
    // Pointers to functions may be handed to the host and back.
    let pointers = upload(&[0u64; 2]);
    module.launch("addresses", [1, 1, 1], 0, &[pointers]);
    let found = module.rows::<i32>("by_address", 64, 1, &[pointers, upload(&input)]);
    for (at, found) in found.iter().enumerate() {
        let x = input[at];
        assert_eq!(found, &[if at & 1 == 1 { x * x } else { 2 * x }]);
    }
}

/// Parameters of many bytes, of which a thread picks by a number that it computes.
fn parameters(module: &Module) {
    let input: Vec<i32> = (0..64).map(|at| at * 5).collect();
    let values: Vec<f32> = (0..700).map(|at| at as f32 * 0.5).collect();
    let from = upload(&input);
    let out = upload(&[0f32; 64]);
    let mut many: Vec<u8> = values[..24].iter().flat_map(|x| x.to_le_bytes()).collect();
    let index: Vec<i32> = (0..8).map(|at| at * 7 % 23).collect();
    many.extend(index.iter().flat_map(|x| x.to_le_bytes()));
    launch(module, "picked", &many, from, out);
    let expected: Vec<f32> =
        (0..64usize).map(|at| values[(index[at % 8] + input[at] % 2) as usize]).collect();
    assert_eq!(download::<f32>(out, 64), expected, "{}", module.text.name);
    let table: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    launch(module, "looked_up", &table, from, out);
    let expected: Vec<f32> = input
        .iter()
        .map(|&x| (0..x & 15).map(|k| values[((x * 7 + k) % 700) as usize]).sum())
        .collect();
    assert_eq!(download::<f32>(out, 64), expected, "{}", module.text.name);
}

fn launch(module: &Module, name: &str, first: &[u8], from: u64, out: u64) {
    let function = module.find(name).unwrap();
    let mut pointers = [
        first.as_ptr().cast_mut().cast(),
        (&raw const from).cast_mut().cast(),
        (&raw const out).cast_mut().cast(),
    ];
    let pointers = pointers.as_mut_ptr();
    call!(cuLaunchKernel(function, 1, 1, 1, 64, 1, 1, 0, null_mut(), pointers, null_mut()));
    call!(cuCtxSynchronize());
}

crate::child::in_child! {
    every_memory_keeps_what_it_is_given("sms=2,memory=64MiB,driver=13.5") {
        each("memory", |module| {
            constants(module);
            accesses(module);
            structures(module);
            locals(module);
        });
    }

    functions_are_called_by_name_and_through_pointers("sms=2,memory=64MiB,driver=13.5") {
        each("calls", |module| {
            calls(module);
            parameters(module);
        });
    }
}
