//! Every kernel of the catalogue, loaded when the device is opened and found by its index.

use crate::context::Context;
use crate::error::OpenError;
use cudarc::driver::sys::{CUfunction, CUmodule};
use gpumux_kernels::{KernelId, MODULES, Module};
use std::ffi::CString;
use std::ptr;
use std::rc::Rc;

/// The handles of all kernels. Loading later could synchronise the device, so nothing is left for
/// later.
pub(crate) struct Functions {
    context: Rc<Context>,
    modules: Vec<CUmodule>,
    by_kernel: Vec<CUfunction>,
}

impl Functions {
    /// Loads every module and finds every kernel in it.
    pub(crate) fn load(context: &Rc<Context>) -> Result<Self, OpenError> {
        let mut functions = Self {
            context: Rc::clone(context),
            modules: Vec::with_capacity(MODULES.len()),
            by_kernel: vec![ptr::null_mut(); KernelId::ALL.len()],
        };
        for module in MODULES {
            functions.load_module(module)?;
        }
        Ok(functions)
    }

    /// The handle of `kernel`.
    pub(crate) fn of(&self, kernel: KernelId) -> CUfunction {
        self.by_kernel[kernel.index()]
    }

    fn load_module(&mut self, module: &Module) -> Result<(), OpenError> {
        let api = self.context.api();
        let text = CString::new(module.ptx).expect("committed PTX has no zero byte");
        let mut handle = ptr::null_mut();
        // SAFETY: the text ends with a zero byte, and the driver copies what it needs of it.
        let answer = unsafe { (api.cuModuleLoadData)(&raw mut handle, text.as_ptr().cast()) };
        if answer != 0 {
            let failed = api.failed("cuModuleLoadData", answer);
            return Err(OpenError::Module { module: module.name, failed });
        }
        self.modules.push(handle);
        for &kernel in module.kernels {
            let entry = kernel.signature().entry;
            let name = CString::new(entry).expect("an entry is an identifier");
            let mut function = ptr::null_mut();
            // SAFETY: the module was loaded just now, and the name ends with a zero byte.
            let answer =
                unsafe { (api.cuModuleGetFunction)(&raw mut function, handle, name.as_ptr()) };
            if answer != 0 {
                let failed = api.failed("cuModuleGetFunction", answer);
                return Err(OpenError::Kernel { kernel: entry, failed });
            }
            self.by_kernel[kernel.index()] = function;
        }
        Ok(())
    }
}

impl Drop for Functions {
    fn drop(&mut self) {
        for &module in &self.modules {
            // SAFETY: loaded once by us, and every lane that could launch from it holds an `Rc` of
            // this and is gone. A failure has nobody to tell.
            let _ = unsafe { (self.context.api().cuModuleUnload)(module) };
        }
    }
}
