//! Machine code in memory.

use std::sync::{Arc, Mutex};

use cranelift_jit::JITModule;

use super::functions::FunctionTable;

/// The code of one PTX module. Freed with the last kernel that points into it.
pub(super) struct Code {
    /// Pointers to functions lead through this table, whose address stands in the code.
    _functions: Arc<FunctionTable>,
    /// Owns the memory; `None` only while it is dropped.
    module: Mutex<Option<JITModule>>,
}

impl Code {
    pub(super) fn new(module: JITModule, functions: Arc<FunctionTable>) -> Self {
        Self { _functions: functions, module: Mutex::new(Some(module)) }
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        let module = self.module.get_mut().ok().and_then(Option::take);
        if let Some(module) = module {
            // SAFETY: every kernel holds the code while it runs, so no function of it is running.
            unsafe { module.free_memory() };
        }
    }
}
