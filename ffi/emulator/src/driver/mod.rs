//! The driver's ABI, a thin layer: each function checks what it is given, calls the safe core, and
//! returns a code. One file for each chapter of the driver's manual.

pub(crate) mod abi;
mod absent;
mod attributes;
mod capture;
mod context;
mod copy;
mod device;
mod error;
mod event;
mod fill;
mod function;
mod graph;
mod green;
mod image;
mod init;
mod launch;
mod library;
pub(crate) mod limits;
mod link;
mod managed;
mod memory;
mod module;
mod occupancy;
mod peer;
mod pointer;
mod pool;
mod since;
mod stream;
mod symbol;
mod value;
