//! Libraries: modules that belong to no context. Each context that uses one gets a module of its
//! own when it first does.

use crate::code::{Code, Outcome};
use crate::context::{self, Context};
use crate::handle::{Handle, Table};
use crate::image::{Image, Refusal};
use crate::module::{FUNCTIONS, Function, MODULES, Module};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All live libraries.
pub(crate) static LIBRARIES: Table<Library> = Table::new(0x6709);
/// All kernels of live libraries.
pub(crate) static KERNELS: Table<LibraryKernel> = Table::new(0x670a);

/// See the head of this file.
pub(crate) struct Library {
    image: Image,
    /// Its kernels by name.
    pub(crate) kernels: BTreeMap<String, Handle>,
    /// Its module in each context that uses it, by the context's number.
    modules: Mutex<BTreeMap<usize, Handle>>,
}

/// A kernel of a library.
pub(crate) struct LibraryKernel {
    /// Its library's handle.
    pub(crate) library: Handle,
    /// Its name.
    pub(crate) name: CString,
}

impl Library {
    /// Compiles a text.
    pub(crate) fn load(text: &str) -> Result<Handle, Refusal> {
        let image = Image::compile(text)?;
        let library: Handle = LIBRARIES.reserve().into();
        let kernel = |name: &String| {
            let text =
                CString::new(name.as_str()).expect("the text that it comes from has no zero");
            (name.clone(), KERNELS.add(LibraryKernel { library, name: text }))
        };
        let kernels = image.kernel_names().map(kernel).collect();
        let entry = Library { image, kernels, modules: Mutex::default() };
        LIBRARIES.enter(library.number(), Arc::new(entry));
        Ok(library)
    }

    /// The library behind a handle.
    pub(crate) fn of(handle: Handle) -> Outcome<Arc<Library>> {
        LIBRARIES.get(handle)
    }

    /// Its module in the calling thread's current context.
    pub(crate) fn module(&self) -> Outcome<Handle> {
        let context = context::current()?;
        self.module_in(&context)
    }

    /// Whether several contexts have a module of it.
    pub(crate) fn is_shared(&self) -> bool {
        self.modules().len() > 1
    }

    fn module_in(&self, context: &Arc<Context>) -> Outcome<Handle> {
        let mut modules = self.modules();
        if let Some(module) = modules.get(&context.number()) {
            return Ok(*module);
        }
        let module = self.image.place(context)?;
        modules.insert(context.number(), module);
        Ok(module)
    }

    /// Unloads a library, after all work that may still run its code.
    pub(crate) fn unload(handle: Handle) -> Outcome {
        let library = LIBRARIES.remove(handle)?;
        for kernel in library.kernels.values() {
            // There as long as the library is, whose removal was ours alone.
            let _ = KERNELS.remove(*kernel);
        }
        let modules = std::mem::take(&mut *library.modules());
        for module in modules.into_values() {
            // A context that is gone took its module along.
            if MODULES.get(module).is_ok() {
                Module::unload(module)?;
            }
        }
        Ok(())
    }

    fn modules(&self) -> MutexGuard<'_, BTreeMap<usize, Handle>> {
        self.modules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LibraryKernel {
    /// The kernel behind a handle.
    pub(crate) fn of(handle: Handle) -> Outcome<Arc<LibraryKernel>> {
        KERNELS.get(handle)
    }

    /// Its function in the calling thread's current context.
    pub(crate) fn function(&self) -> Outcome<Handle> {
        let module = Module::of(Library::of(self.library)?.module()?)?;
        let name = self.name.to_str().map_err(|_| Code::NOT_FOUND)?;
        module.functions.get(name).copied().ok_or(Code::NOT_FOUND)
    }
}

/// The function behind a handle, which may be a library's kernel: then it is the one of the calling
/// thread's current context.
pub(crate) fn function(handle: Handle) -> Outcome<Arc<Function>> {
    FUNCTIONS.get(handle).or_else(|code| {
        let kernel = KERNELS.get(handle).map_err(|_| code)?;
        FUNCTIONS.get(kernel.function()?)
    })
}
