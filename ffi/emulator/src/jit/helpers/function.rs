//! Calls through pointers.

use crate::block::Fault;
use crate::jit::frame::BlockFrame;
use crate::jit::functions::FunctionTable;

/// The code of the function at an address, or zero after a fault.
pub(super) extern "C" fn find(
    frame: &BlockFrame,
    table: &FunctionTable,
    address: u64,
    signature: u32,
) -> u64 {
    match table.code(address, signature) {
        Some(code) => code as u64,
        None => {
            frame.fail(Fault::InvalidFunction { address });
            0
        }
    }
}
