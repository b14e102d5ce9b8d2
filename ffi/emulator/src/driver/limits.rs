//! What a device of a compute capability offers a launch. Numbers are those of the table of compute
//! capabilities in the CUDA C++ guide.

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

/// Shared memory that each block loses to the system.
pub(crate) fn reserved_shared_bytes(capability: (u32, u32)) -> u32 {
    if capability.0 >= 8 { RESERVED_SHARED_BYTES } else { 0 }
}

/// Shared memory that a block may ask for.
pub(crate) fn shared_bytes_optin(capability: (u32, u32)) -> u32 {
    shared_bytes_per_sm(capability) - reserved_shared_bytes(capability)
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
