//! A compiled module: from text to kernels and variables.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cranelift_codegen::settings::{self, Configurable as _};
use cranelift_jit::{ArenaMemoryProvider, JITBuilder, JITModule};
use cranelift_module::default_libcall_names;

use super::code::Code;
use super::error::{CompileError, CompileErrorKind};
use super::frame::EntryFn;
use super::helpers::Helper;
use super::kernel::{BLOCK_THREADS_MAX, Kernel, Param, Threading, measure_frame, symbol_table};
use super::lower::{Form, Outcome, Unit, lower_function};
use super::regions::Sites;
use super::variable::{Variable, variables};
use crate::ptx::{self, Function, Header};

/// Room for machine code: so much for each byte of text, and what is enough for every short one and
/// still within 32 bits for a long one.
const CODE_BYTES_PER_TEXT: usize = 256;
const CODE_MIN: usize = 16 << 20;
const CODE_MAX: usize = 1 << 30;
/// Static shared memory that a block may have on every device.
const STATIC_SHARED_MAX: u64 = 48 << 10;
/// Local memory that a thread may have on every device.
const LOCAL_MAX: u64 = 512 << 10;
/// Registers that a thread may have on every device.
const REGISTERS_MAX: u64 = 255;

/// What the device says that it can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The newest PTX ISA: major, minor.
    pub(crate) ptx: (u32, u32),
    /// Its compute capability: major, minor.
    pub(crate) compute: (u32, u32),
}

/// A compiled module.
pub(crate) struct Program {
    /// Its kernels by name.
    pub(crate) kernels: HashMap<String, Arc<Kernel>>,
    /// Its variables, which the driver allocates, fills and links before a kernel runs.
    pub(crate) variables: Vec<Variable>,
    symbols: Arc<[AtomicU64]>,
}

impl Program {
    /// The same code, to be linked with variables of its own.
    pub(super) fn again(&self) -> Self {
        let symbols = symbol_table(self.symbols.len());
        let kernels = self.kernels.iter().map(|(name, kernel)| {
            let kernel = Kernel { symbols: Arc::clone(&symbols), ..Kernel::clone(kernel) };
            (name.clone(), Arc::new(kernel))
        });
        Self { kernels: kernels.collect(), variables: self.variables.clone(), symbols }
    }

    /// Tells the code where each of `variables` lies.
    ///
    /// # Panics
    /// When there is not one address for each.
    pub(crate) fn link(&self, addresses: &[u64]) {
        assert_eq!(addresses.len(), self.symbols.len(), "one address a variable");
        for (symbol, &address) in self.symbols.iter().zip(addresses) {
            symbol.store(address, Ordering::Relaxed);
        }
    }
}

/// Compiles a PTX text. `form` is how threads wait in kernels that can be compiled either way.
///
/// # Errors
/// A text that is not PTX, that has something which is not supported, or that is made for another
/// device than `claim` describes.
pub(super) fn compile_in_form(
    text: &str,
    claim: &Claim,
    form: Form,
) -> Result<Program, CompileError> {
    check_claim(&ptx::header(text)?, claim)?;
    let module = ptx::parse(text)?;
    let mut unit = Unit::new(native_module(text.len())?, &module)?;
    let variables = variables(&module, |name| unit.function_address(name))?;
    let mut outcomes = Vec::new();
    for function in &module.functions {
        if function.body.is_some() {
            let outcome = lower_function(&mut unit, function, form)?;
            if function.is_kernel {
                check_limits(function, &outcome)?;
                outcomes.push((function, outcome));
            }
        }
    }
    let shared_align = unit.shared_align();
    unit.module_mut()
        .finalize_definitions()
        .map_err(|error| CompileError::invalid(0, format!("the code generator failed: {error}")))?;
    let entries: Vec<EntryFn> = outcomes
        .iter()
        .map(|(_, outcome)| {
            let code = unit.module_mut().get_finalized_function(outcome.id);
            // SAFETY: the function was just made with the signature of an entry.
            unsafe { std::mem::transmute::<*const u8, EntryFn>(code) }
        })
        .collect();
    let functions = unit.placed_functions();
    let code = Arc::new(Code::new(unit.into_module(), functions));
    let symbols = symbol_table(variables.len());
    let mut kernels = HashMap::new();
    for ((function, outcome), entry) in outcomes.iter().zip(entries) {
        let kernel = kernel(function, outcome, entry, shared_align, (&code, &symbols));
        if kernels.insert(kernel.name.clone(), Arc::new(kernel)).is_some() {
            let reason = format!("kernel {} is defined twice", function.name);
            return Err(CompileError::invalid(function.line, reason));
        }
    }
    Ok(Program { kernels, variables, symbols })
}

