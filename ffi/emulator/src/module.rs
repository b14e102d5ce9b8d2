//! Modules and functions as the program holds them: compiled PTX with its variables in the memory
//! of a device, and launches of its kernels.

use crate::block::{Block, Fault, Turn};
use crate::code::{Code, Outcome};
use crate::context::{self, Context};
use crate::driver::limits;
use crate::handle::{Handle, Table};
use crate::image::{Image, Refusal};
use crate::jit::Kernel;
use crate::library;
use crate::scratch::Scratch;
use crate::sm::Grid;
use crate::strict::{self, Call};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// All live modules.
pub(crate) static MODULES: Table<Module> = Table::new(0x6704);
/// All functions of live modules.
pub(crate) static FUNCTIONS: Table<Function> = Table::new(0x6705);

/// A variable of a module: where it lies and how long it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variable {
    /// Its address on the device.
    pub(crate) address: u64,
    /// Bytes.
    pub(crate) bytes: u64,
}

/// A loaded module.
pub(crate) struct Module {
    /// Its context.
    pub(crate) context: Arc<Context>,
    /// Its kernels by name.
    pub(crate) functions: BTreeMap<String, Handle>,
    /// Its variables by name.
    pub(crate) variables: BTreeMap<String, Variable>,
    /// Bytes of its constant variables.
    pub(crate) constant_bytes: u64,
}

/// A kernel of a loaded module.
pub(crate) struct Function {
    /// Its module's handle.
    pub(crate) module: Handle,
    /// Its context.
    pub(crate) context: Arc<Context>,
    /// Its name, as the ABI gives it out.
    pub(crate) name: CString,
    /// The code.
    pub(crate) kernel: Arc<Kernel>,
    /// Dynamic shared memory that a launch may ask for.
    dynamic_shared_max: AtomicU32,
    /// Whether the device has its code, as it were: only the strict mode cares.
    loaded: AtomicBool,
}

impl Module {
    /// Compiles a text and places its variables, in the calling thread's current context.
    pub(crate) fn load(text: &str) -> Result<Handle, Refusal> {
        let context = context::current()?;
        Ok(Image::compile(text)?.place(&context)?)
    }

    /// The module behind a handle, usable now.
    pub(crate) fn of(handle: Handle) -> Outcome<Arc<Module>> {
        let module = MODULES.get(handle)?;
        module.context.check()?;
        Ok(module)
    }

    /// Unloads a module, after all work that may still run its code.
    pub(crate) fn unload(handle: Handle) -> Outcome {
        let context = Arc::clone(&Module::of(handle)?.context);
        strict::synchronise_device(Call::LoadModule, context.device());
        context.synchronize()?;
        let module = MODULES.remove(handle)?;
        module.forget_functions();
        for variable in module.variables.values() {
            module.context.device().memory().free(variable.address)?;
        }
        Ok(())
    }

    /// Makes the handles of its functions invalid.
    pub(crate) fn forget_functions(&self) {
        for function in self.functions.values() {
            // There as long as the module is, whose removal was ours alone.
            let _ = FUNCTIONS.remove(*function);
        }
    }
}

impl Function {
    /// Enters a kernel of a module in a context.
    pub(crate) fn enter(
        module: Handle,
        context: &Arc<Context>,
        name: &str,
        kernel: Arc<Kernel>,
    ) -> Handle {
        let dynamic = limits::SHARED_BYTES.saturating_sub(kernel.static_shared_bytes);
        FUNCTIONS.add(Self {
            module,
            context: Arc::clone(context),
            name: CString::new(name).expect("the text that it comes from has no zero byte"),
            kernel,
            dynamic_shared_max: AtomicU32::new(dynamic),
            loaded: AtomicBool::new(is_eager()),
        })
    }

    /// The function behind a handle, usable now. A library's kernel is a handle of one, too.
    pub(crate) fn of(handle: Handle) -> Outcome<Arc<Function>> {
        let function = library::function(handle)?;
        function.context.check()?;
        Ok(function)
    }

