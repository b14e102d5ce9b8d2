//! How many blocks an SM holds, from threads, blocks and shared memory. Registers do not count:
//! emulated code has none that are scarce.

use super::abi::{Out, edge};
use super::limits;
use crate::code::{Code, Outcome};
use crate::handle::Handle;
use crate::module::Function;
use std::ffi::{c_int, c_uint};

fn blocks_per_sm(function: &Function, threads: u32, dynamic_shared_bytes: usize) -> Outcome<u32> {
    if threads == 0 {
        return Err(Code::INVALID_VALUE);
    }
    let dynamic = u32::try_from(dynamic_shared_bytes).map_err(|_| Code::INVALID_VALUE)?;
    if threads > function.kernel.max_threads || dynamic > function.dynamic_shared_max() {
        return Ok(0);
    }
    let capability = function.context.device().claim().capability;
    let warps = threads.div_ceil(limits::WARP);
    let by_threads = limits::threads_per_sm(capability) / limits::WARP / warps;
    let shared = function.kernel.static_shared_bytes.saturating_add(dynamic);
    let held = shared.saturating_add(limits::reserved_shared_bytes(capability));
    let by_shared = limits::shared_bytes_per_sm(capability).checked_div(held).unwrap_or(u32::MAX);
    Ok(by_threads.min(by_shared).min(limits::blocks_per_sm(capability)))
}

fn max_blocks(
    out: Out<c_int>,
    function: Handle,
    threads: c_int,
    dynamic_shared_bytes: usize,
) -> Outcome {
    let function = Function::of(function)?;
    let threads = u32::try_from(threads).map_err(|_| Code::INVALID_VALUE)?;
    out.put(blocks_per_sm(&function, threads, dynamic_shared_bytes)?.cast_signed())
}

#[unsafe(no_mangle)]
extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
    out: Out<c_int>,
    function: Handle,
    threads: c_int,
    dynamic_shared_bytes: usize,
) -> Code {
    edge(|| max_blocks(out, function, threads, dynamic_shared_bytes))
}

#[unsafe(no_mangle)]
extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    out: Out<c_int>,
    function: Handle,
    threads: c_int,
    dynamic_shared_bytes: usize,
    flags: c_uint,
) -> Code {
    edge(|| {
        // CU_OCCUPANCY_DISABLE_CACHING_OVERRIDE is a matter of caches.
        if flags > 1 {
            return Err(Code::INVALID_VALUE);
        }
        max_blocks(out, function, threads, dynamic_shared_bytes)
    })
}

type SharedBySize = Option<extern "C" fn(c_int) -> usize>;

/// The block that keeps most threads on an SM; of several, the largest.
fn best_block(
    function: &Function,
    shared_by_size: SharedBySize,
    dynamic_shared_bytes: usize,
    limit: c_int,
) -> Outcome<(u32, u32)> {
    let limit = u32::try_from(limit).map_err(|_| Code::INVALID_VALUE)?;
    let most = function.kernel.max_threads;
    let most = if limit == 0 { most } else { most.min(limit) };
    let mut best = (0, 0);
    for threads in (1..=most / limits::WARP).map(|warps| warps * limits::WARP) {
        let shared = shared_by_size.map(|shared| shared(threads.cast_signed()));
        let blocks = blocks_per_sm(function, threads, shared.unwrap_or(dynamic_shared_bytes))?;
        if blocks * threads >= best.0 * best.1 && blocks > 0 {
            best = (threads, blocks);
        }
    }
    if best.0 == 0 { Err(Code::INVALID_VALUE) } else { Ok(best) }
}

fn potential_block(
    (grid, block): (Out<c_int>, Out<c_int>),
    function: Handle,
    shared_by_size: SharedBySize,
    dynamic_shared_bytes: usize,
    limit: c_int,
) -> Outcome {
    let function = Function::of(function)?;
    let (threads, blocks) = best_block(&function, shared_by_size, dynamic_shared_bytes, limit)?;
    grid.put((blocks * function.context.device().sms().count()).cast_signed())?;
    block.put(threads.cast_signed())
}

#[unsafe(no_mangle)]
extern "C" fn cuOccupancyMaxPotentialBlockSize(
    grid: Out<c_int>,
    block: Out<c_int>,
    function: Handle,
    shared_by_size: SharedBySize,
    dynamic_shared_bytes: usize,
    limit: c_int,
) -> Code {
    edge(|| potential_block((grid, block), function, shared_by_size, dynamic_shared_bytes, limit))
}

#[unsafe(no_mangle)]
extern "C" fn cuOccupancyMaxPotentialBlockSizeWithFlags(
    grid: Out<c_int>,
    block: Out<c_int>,
    function: Handle,
    shared_by_size: SharedBySize,
    dynamic_shared_bytes: usize,
    limit: c_int,
    flags: c_uint,
) -> Code {
    edge(|| {
        if flags > 1 {
            return Err(Code::INVALID_VALUE);
        }
        potential_block((grid, block), function, shared_by_size, dynamic_shared_bytes, limit)
    })
}
