//! Device attributes by their number in `CUdevice_attribute`. What an emulated device cannot do is
//! zero; a number that the headers do not know is refused.

use crate::code::{Code, Outcome};
use crate::device::Device;
use std::ffi::c_int;

/// The newest number in the headers of 13.4.
const LAST: u32 = 161;
/// Threads of a block.
pub(crate) const THREADS_PER_BLOCK_MAX: u32 = 1024;
/// Threads of a warp.
pub(crate) const WARP: u32 = 32;
/// Largest sides of a block.
pub(crate) const BLOCK_MAX: [u32; 3] = [1024, 1024, 64];
/// Largest sides of a grid.
pub(crate) const GRID_MAX: [u32; 3] = [i32::MAX.unsigned_abs(), 65535, 65535];
/// Shared memory of a block that asked for no more.
pub(crate) const SHARED_BYTES: u32 = 48 << 10;
/// Shared memory that each block loses to the system, since compute capability 8.0.
const RESERVED_SHARED_BYTES: u32 = 1 << 10;
/// Registers of an SM.
pub(crate) const REGISTERS: u32 = 64 << 10;

/// Shared memory of an SM, after the table of compute capabilities in the CUDA C++ guide.
pub(crate) fn shared_bytes_per_sm(capability: (u32, u32)) -> u32 {
    let kib = match capability {
        (7, 5) => 64,
        (7, _) => 96,
        (8, 0 | 7) => 164,
        (8, _) | (12.., _) => 100,
        (9..12, _) => 228,
        _ => 64,
    };
    kib << 10
}

/// Shared memory that a block may ask for.
pub(crate) fn shared_bytes_optin(capability: (u32, u32)) -> u32 {
    let per_sm = shared_bytes_per_sm(capability);
    if capability.0 >= 8 { per_sm - RESERVED_SHARED_BYTES } else { per_sm }
}

/// Threads that an SM holds at once, after the same table.
pub(crate) fn threads_per_sm(capability: (u32, u32)) -> u32 {
    match capability {
        (7, 5) => 1024,
        (8, 6 | 7 | 9) | (12.., _) => 1536,
        _ => 2048,
    }
}

/// Blocks that an SM holds at once, after the same table.
pub(crate) fn blocks_per_sm(capability: (u32, u32)) -> u32 {
    match capability {
        (7, 5) | (8, 6 | 7) => 16,
        (8, 9) | (12.., _) => 24,
        _ => 32,
    }
}

/// The value of an attribute.
pub(crate) fn of(device: &Device, attribute: u32) -> Outcome<c_int> {
    let claim = device.claim();
    let capability = claim.capability;
    let value = match attribute {
        1 => THREADS_PER_BLOCK_MAX,
        2..=4 => BLOCK_MAX[attribute as usize - 2],
        5..=7 => GRID_MAX[attribute as usize - 5],
        8 => SHARED_BYTES,
        9 => 64 << 10, // constant memory
        10 => WARP,
        11 => i32::MAX.unsigned_abs(), // pitch
        12 | 82 => REGISTERS,
        13 => 1_000_000, // clock in kHz: a round figure, of which nothing follows
        14 => 512,       // alignment of textures
        15 | 40 => 1,    // one copy engine
        16 => claim.sms,
        19 | 31 | 41 => 1, // mapped host memory, concurrent kernels, unified addresses
        33 => device.ordinal() + 1, // bus
        36 => 1_000_000,   // memory clock in kHz, as for 13
        37 => 128,         // bus width
        38 => 4 << 20,     // L2
        39 => threads_per_sm(capability),
        51 => 32, // alignment of texture pitch
        75 => capability.0,
        76 => capability.1,
        78..=80 => 1, // stream priorities, L1 for global and local memory
        81 => shared_bytes_per_sm(capability),
        85 => device.ordinal(),       // board group
        87 => 32,                     // single to double precision
        90 => 1,                      // compute preemption
        91 | 92 | 93 | 94 | 123 => 1, // registered memory by its host pointer, stream memory operations
        97 => shared_bytes_optin(capability),
        99 => 1, // host registration
        106 => blocks_per_sm(capability),
        111 if capability.0 >= 8 => RESERVED_SHARED_BYTES,
        115 => 1, // stream-ordered allocation
        17..=LAST => 0,
        _ => return Err(Code::INVALID_VALUE),
    };
    c_int::try_from(value).map_err(|_| Code::INVALID_VALUE)
}
