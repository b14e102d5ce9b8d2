//! Device attributes by their number in `CUdevice_attribute`. What an emulated device cannot do is
//! zero; a number that the headers do not know is refused.

use super::limits::{
    BLOCK_MAX, GRID_MAX, REGISTERS, SHARED_BYTES, THREADS_PER_BLOCK_MAX, WARP, blocks_per_sm,
    reserved_shared_bytes, shared_bytes_optin, shared_bytes_per_sm, threads_per_sm,
};
use crate::code::{Code, Outcome};
use crate::device::Device;
use std::ffi::c_int;

/// The newest number in the headers of 13.4.
const LAST: u32 = 161;
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
        17 => u32::from(claim.launch_limit.is_some()),
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
        83 | 89 => 1,                 // managed memory, also while kernels run
        85 => device.ordinal(),       // board group
        87 => 32,                     // single to double precision
        90 => 1,                      // compute preemption
        91 | 92 | 93 | 94 | 123 => 1, // registered memory by its host pointer, stream memory operations
        97 => shared_bytes_optin(capability),
        99 => 1, // host registration
        106 => blocks_per_sm(capability),
        111 => reserved_shared_bytes(capability),
        115 => 1, // stream-ordered allocation
        18..=LAST => 0,
        _ => return Err(Code::INVALID_VALUE),
    };
    c_int::try_from(value).map_err(|_| Code::INVALID_VALUE)
}
