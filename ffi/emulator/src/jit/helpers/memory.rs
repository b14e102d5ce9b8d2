//! Accesses that the few instructions emitted in line did not allow: is it host memory, another
//! window, or a fault?

use crate::block::{Fault, GRANULE_BYTES, MemoryView};
use crate::jit::frame::{
    BlockFrame, DONE, LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW, ThreadFrame, WINDOW_BYTES,
};

fn misaligned(address: u64, bytes: u32) -> bool {
    !address.is_multiple_of(u64::from(bytes))
}

/// Whether all of a device or host access is allowed.
fn allowed(frame: &BlockFrame, address: u64, bytes: u32) -> bool {
    let offset = address.wrapping_sub(frame.window_base);
    if offset < frame.window_bytes {
        let Ok(granule) = usize::try_from(offset / GRANULE_BYTES) else { return false };
        // SAFETY: the table has one byte for each granule of the window, and the offset is in it.
        let granule = unsafe { frame.granules.add(granule) };
        // SAFETY: as above; the driver may change the byte meanwhile, so it is read as volatile.
        return unsafe { granule.read_volatile() } != 0;
    }
    let memory: *const MemoryView = frame.memory;
    // SAFETY: `run_block` points `memory` at the block's view, which outlives the run.
    let allows_beyond = unsafe { (*memory).allows_beyond };
    allows_beyond(memory, address, u64::from(bytes)) == 1
}

/// A global access of `bytes` bytes, which must be aligned to them. Returns the status to leave with,
/// or [`DONE`] when it is allowed.
pub(super) extern "C" fn global_access(frame: &BlockFrame, address: u64, bytes: u32) -> u32 {
    if misaligned(address, bytes) {
        frame.fail(Fault::MisalignedAddress { address, bytes })
    } else if allowed(frame, address, bytes) {
        DONE
    } else {
        frame.fail(Fault::IllegalAddress { address, bytes })
    }
}

/// A generic access: returns the host's address of it, or 0 after a fault. Parameters are only read.
pub(super) extern "C" fn generic_access(
    frame: &BlockFrame,
    thread: &ThreadFrame,
    address: u64,
    bytes: u32,
    writes: u32,
) -> u64 {
    if misaligned(address, bytes) {
        frame.fail(Fault::MisalignedAddress { address, bytes });
        return 0;
    }
    let params = if writes == 0 { frame.param_bytes } else { 0 };
    let in_window = |window: u64, base: *mut u8, length: u64| {
        let offset = address.wrapping_sub(window);
        let end = offset.saturating_add(u64::from(bytes));
        (offset < WINDOW_BYTES).then(|| if end <= length { base as u64 + offset } else { 0 })
    };
    let found = in_window(SHARED_WINDOW, frame.shared, frame.shared_bytes)
        .or_else(|| in_window(LOCAL_WINDOW, thread.local, thread.local_bytes))
        .or_else(|| in_window(PARAM_WINDOW, frame.params.cast_mut(), params))
        .unwrap_or_else(|| if allowed(frame, address, bytes) { address } else { 0 });
    if found == 0 {
        frame.fail(Fault::IllegalAddress { address, bytes });
    }
    found
}

/// Where a generic address may be read, for helpers that do so; `None` after a fault.
pub(super) fn readable(
    frame: &BlockFrame,
    thread: &ThreadFrame,
    address: u64,
    bytes: u32,
) -> Option<*const u8> {
    match generic_access(frame, thread, address, bytes, 0) {
        0 => None,
        found => Some(std::ptr::with_exposed_provenance(usize::try_from(found).ok()?)),
    }
}

fn outside(frame: &BlockFrame, address: u64, bytes: u32) -> u32 {
    if misaligned(address, bytes) {
        frame.fail(Fault::MisalignedAddress { address, bytes })
    } else {
        frame.fail(Fault::IllegalAddress { address, bytes })
    }
}

/// An access to shared memory that is misaligned or past its end: records the fault.
pub(super) extern "C" fn outside_shared(frame: &BlockFrame, address: u64, bytes: u32) -> u32 {
    outside(frame, address, bytes)
}

/// An access to local memory that is misaligned or past its end: records the fault.
pub(super) extern "C" fn outside_local(frame: &BlockFrame, address: u64, bytes: u32) -> u32 {
    outside(frame, address, bytes)
}

/// An access to parameters by a computed address that is misaligned or past their end: records the
/// fault.
pub(super) extern "C" fn outside_params(frame: &BlockFrame, address: u64, bytes: u32) -> u32 {
    outside(frame, address, bytes)
}
