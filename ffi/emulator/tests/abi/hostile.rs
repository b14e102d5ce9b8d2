//! Random calls with random arguments: live handles, dead ones, handles of other kinds, numbers that
//! are none. Whatever the codes, the process lives and the driver works afterwards. Each seed is a
//! program; a failure prints its seed.

use crate::calls::*;
use std::ffi::c_void;
use std::ptr::{null_mut, without_provenance_mut};

const STEPS: usize = 2_000;
const SEEDS: u64 = 40;

/// Host memory that calls may read and write.
static mut ARENA: [u8; 4096] = [0; 4096];

/// Calls a driver function, whatever comes of it.
macro_rules! any {
    ($name:ident($($argument:expr),* $(,)?)) => {{
        // SAFETY: places for results are real, host memory is the arena with sizes within it; the
        // rest is what the driver must bear.
        let _ = unsafe { $name($($argument),*) };
    }};
}

struct Program {
    seed: u64,
    /// Everything that a call ever returned, live or not.
    handles: Vec<*mut c_void>,
    addresses: Vec<u64>,
}

impl Program {
    /// A number below `bound`; the step is that of a 64-bit linear congruential generator.
    fn random(&mut self, bound: u64) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let at = self.random(from.len() as u64);
        from[usize::try_from(at).expect("an index")]
    }

    fn handle<T>(&mut self) -> *mut T {
        let handles = self.handles.clone();
        self.pick(&handles).cast()
    }

    /// Device memory, dead or alive, or an address that is nobody's: never one of the process's own
    /// heap or stack, which a caller may pass as host memory.
    fn address(&mut self) -> u64 {
        let addresses = self.addresses.clone();
        let offset = self.pick(&[0, 0, 0, 1, 4, 100, 1 << 20, u64::MAX]);
        self.pick(&addresses).wrapping_add(offset)
    }

    fn size(&mut self) -> usize {
        self.pick(&[0, 1, 4, 63, 64, 256, 1000, 4096, 1 << 20, usize::MAX, usize::MAX / 2])
    }

    fn host(&mut self) -> *mut c_void {
        self.pick(&[null_mut(), (&raw mut ARENA).cast()])
    }

    /// A descriptor of a part of the device, or of one whose bytes were altered.
    fn describe(&mut self, out: *mut CUdevResourceDesc, flags: u32) {
        // SAFETY: zeros are resources of no type.
        let (mut all, mut part): (CUdevResource, CUdevResource) = unsafe { std::mem::zeroed() };
        let kind = CUdevResourceType::CU_DEV_RESOURCE_TYPE_SM;
        any!(cuDeviceGetDevResource(0, &mut all, kind));
        let mut groups = 1;
        any!(cuDevSmResourceSplitByCount(&mut part, &mut groups, &all, null_mut(), flags, 2));
        if self.random(4) == 0 {
            // After the type, which is an enumeration on our side.
            let at = usize::try_from(4 + self.random(140)).expect("small");
            let bytes: *mut u8 = (&raw mut part).cast();
            // SAFETY: a byte of the resource, which is 144 long.
            unsafe { bytes.wrapping_add(at).write(0xa5) };
        }
        any!(cuDevResourceGenerateDesc(out, &mut part, 1));
    }

    /// One call. Its code does not matter here.
    fn step(&mut self) {
        let (mut made, mut address) = (null_mut::<c_void>(), 0);
        let small = self.size().min(4096);
        let flags = u32::try_from(self.random(5)).expect("small");
        let stream = self.handle();
        match self.random(32) {
            0 => any!(cuStreamCreate((&raw mut made).cast(), flags)),
            1 => any!(cuEventCreate((&raw mut made).cast(), flags)),
            2 | 3 => any!(cuMemAlloc_v2(&mut address, self.size())),
            4 => any!(cuMemAllocAsync(&mut address, self.size(), stream)),
            5 => any!(cuMemFree_v2(self.address())),
            // Work that meets freed memory is a fault of the device, rightly so.
            6 => {
                any!(cuCtxSynchronize());
                any!(cuMemFreeAsync(self.address(), stream));
                any!(cuCtxSynchronize());
            }
            7 => any!(cuStreamDestroy_v2(stream)),
            8 => any!(cuEventDestroy_v2(self.handle())),
            9 => any!(cuEventRecord(self.handle(), stream)),
            10 => any!(cuStreamWaitEvent(stream, self.handle(), flags)),
            11 => any!(cuStreamSynchronize(stream)),
            12 => any!(cuEventSynchronize(self.handle())),
            13 => any!(cuMemcpyHtoDAsync_v2(self.address(), self.host(), small, stream)),
            14 => any!(cuMemcpyDtoHAsync_v2(self.host(), self.address(), small, stream)),
            16 => any!(cuMemsetD8Async(self.address(), 3, self.size(), stream)),
            18 => any!(cuStreamWriteValue32_v2(stream, self.address(), 7, flags)),
            19 => any!(cuMemHostRegister_v2(self.host(), small, flags)),
            20 => any!(cuMemHostUnregister(self.host())),
            21 => any!(cuMemHostAlloc(&mut made, small, flags)),
            22 => any!(cuMemFreeHost(self.handle())),
            24 => any!(cuGreenCtxCreate((&raw mut made).cast(), self.handle(), 0, flags)),
            25 => any!(cuGreenCtxStreamCreate((&raw mut made).cast(), self.handle(), flags, 0)),
            26 => any!(cuGreenCtxDestroy(self.handle())),
            27 => any!(cuCtxFromGreenCtx((&raw mut made).cast(), self.handle())),
            28 => any!(cuGreenCtxRecordEvent(self.handle(), self.handle())),
            29 => any!(cuGreenCtxWaitEvent(self.handle(), self.handle())),
            30 => self.describe((&raw mut made).cast(), flags),
            _ => any!(cuStreamQuery(stream)),
        }
        if !made.is_null() {
            self.handles.push(made);
        }
        if address != 0 {
            self.addresses.push(address);
        }
    }
}

fn run(seed: u64) {
    println!("seed {seed}");
    let nobodys = [0, 1, 2, 3, 64, 0x6702 << 40, usize::MAX];
    let mut program = Program {
        seed,
        handles: nobodys.map(without_provenance_mut).to_vec(),
        addresses: vec![0, 4096, u64::MAX],
    };
    let mut context = null_mut();
    call!(cuInit(0));
    call!(cuCtxCreate_v4(&mut context, null_mut(), 0, 0));
    for _ in 0..STEPS {
        program.step();
    }
    let (mut free, mut total) = (0, 0);
    call!(cuCtxSynchronize());
    call!(cuCtxDestroy_v2(context));
    call!(cuDevicePrimaryCtxRetain(&mut context, 0));
    call!(cuCtxSetCurrent(context));
    call!(cuMemGetInfo_v2(&mut free, &mut total));
    call!(cuDevicePrimaryCtxRelease_v2(0));
    assert_eq!(free, total, "memory leaked");
}

crate::child::in_child! {
    no_sequence_of_calls_breaks_the_driver("sms=16,memory=16MiB") {
        (0..SEEDS).for_each(run);
    }
}