fn check_claim(header: &Header<'_>, claim: &Claim) -> Result<(), CompileError> {
    let refuse = |kind, reason| Err(CompileError { kind, line: 0, reason });
    let (major, minor) = header.version;
    if header.version > claim.ptx {
        let (newest_major, newest_minor) = claim.ptx;
        let reason = format!(
            "PTX {major}.{minor} is newer than this driver's {newest_major}.{newest_minor}"
        );
        return refuse(CompileErrorKind::UnsupportedPtxVersion, reason);
    }
    let target = header.target;
    let runs = if target.specific {
        target.compute == claim.compute
    } else {
        target.compute <= claim.compute
    };
    if !runs {
        let (major, minor) = claim.compute;
        let reason = format!("{} does not run on compute capability {major}.{minor}", target.name);
        return refuse(CompileErrorKind::NoBinary, reason);
    }
    Ok(())
}

fn check_limits(function: &Function<'_>, outcome: &Outcome) -> Result<(), CompileError> {
    let refuse = |what: &str, bytes: u64, most: u64| {
        let reason = format!("{} needs {bytes} bytes of {what}, more than {most}", function.name);
        Err(CompileError::invalid(function.line, reason))
    };
    if outcome.shared_bytes > STATIC_SHARED_MAX {
        return refuse("shared memory", outcome.shared_bytes, STATIC_SHARED_MAX);
    }
    if outcome.local_bytes > LOCAL_MAX {
        return refuse("local memory", outcome.local_bytes, LOCAL_MAX);
    }
    Ok(())
}

/// A module of machine code for a text of this length.
fn native_module(text_bytes: usize) -> Result<JITModule, CompileError> {
    let failed = |reason: String| CompileError::invalid(0, format!("no code generator: {reason}"));
    let mut flags = settings::builder();
    for (name, value) in [
        ("opt_level", "speed"),
        ("is_pic", "false"),
        ("use_colocated_libcalls", "false"),
        // A kernel reads nothing that its own process may not.
        ("enable_table_access_spectre_mitigation", "false"),
    ] {
        flags.set(name, value).map_err(|error| failed(error.to_string()))?;
    }
    let isa = cranelift_native::builder()
        .map_err(|reason| failed(reason.to_owned()))?
        .finish(settings::Flags::new(flags))
        .map_err(|error| failed(error.to_string()))?;
    let mut builder = JITBuilder::with_isa(isa, default_libcall_names());
    for &helper in Helper::ALL {
        builder.symbol(helper.symbol(), helper.address());
    }
    // In one piece, as code refers to code by distances of 32 bits and the process may have mappings
    // of gigabytes between two of its own. Addresses cost nothing.
    let bytes = text_bytes.saturating_mul(CODE_BYTES_PER_TEXT).clamp(CODE_MIN, CODE_MAX);
    let memory = ArenaMemoryProvider::new_with_size(bytes);
    builder.memory_provider(Box::new(memory.map_err(|error| failed(error.to_string()))?));
    Ok(JITModule::new(builder))
}

fn kernel(
    function: &Function<'_>,
    outcome: &Outcome,
    entry: EntryFn,
    shared_align: u64,
    (code, symbols): (&Arc<Code>, &Arc<[AtomicU64]>),
) -> Kernel {
    let fits = |bytes: u64| u32::try_from(bytes).expect("limits were checked");
    let mut params = Vec::new();
    let mut end = 0u64;
    for param in &function.params {
        let offset = end.next_multiple_of(u64::from(param.align));
        let size = param.bytes.unwrap_or(0);
        params.push(Param { offset: fits(offset), size: fits(size), align: param.align });
        end = offset + size;
    }
    let product = |[x, y, z]: [u32; 3]| x.saturating_mul(y).saturating_mul(z);
    let max_threads = function.max_threads.map_or(BLOCK_THREADS_MAX, product);
    let form = match &outcome.regions {
        Some(cuts) => Threading::Regions(Arc::new(Sites::new(cuts))),
        None if outcome.waits || outcome.calls => Threading::Stacks,
        None => Threading::InTurn,
    };
    let frame_bytes = match form {
        Threading::Stacks => measure_frame(entry, symbols.len(), fits(end)),
        Threading::Regions(_) | Threading::InTurn => 0,
    };
    Kernel {
        name: function.name.to_owned(),
        params,
        param_bytes: fits(end),
        static_shared_bytes: fits(outcome.shared_bytes),
        local_bytes: fits(outcome.local_bytes),
        register_count: fits(outcome.register_words.clamp(1, REGISTERS_MAX)),
        max_threads: max_threads.min(BLOCK_THREADS_MAX),
        required_threads: function.max_threads.filter(|_| function.exact_threads),
        entry,
        form,
        calls: outcome.calls,
        dynamic_shared_offset: outcome.shared_bytes.next_multiple_of(shared_align),
        frame_bytes,
        symbols: Arc::clone(symbols),
        code: Arc::clone(code),
    }
}
