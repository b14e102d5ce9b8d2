//! The driver's ABI, a thin layer: each function checks what it is given, calls the safe core, and
//! returns a code. One file for each chapter of the driver's manual.

pub(crate) mod abi;
mod absent;
mod attributes;
mod context;
mod copy;
mod device;
mod error;
mod event;
mod fill;
mod green;
mod init;
mod launch;
pub(crate) mod limits;
mod managed;
mod memory;
mod module;
mod occupancy;
mod pointer;
mod since;
mod stream;
mod symbol;
mod value;
