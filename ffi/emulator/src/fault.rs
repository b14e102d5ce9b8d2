//! What a fault on the device becomes for the program: the driver's sticky error codes.

use crate::block::Fault;
use crate::code::Code;

/// The sticky error of a fault, or `None` for a block that was told to stop.
pub(crate) fn code_of(fault: Fault) -> Option<Code> {
    match fault {
        Fault::IllegalAddress { .. } => Some(Code::ILLEGAL_ADDRESS),
        Fault::MisalignedAddress { .. } => Some(Code::MISALIGNED_ADDRESS),
        Fault::Assert => Some(Code::ASSERT),
        Fault::Trap => Some(Code::LAUNCH_FAILED),
        Fault::InvalidFunction { .. } => Some(Code::INVALID_PC),
        // As drivers report a device that no longer answers.
        Fault::DeviceLost => Some(Code::UNKNOWN),
        Fault::Stopped => None,
    }
}
