//! Machine code in memory, and the table of variable addresses that it reads.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use cranelift_jit::JITModule;

/// The code of one PTX module. Freed with the last kernel that points into it.
pub(super) struct Code {
    /// Addresses of the module's variables; zero, which is never allowed, until they are linked.
    pub(super) symbols: Vec<AtomicU64>,
    /// Owns the memory; `None` only while it is dropped.
    module: Mutex<Option<JITModule>>,
}

impl Code {
    pub(super) fn new(module: JITModule, variables: usize) -> Self {
        let symbols = (0..variables).map(|_| AtomicU64::new(0)).collect();
        Self { symbols, module: Mutex::new(Some(module)) }
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
