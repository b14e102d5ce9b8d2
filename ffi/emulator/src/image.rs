//! Compiled text that is not yet in any context, and how it gets into one: its variables get memory
//! and its kernels handles.

use crate::code::{Code, Outcome};
use crate::context::Context;
use crate::handle::Handle;
use crate::jit::{self, CompileErrorKind, Program};
use crate::machine::{Machine, claim};
use crate::module::{Function, MODULES, Module, Variable};
use crate::strict::{self, Call};
use crate::transfer::{Place, Transfer};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// See the head of this file.
pub(crate) struct Image {
    text: String,
    names: Vec<String>,
    /// Compiled code knows one place of its variables, so it serves one context: the first. The
    /// next compiles the text again.
    fresh: Mutex<Option<Program>>,
}

/// Why a text was refused: the code, and the words for the log.
pub(crate) struct Refusal {
    /// The code.
    pub(crate) code: Code,
    /// Line and reason.
    pub(crate) words: String,
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self { code, words: String::new() }
    }
}

impl Image {
    /// Compiles a text for the machine's devices, which are all alike.
    pub(crate) fn compile(text: &str) -> Result<Self, Refusal> {
        let program = compile(text)?;
        let names = program.kernels.keys().cloned().collect();
        Ok(Self { text: text.to_owned(), names, fresh: Mutex::new(Some(program)) })
    }

    /// Names of its kernels.
    pub(crate) fn kernel_names(&self) -> impl Iterator<Item = &String> {
        self.names.iter()
    }

    /// Makes a module of it in a context.
    pub(crate) fn place(&self, context: &Arc<Context>) -> Outcome<Handle> {
        strict::synchronise_device(Call::LoadModule, context.device());
        let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner).take();
        let program = match fresh {
            Some(program) => program,
            None => compile(&self.text).map_err(|refusal| refusal.code)?,
        };
        let variables = place(&program, context)?;
        let constants = program.variables.iter().filter(|variable| variable.is_constant);
        let constant_bytes = constants.map(|variable| variable.bytes).sum();
        let module = MODULES.reserve().into();
        let functions = program
            .kernels
            .into_iter()
            .map(|(name, kernel)| {
                let function = Function::enter(module, context, &name, kernel);
                (name, function)
            })
            .collect();
        let entry = Module { context: Arc::clone(context), functions, variables, constant_bytes };
        MODULES.enter(module.number(), Arc::new(entry));
        Ok(module)
    }
}

fn compile(text: &str) -> Result<Program, Refusal> {
    let claim = claim()?;
    let claim = jit::Claim { ptx: claim.newest_ptx(), compute: claim.capability };
    jit::compile(text, &claim).map_err(|error| Refusal {
        code: match error.kind {
            CompileErrorKind::NoBinary => Code::NO_BINARY_FOR_GPU,
            CompileErrorKind::UnsupportedPtxVersion => Code::UNSUPPORTED_PTX_VERSION,
            CompileErrorKind::InvalidPtx => Code::INVALID_PTX,
        },
        words: error.to_string(),
    })
}

/// Gives each variable memory and its first value.
fn place(program: &jit::Program, context: &Context) -> Outcome<BTreeMap<String, Variable>> {
    let memory = context.device().memory();
    let machine = Machine::get()?;
    let mut placed = BTreeMap::new();
    let mut addresses = Vec::new();
    for variable in &program.variables {
        // A variable of no bytes still has an address of its own.
        let bytes = variable.bytes.max(1);
        let allocated = if variable.is_managed {
            memory.allocate_managed(bytes, context.number())
        } else {
            memory.allocate(bytes, context.number())
        };
        match allocated {
            Ok(address) => {
                addresses.push(address);
                placed.insert(variable.name.clone(), Variable { address, bytes: variable.bytes });
            }
            Err(code) => {
                for address in addresses {
                    memory.free(address)?;
                }
                return Err(code);
            }
        }
    }
    program.link(&addresses);
    for (address, variable) in addresses.iter().zip(&program.variables) {
        let bytes = variable.initial_bytes(&addresses);
        if !bytes.is_empty() {
            Transfer::Staged { to: Place::Device(*address), bytes: bytes.into() }.run(machine)?;
        }
    }
    Ok(placed)
}
