//! A function as a worker has loaded it.

use super::model::Model;
use crate::config::FunctionConfig;
use gpumux_core::FunctionSpec;
use gpumux_wire::signature::Signature;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What both threads know of a function.
#[derive(Clone, Debug)]
pub(super) struct FunctionInfo {
    pub(super) name: String,
    pub(super) config: FunctionConfig,
    pub(super) signature: Signature,
    /// Shared with the dispatch thread.
    pub(super) quarantined: Quarantined,
}

/// Whether a function has killed workers: what it is asked is refused until an operator clears it.
#[derive(Clone, Debug)]
pub(super) struct Quarantined(Arc<AtomicBool>);

impl Quarantined {
    pub(super) fn new(quarantined: bool) -> Self {
        Self(Arc::new(AtomicBool::new(quarantined)))
    }

    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Serves the function again. Who is told of it afterwards finds it so.
    pub(super) fn clear(&self) {
        self.0.store(false, Ordering::Release);
    }
}

/// What the dispatch thread has of it besides.
pub(super) struct Function {
    pub(super) signature: Signature,
    pub(super) spec: FunctionSpec,
    pub(super) model: Model,
    pub(super) quarantined: Quarantined,
}
