//! Calls of the driver that most tests make.

pub(crate) use cudarc::driver::sys::CUresult::*;
pub(crate) use cudarc::driver::sys::*;
use std::ptr::null_mut;
use std::sync::atomic::AtomicU32;

/// Calls a driver function and checks its code.
macro_rules! call {
    ($name:ident($($argument:expr),* $(,)?) is $code:expr) => {{
        // SAFETY: arguments of the right kinds; wrong values are what the test is about.
        let code = unsafe { $name($($argument),*) };
        assert_eq!(code, $code, stringify!($name));
    }};
    ($name:ident($($argument:expr),* $(,)?)) => {
        call!($name($($argument),*) is CUDA_SUCCESS)
    };
}
pub(crate) use call;

/// A driver that is initialised and has a context current.
pub(crate) fn context() -> CUcontext {
    let mut context = null_mut();
    call!(cuInit(0));
    call!(cuDevicePrimaryCtxRetain(&mut context, 0));
    call!(cuCtxSetCurrent(context));
    context
}

/// Device memory.
pub(crate) fn allocate(bytes: usize) -> CUdeviceptr {
    let mut address = 0;
    call!(cuMemAlloc_v2(&mut address, bytes));
    address
}

/// Words of device memory, once the legacy stream gets there.
pub(crate) fn read_u32(address: CUdeviceptr, count: usize) -> Vec<u32> {
    let mut values = vec![0_u32; count];
    call!(cuMemcpyDtoH_v2(values.as_mut_ptr().cast(), address, count * 4));
    values
}

/// A word of pinned memory that both sides use.
pub(crate) fn pinned_word() -> &'static AtomicU32 {
    let mut memory = null_mut();
    call!(cuMemHostAlloc(&mut memory, 4, 0));
    // SAFETY: pinned memory of four bytes, zeroed, which no test frees.
    unsafe { AtomicU32::from_ptr(memory.cast()) }
}

/// Makes a stream stand still until `gate` is 1.
pub(crate) fn hold(stream: CUstream, gate: &AtomicU32) {
    let address = gate.as_ptr() as CUdeviceptr;
    call!(cuStreamWaitValue32_v2(stream, address, 1, 1));
}

/// A stream with these flags.
pub(crate) fn stream(flags: CUstream_flags) -> CUstream {
    let mut stream = null_mut();
    call!(cuStreamCreate(&mut stream, flags as u32));
    stream
}

/// An event that tells time.
pub(crate) fn event() -> CUevent {
    let mut event = null_mut();
    call!(cuEventCreate(&mut event, 0));
    event
}
