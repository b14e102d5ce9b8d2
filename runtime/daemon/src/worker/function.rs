//! A function as a worker has loaded it.

use super::model::Model;
use crate::config::FunctionConfig;
use gpumux_core::FunctionSpec;
use gpumux_wire::signature::Signature;

/// What both threads know of a function.
#[derive(Clone, Debug)]
pub(super) struct FunctionInfo {
    pub(super) name: String,
    pub(super) config: FunctionConfig,
    pub(super) signature: Signature,
}

/// What the dispatch thread has of it besides.
pub(super) struct Function {
    pub(super) signature: Signature,
    pub(super) spec: FunctionSpec,
    pub(super) model: Model,
    /// It has killed workers; what it is asked is refused until an operator clears it.
    pub(super) quarantined: bool,
}
