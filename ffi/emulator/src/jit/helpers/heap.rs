//! Memory that kernels allocate themselves.

use crate::block::Fault;
use crate::jit::frame::{BlockFrame, DONE};

/// `malloc`: an address aligned to 16 bytes, or zero when the heap has no room.
pub(super) extern "C" fn allocate(frame: &BlockFrame, bytes: u64) -> u64 {
    frame.heap().allocate(bytes).unwrap_or(0)
}

/// `free`: freeing what `malloc` did not return is a fault, freeing null is not.
pub(super) extern "C" fn free(frame: &BlockFrame, address: u64) -> u32 {
    if address == 0 || frame.heap().free(address) {
        return DONE;
    }
    frame.fail(Fault::IllegalAddress { address, bytes: 1 })
}
