//! Start-up and versions.

use super::abi::{Out, early_edge, edge};
use crate::code::{Code, Outcome};
use crate::context;
use crate::machine::{self, Machine};
use std::ffi::{c_int, c_uint, c_void};

#[unsafe(no_mangle)]
extern "C" fn cuInit(flags: c_uint) -> Code {
    early_edge(|| {
        if flags != 0 {
            return Err(Code::INVALID_VALUE);
        }
        Machine::init()
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDriverGetVersion(version: Out<c_int>) -> Code {
    early_edge(|| version.put(machine::claim()?.driver_number()))
}

/// No private table is offered; those who ask are told so.
#[unsafe(no_mangle)]
extern "C" fn cuGetExportTable(table: Out<*const c_void>, _id: *const c_void) -> Code {
    let refuse = || -> Outcome {
        table.put(std::ptr::null())?;
        Err(Code::NOT_FOUND)
    };
    early_edge(refuse)
}

/// Nothing is profiled: to start and to stop that has no effect.
#[unsafe(no_mangle)]
extern "C" fn cuProfilerStart() -> Code {
    edge(|| context::current().map(|_| ()))
}

#[unsafe(no_mangle)]
extern "C" fn cuProfilerStop() -> Code {
    edge(|| context::current().map(|_| ()))
}