    /// Notes that the device has its code from now on; true where it had not.
    pub(crate) fn load(&self) -> bool {
        !self.loaded.swap(true, Ordering::Relaxed)
    }

    /// Dynamic shared memory that a launch may ask for.
    pub(crate) fn dynamic_shared_max(&self) -> u32 {
        self.dynamic_shared_max.load(Ordering::Relaxed)
    }

    /// Allows launches to ask for more dynamic shared memory, up to what the device has.
    pub(crate) fn set_dynamic_shared_max(&self, bytes: u32) -> Outcome {
        let optin = limits::shared_bytes_optin(self.context.device().claim().capability);
        if optin.checked_sub(self.kernel.static_shared_bytes).is_none_or(|most| most < bytes) {
            return Err(Code::INVALID_VALUE);
        }
        self.dynamic_shared_max.store(bytes, Ordering::Relaxed);
        Ok(())
    }
}

/// Whether modules are loaded whole, kernels and all, as the program can ask a driver to do.
fn is_eager() -> bool {
    static EAGER: OnceLock<bool> = OnceLock::new();
    *EAGER.get_or_init(|| std::env::var_os("CUDA_MODULE_LOADING").is_some_and(|way| way == "EAGER"))
}

/// How a kernel is launched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Blocks.
    pub(crate) grid: [u32; 3],
    /// Threads of a block.
    pub(crate) threads: [u32; 3],
    /// Dynamic shared memory of a block.
    pub(crate) dynamic_shared_bytes: u32,
}

impl Shape {
    /// Whether the function may be launched like this.
    pub(crate) fn check(&self, function: &Function) -> Outcome {
        let within = |sides: [u32; 3], most: [u32; 3]| {
            sides.iter().zip(most).all(|(side, most)| (1..=most).contains(side))
        };
        if !within(self.grid, limits::GRID_MAX) || !within(self.threads, limits::BLOCK_MAX) {
            return Err(Code::INVALID_VALUE);
        }
        let threads: u32 = self.threads.iter().product();
        let kernel = &function.kernel;
        if threads > limits::THREADS_PER_BLOCK_MAX
            || threads > kernel.max_threads
            || kernel.required_threads.is_some_and(|required| required != self.threads)
            || self.dynamic_shared_bytes > function.dynamic_shared_max()
        {
            return Err(Code::INVALID_VALUE);
        }
        Ok(())
    }
}

/// A kernel with all that its blocks need.
pub(crate) struct KernelGrid {
    /// The code.
    pub(crate) kernel: Arc<Kernel>,
    /// Its parameter buffer.
    pub(crate) params: Box<[u8]>,
    /// Blocks, threads and shared memory.
    pub(crate) shape: Shape,
    /// Where it runs.
    pub(crate) context: Arc<Context>,
}

impl Grid for KernelGrid {
    fn name(&self) -> &str {
        &self.kernel.name
    }

    fn blocks(&self) -> u64 {
        self.shape.grid.iter().map(|side| u64::from(*side)).product()
    }

    fn run(
        &self,
        block: u64,
        sm: u32,
        turn: &dyn Turn,
        scratch: &mut Scratch,
    ) -> Result<(), Fault> {
        let Shape { grid, threads, dynamic_shared_bytes } = self.shape;
        let [width, height, _] = grid.map(u64::from);
        let index = [block % width, block / width % height, block / width / height];
        let index = index.map(|side| u32::try_from(side).expect("less than the grid's side"));
        let block = Block {
            params: &self.params,
            grid,
            threads,
            index,
            dynamic_shared_bytes,
            sm,
            sm_count: self.context.device().sms().count(),
            memory: self.context.reach().view(),
            heap: &**self.context.heap(),
            turn,
        };
        let outcome = self.kernel.run_block(&block, &mut scratch.kernel);
        if let Err(fault) = outcome
            && fault != Fault::Stopped
        {
            let name = &self.kernel.name;
            eprintln!("gpumux emulator: kernel `{name}`, block {index:?}, SM {sm}: {fault:?}");
        }
        outcome
    }
}
