//! Functions that came with a later driver than this library can claim to be.
//!
//! A real driver of an earlier version does not have them. Here they stay in the library, so that a
//! program which asks the loader finds them: they then return `CUDA_ERROR_NOT_SUPPORTED`. One that asks
//! `cuGetProcAddress` does not find them. (The claim's `absent` takes functions from the loader, too.)

use super::abi::edge;
use crate::code::{Code, Outcome};
use crate::machine::claim;
use std::ffi::c_int;

/// The name of each function, as exported, and the CUDA version whose driver first had it.
const SINCE: &[(&str, c_int)] = &[
    ("cuCtxFromGreenCtx", 12040),
    ("cuCtxGetDevResource", 12040),
    ("cuCtxRecordEvent", 12050),
    ("cuCtxWaitEvent", 12050),
    ("cuDevResourceGenerateDesc", 12040),
    ("cuDevSmResourceSplit", 13010),
    ("cuDevSmResourceSplitByCount", 12040),
    ("cuDeviceGetDevResource", 12040),
    ("cuGreenCtxCreate", 12040),
    ("cuGreenCtxDestroy", 12040),
    ("cuGreenCtxGetDevResource", 12040),
    // Headers have it from 13.0 on; NVIDIA's own binding for Python asks for it as of 12.9.
    ("cuGreenCtxGetId", 12090),
    ("cuGreenCtxRecordEvent", 12040),
    ("cuGreenCtxStreamCreate", 12050),
    ("cuGreenCtxWaitEvent", 12040),
    ("cuStreamGetCtx_v2", 12050),
    ("cuStreamGetDevResource", 13010),
    ("cuStreamGetGreenCtx", 12040),
];

/// The CUDA version that a function came with, if it is one of those above.
pub(super) fn first_version(name: &str) -> Option<c_int> {
    SINCE.iter().find(|(known, _)| *known == name).map(|(_, version)| *version)
}

/// Runs the body of an exported function that the claimed driver may not have.
pub(super) fn edge_since(name: &str, body: impl FnOnce() -> Outcome) -> Code {
    edge(|| {
        let first = first_version(name).expect("a function of the table above");
        if claim()?.driver_number() < first {
            return Err(Code::NOT_SUPPORTED);
        }
        body()
    })
}
