//! The memories of a device, and the faults that wrong accesses are.

use super::device::{Device, Params, line};
use crate::block::Fault;

const MEMORY: &str = include_str!("../../../testdata/memory.ptx");

#[test]
fn vectors_are_moved_whole() {
    let mut device = Device::load(MEMORY);
    let a = device.upload(&[[1.0f32, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]);
    let c = device.upload(&[[200u8, 100, 3, 4], [5, 6, 7, 8]]);
    let e = device.upload(&[[-1i16, 2], [30_000, 30_000]]);
    let g = device.upload(&[[1.5f64, 2.5], [3.0, 4.0]]);
    let outs = [32, 8, 32, 32].map(|bytes| device.allocate(bytes));
    let mut params = Params::new();
    for (input, out) in [a, c, e, g].into_iter().zip(outs) {
        params = params.u64(input).u64(out);
    }
    device.launch("vectors", line(1, 2), &params).expect("the kernel runs");
    assert_eq!(
        device.download::<[f32; 4]>(outs[0], 2),
        [[2.0, 2.0, 3.0, 2.0], [6.0, 6.0, 7.0, 6.0]]
    );
    assert_eq!(device.download::<[u8; 4]>(outs[1], 2), [[44, 100, 3, 4], [11, 6, 7, 8]]);
    let expected = [[-1, 2, 1, -1], [30_000, 30_000, 60_000, -1]];
    assert_eq!(device.download::<[i32; 4]>(outs[2], 2), expected);
    assert_eq!(device.download::<[f64; 2]>(outs[3], 2), [[4.0, 2.5], [7.0, 4.0]]);
}

#[test]
fn threads_have_memory_of_their_own() {
    for mut device in Device::in_both_forms(MEMORY) {
        let out = device.allocate(400);
        let n = 23;
        let params = Params::new().u64(out).i32(n);
        device.launch("local_array", line(1, 100), &params).expect("the kernel runs");
        for (thread, found) in (0..).zip(device.download::<i32>(out, 100)) {
            let mut t: Vec<i32> = (0..64).map(|i| i * n).collect();
            for i in 0..n {
                let from = t[((i * 3) & 63) as usize];
                let to = &mut t[((i * 7 + thread) & 63) as usize];
                *to = to.wrapping_add(from);
            }
            assert_eq!(found, t[(n & 63) as usize], "thread {thread}");
        }
    }
}

#[test]
fn structures_are_parameters() {
    let mut device = Device::load(MEMORY);
    let kernel = device.program.kernels["structure"].clone();
    let layout: Vec<(u32, u32, u32)> =
        kernel.params.iter().map(|param| (param.offset, param.size, param.align)).collect();
    assert_eq!(layout, [(0, 64, 8), (64, 8, 8), (72, 4, 4)]);
    assert_eq!(kernel.param_bytes, 76);
    let out = device.allocate(400);
    let mut params = Params::new();
    for size in 1..=6 {
        params = params.u64(size);
    }
    let params = params.i32(10).u32(0.5f32.to_bits()).with((-3i16).to_le_bytes());
    let params = params.u64(out).i32(4);
    device.launch("structure", line(1, 32), &params).expect("the kernel runs");
    let expected: Vec<f32> =
        (0..10).map(|i| 0.5f32.mul_add(((4 + i) % 6 + 1) as f32, -3.0)).collect();
    assert_eq!(device.download::<f32>(out, 10), expected);
    assert_eq!(device.download::<f32>(out + 40, 1), [0.0]);
}

#[test]
fn variables_have_their_initial_values_and_addresses() {
    let mut device = Device::load(MEMORY);
    let out = device.allocate(128);
    let params = Params::new().u64(out);
    device.launch("variables", line(2, 32), &params).expect("the kernel runs");
    let expected: Vec<f32> = (0..32).map(|i| (i % 4 + 1) as f32).collect();
    assert_eq!(device.download::<f32>(out, 32), expected);
    assert_eq!(device.download::<i32>(device.variables["counter"], 1), [9]);
}

#[test]
fn generic_addresses_reach_every_memory() {
    for mut device in Device::in_both_forms(MEMORY) {
        let out = device.allocate(1024);
        for (k, expected, elsewhere) in [
            (5, [8 + 1, 8 + 2, 8 + 3, 8 + 5], 0),
            (-9, [-9 + 4, -9 + 5, -9 + 6, -9 - 6], 0),
            (0, [1, 2, 3, 0], 3),
        ] {
            let params = Params::new().u64(out).i32(k);
            device.launch("generic", line(1, 32), &params).expect("the kernel runs");
            let found = device.download::<i32>(out, 68);
            if k == -9 {
                // Each of the first four threads changes its own array.
                assert_eq!(found[0], -9 + 4);
            } else {
                assert_eq!(found[..4], expected, "{k}");
            }
            assert_eq!(found[64], elsewhere, "{k}");
        }
    }
}

#[test]
fn indices_are_checked_on_the_device() {
    for mut device in Device::in_both_forms(MEMORY) {
        let rows = device.upload(&(0..50).map(|at| at as f32).collect::<Vec<f32>>());
        let index = device.upload(&[3i64, -1, 5, 1 << 40]);
        let (out, flag) = (device.allocate(160), device.allocate(4));
        let params = Params::new().u64(rows).u64(index).u64(out).u64(5).u64(10).u64(flag);
        device.launch("gather", line(4, 4), &params).expect("the kernel runs");
        let found = device.download::<f32>(out, 40);
        assert_eq!(found[..10], (30..40).map(|at| at as f32).collect::<Vec<f32>>());
        assert_eq!(found[10..20], (40..50).map(|at| at as f32).collect::<Vec<f32>>());
        assert_eq!(found[20..], [0.0; 20]);
        assert_eq!(device.download::<u32>(flag, 1), [1]);
    }
}

#[test]
fn images_are_unrolled() {
    let mut device = Device::load(MEMORY);
    let (height, width) = (5i32, 4i32);
    let image: Vec<f32> = (1..=20).map(|at| at as f32).collect();
    let (input, out) = (device.upload(&image), device.allocate(9 * 20 * 4));
    let params = Params::new().u64(input).u64(out).i32(height).i32(width).i32(3).i32(1);
    device.launch("unroll_image", line(2, 32), &params).expect("the kernel runs");
    let found = device.download::<f32>(out, 180);
    for row in 0..9 {
        for column in 0..20 {
            let (y, x) = (column / width + row / 3 - 1, column % width + row % 3 - 1);
            let inside = (0..height).contains(&y) && (0..width).contains(&x);
            let expected = if inside { image[(y * width + x) as usize] } else { 0.0 };
            assert_eq!(found[(row * 20 + column) as usize], expected);
        }
    }
}

#[test]
fn stores_that_are_not_allowed_are_faults_and_change_nothing() {
    let mut device = Device::load(MEMORY);
    let allocated = device.allocate(256);
    let mut on_the_heap = Box::new(5i32);
    let heap = &raw mut *on_the_heap as u64;
    let code = Device::load as *const () as u64 & !3;
    for address in
        [0, 4, heap, code, allocated + 256, allocated - 4, u64::MAX - 3, 1 << 56, 2 << 56, 1 << 63]
    {
        let params = Params::new().u64(address).i32(77);
        let fault = device.launch("store_at", line(1, 1), &params);
        assert_eq!(fault, Err(Fault::IllegalAddress { address, bytes: 4 }), "{address:#x}");
    }
    assert_eq!(*on_the_heap, 5);
    for address in [allocated + 1, allocated + 2, heap + 1] {
        let params = Params::new().u64(address).i32(77);
        let fault = device.launch("store_at", line(1, 1), &params);
        assert_eq!(fault, Err(Fault::MisalignedAddress { address, bytes: 4 }));
    }
    assert_eq!(device.download::<u8>(allocated, 256), [0; 256]);
    let params = Params::new().u64(allocated + 252).i32(77);
    assert_eq!(device.launch("store_at", line(1, 1), &params), Ok(()));
}

#[test]
fn shared_memory_has_an_end() {
    for mut device in Device::in_both_forms(MEMORY) {
        assert_eq!(device.program.kernels["store_shared"].static_shared_bytes, 64);
        for (index, result) in [
            (15, Ok(())),
            (16, Err(Fault::IllegalAddress { address: 64, bytes: 4 })),
            (-1, Err(Fault::IllegalAddress { address: (-4i64).cast_unsigned(), bytes: 4 })),
            (i32::MAX, Err(Fault::IllegalAddress { address: 0x1_ffff_fffc, bytes: 4 })),
        ] {
            let found = device.launch("store_shared", line(1, 1), &Params::new().i32(index));
            assert_eq!(found, result, "{index}");
        }
    }
}

#[test]
fn an_endless_kernel_stops_when_it_is_told_to() {
    for mut device in Device::in_both_forms(MEMORY) {
        let flag = device.allocate(4);
        device.stop.set();
        let params = Params::new().u64(flag);
        assert_eq!(device.launch("endless", line(1, 1), &params), Err(Fault::Stopped));
        assert_eq!(device.launch("endless", line(1, 256), &params), Err(Fault::Stopped));
    }
}

#[test]
fn threads_that_wait_for_nobody_hang_until_they_are_stopped() {
    // Lane 0 waits at a barrier for the others, which wait for lane 0 to synchronise the warp.
    let text = ".version 7.0\n.target sm_70\n.address_size 64\n.visible .entry k() {\n\
                .reg .pred %p; .reg .b32 %t; mov.u32 %t, %tid.x; setp.eq.u32 %p, %t, 0;\n\
                @%p bra ALONE; bar.warp.sync 0xffffffff; ret;\nALONE: bar.sync 0; ret; }";
    for mut device in Device::in_both_forms(text) {
        device.stop.set();
        assert_eq!(device.launch("k", line(1, 32), &Params::new()), Err(Fault::Stopped));
    }
}

#[test]
fn a_trap_ends_the_kernel() {
    for mut device in Device::in_both_forms(MEMORY) {
        let out = device.allocate(256);
        let params = Params::new().u64(out);
        assert_eq!(device.launch("trap_at", line(1, 64), &params.clone().i32(99)), Ok(()));
        assert_eq!(device.launch("trap_at", line(1, 64), &params.i32(3)), Err(Fault::Trap));
    }
}

#[test]
fn special_registers_tell_where_a_thread_is() {
    for mut device in Device::in_both_forms(MEMORY) {
        let (out, times) = (device.allocate(6 * 40 * 16), device.allocate(6 * 40 * 8));
        let params = Params::new().u64(out).u64(times);
        device.launch("special", line(6, 40), &params).expect("the kernel runs");
        for (at, found) in (0..).zip(device.download::<u32>(out, 960).chunks(4)) {
            let (block, thread) = (at / 40, at % 40);
            assert_eq!(found, [block % 4, 4, thread % 32, thread / 32]);
        }
        let times = device.download::<u64>(times, 240);
        assert!(times.is_sorted() && times[0] > 0);
    }
}

#[test]
fn a_register_may_be_named_first_behind_the_wait_that_it_crosses() {
    // The sum is carried round the loop, past a barrier that stands before its first use.
    let text = ".version 7.0\n.target sm_70\n.address_size 64\n\
                .visible .entry k(.param .u64 out) {\n\
                .reg .pred %p<2>; .reg .b32 %t<4>; .reg .b64 %d<4>;\n\
                mov.u32 %t0, 0; setp.eq.u32 %p0, %t0, 0; bra START;\n\
                AGAIN: bar.sync 0; add.u32 %t1, %t1, 3; add.u32 %t0, %t0, 1;\n\
                setp.lt.u32 %p1, %t0, 5; @%p1 bra AGAIN; bra END;\n\
                START: mov.u32 %t1, %tid.x; bra AGAIN;\n\
                END: ld.param.u64 %d0, [out]; mov.u32 %t2, %tid.x; mul.wide.u32 %d1, %t2, 4;\n\
                add.u64 %d2, %d0, %d1; st.global.u32 [%d2], %t1; ret; }";
    for mut device in Device::in_both_forms(text) {
        let out = device.allocate(256);
        device.launch("k", line(1, 64), &Params::new().u64(out)).unwrap();
        let found: Vec<u32> = device.download(out, 64);
        assert_eq!(found, (0..64).map(|thread| thread + 15).collect::<Vec<u32>>());
    }
}
