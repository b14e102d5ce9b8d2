//! Nothing that a request's path calls allocates.

use crate::machine::{Machine, open};
use gpumux_cuda::{DeviceOptions, Matrix, Operands, Product, Wake};
use gpumux_kernels::{DevicePtr, Echo};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting what each thread asks of it. The emulator has its own.
struct Counting;

// SAFETY: every call is passed on as it is; counting touches a plain thread-local cell, which needs
// no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps to the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to the contract, which is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn issuing_work_and_seeing_it_retire_allocates_nothing() {
    Machine::WHOLE.run(|| {
        let device = open(DeviceOptions::default());
        let memory = device.reserve(1 << 20).expect("memory");
        let [input, output] = [0; 2].map(|_| memory.alloc(1024).expect("a block"));
        let mut pool = device.pinned_pool(1024, 1).expect("pinned memory");
        let wake = Wake::new().expect("a descriptor");
        let mut lane = device.lane(&wake).expect("a lane");
        let plain = Matrix { row_stride: 4, batch_stride: 0, transposed: false };
        let product = Product {
            m: 4,
            n: 4,
            k: 4,
            batches: 1,
            a: plain,
            b: plain,
            c: plain,
            alpha: 1.0,
            beta: 0.0,
            alignment: 16,
        };
        let prepared = device.prepare(&product, DevicePtr::NULL, 0, 0).expect("a product");

        let before = ALLOCATIONS.get();
        let mut lent = lane.lend(pool.take().expect("a block"));
        lane.copy_in(&mut lent, 0, 1024, input.address()).expect("a copy");
        let (from, to) = (input.address(), output.address());
        let echo = Echo { input: from.of(), output: to.of(), bytes: 1024 };
        lane.launch(&echo.launch()).expect("a launch");
        let operands = Operands { a: from.of(), b: from.of(), c: to.of(), workspace: to };
        lane.multiply(&prepared, &operands).expect("a product");
        lane.copy_out(to, &mut lent, 0, 1024).expect("a copy");
        let marked = lane.mark().expect("a mark");
        lane.wake().expect("a wake-up");
        while !lane.retired().has_reached(marked) {
            std::hint::spin_loop();
        }
        let Ok(block) = lane.reclaim(lent) else { panic!("the mark has retired") };
        pool.give(block);
        assert_eq!(ALLOCATIONS.get() - before, 0);
    });
}
