//! What the functions of a module share while they are compiled: helpers, callable functions,
//! variables.

use std::collections::HashMap;
use std::sync::Arc;

use cranelift_codegen::ir::{AbiParam, Signature, types};
use cranelift_jit::JITModule;
use cranelift_module::{FuncId, Linkage, Module as _, ModuleError};

use super::names::{NamedPlace, Place};
use crate::jit::error::CompileError;
use crate::jit::functions::FunctionTable;
use crate::jit::helpers::Helper;
use crate::ptx::{Function, Module, Space, Variable};

/// A function that a `call` may name.
pub(super) struct Callee {
    pub(super) id: FuncId,
    /// Bytes of each parameter and of each result.
    pub(super) params: Vec<u64>,
    pub(super) results: Vec<u64>,
    /// Whether the text says what it does.
    pub(super) defined: bool,
    /// Its number in the table of functions.
    pub(super) index: usize,
}

/// A PTX module that is being compiled.
pub(crate) struct Unit<'t> {
    pub(super) module: JITModule,
    pub(super) helpers: HashMap<Helper, FuncId>,
    pub(super) callees: HashMap<&'t str, Callee>,
    /// Where pointers to functions lead. Code refers to it by its address, which stays.
    pub(super) functions: Arc<FunctionTable>,
    /// The numbers of the combinations of parameters and results.
    signatures: HashMap<(Vec<u64>, Vec<u64>), u32>,
    /// Variables outside of functions.
    pub(super) places: HashMap<&'t str, NamedPlace>,
    /// Shared memory that belongs to the module: it comes before each kernel's own.
    pub(super) shared_bytes: u64,
    /// Alignment of the launch's part of shared memory.
    pub(super) shared_align: u64,
    /// Numbers the `activemask` instructions.
    pub(super) active_sites: u32,
}

impl<'t> Unit<'t> {
    /// Declares all that functions may refer to.
    pub(crate) fn new(module: JITModule, text: &Module<'t>) -> Result<Self, CompileError> {
        let mut unit = Self {
            module,
            helpers: HashMap::new(),
            callees: HashMap::new(),
            functions: Arc::new(FunctionTable::new(&[])),
            signatures: HashMap::new(),
            places: HashMap::new(),
            shared_bytes: 0,
            shared_align: 16,
            active_sites: 0,
        };
        unit.declare_helpers()?;
        let mut index = 0;
        for variable in &text.variables {
            unit.declare_variable(variable, &mut index)?;
        }
        for function in text.functions.iter().filter(|function| !function.is_kernel) {
            unit.declare_callee(function)?;
        }
        unit.number_functions();
        Ok(unit)
    }

    fn number_functions(&mut self) {
        let mut shapes = vec![(Vec::new(), Vec::new()); self.callees.len()];
        for callee in self.callees.values() {
            shapes[callee.index] = (callee.params.clone(), callee.results.clone());
        }
        let signatures: Vec<u32> = shapes
            .into_iter()
            .map(|(params, results)| self.signature_number(params, results))
            .collect();
        self.functions = Arc::new(FunctionTable::new(&signatures));
    }

    /// The number of a combination of parameters and results, by their sizes.
    pub(super) fn signature_number(&mut self, params: Vec<u64>, results: Vec<u64>) -> u32 {
        let next = u32::try_from(self.signatures.len()).unwrap_or(u32::MAX);
        *self.signatures.entry((params, results)).or_insert(next)
    }

    /// The address that a pointer to a defined function has.
    pub(crate) fn function_address(&self, name: &str) -> Option<u64> {
        let callee = self.callees.get(name).filter(|callee| callee.defined)?;
        Some(self.functions.address(callee.index))
    }

    /// Fills the table of functions, whose code is final, and gives it up.
    pub(crate) fn placed_functions(&mut self) -> Arc<FunctionTable> {
        for callee in self.callees.values().filter(|callee| callee.defined) {
            self.functions.place(callee.index, self.module.get_finalized_function(callee.id));
        }
        Arc::clone(&self.functions)
    }

    /// Gives up the module, all of whose functions are defined.
    pub(crate) fn into_module(self) -> JITModule {
        self.module
    }

    pub(crate) fn module_mut(&mut self) -> &mut JITModule {
        &mut self.module
    }

    /// Where the launch's part of shared memory may begin.
    pub(crate) fn shared_align(&self) -> u64 {
        self.shared_align
    }

    fn declare_helpers(&mut self) -> Result<(), CompileError> {
        for &helper in Helper::ALL {
            let (params, result) = helper.signature();
            let mut signature = self.module.make_signature();
            signature.params.extend(params.iter().map(|&ty| AbiParam::new(ty)));
            signature.returns.extend(result.map(AbiParam::new));
            let id = self
                .module
                .declare_function(helper.symbol(), Linkage::Import, &signature)
                .map_err(internal)?;
            self.helpers.insert(helper, id);
        }
        Ok(())
    }

    fn declare_variable(
        &mut self,
        variable: &Variable<'t>,
        index: &mut u32,
    ) -> Result<(), CompileError> {
        let refuse = |reason: String| Err(CompileError::invalid(variable.line, reason));
        let name = variable.name;
        let place = match (variable.space, variable.bytes) {
            (Space::Global | Space::Const, Some(_)) if !variable.external => {
                let place = Place::Global { index: *index };
                *index += 1;
                place
            }
            (Space::Shared, None) if variable.external => {
                self.shared_align = self.shared_align.max(u64::from(variable.align));
                Place::DynamicShared
            }
            (Space::Shared, Some(bytes)) if !variable.external => {
                let offset = self.shared_bytes.next_multiple_of(u64::from(variable.align));
                self.shared_bytes = offset + bytes;
                Place::Shared { offset }
            }
            _ if variable.external => {
                return refuse(format!("external variable {name} is not defined"));
            }
            _ => return refuse(format!("variable {name} has no size")),
        };
        let named = NamedPlace { place, space: variable.space, bytes: variable.bytes.unwrap_or(0) };
        if self.places.insert(name, named).is_some() {
            return refuse(format!("{name} is declared twice"));
        }
        Ok(())
    }

    fn declare_callee(&mut self, function: &Function<'t>) -> Result<(), CompileError> {
        let sizes = |variables: &[Variable<'t>]| -> Vec<u64> {
            variables.iter().map(|variable| variable.bytes.unwrap_or(0)).collect()
        };
        let (params, results) = (sizes(&function.params), sizes(&function.results));
        let defined = function.body.is_some();
        if let Some(known) = self.callees.get_mut(function.name) {
            if known.params != params || known.results != results {
                let reason = format!("{} is declared in two ways", function.name);
                return Err(CompileError::invalid(function.line, reason));
            }
            if known.defined && defined {
                let reason = format!("{} is defined twice", function.name);
                return Err(CompileError::invalid(function.line, reason));
            }
            known.defined |= defined;
            return Ok(());
        }
        let signature = self.call_signature(params.len() + results.len());
        let symbol = format!("function.{}", function.name);
        let id =
            self.module.declare_function(&symbol, Linkage::Local, &signature).map_err(internal)?;
        let index = self.callees.len();
        self.callees.insert(function.name, Callee { id, params, results, defined, index });
        Ok(())
    }

    /// A function takes both frames, where its local memory begins, and a pointer for each parameter
    /// and result; it returns a status.
    pub(super) fn call_signature(&self, pointers: usize) -> Signature {
        let mut signature = self.module.make_signature();
        signature.params.extend((0..3 + pointers).map(|_| AbiParam::new(types::I64)));
        signature.returns.push(AbiParam::new(types::I32));
        signature
    }

    /// A kernel takes both frames and a range of threads; it returns a status.
    pub(super) fn entry_signature(&self) -> Signature {
        let mut signature = self.module.make_signature();
        let params = [types::I64, types::I64, types::I32, types::I32];
        signature.params.extend(params.map(AbiParam::new));
        signature.returns.push(AbiParam::new(types::I32));
        signature
    }
}

/// An error that no text should be able to cause; it is reported, because a text did.
pub(super) fn internal(error: ModuleError) -> CompileError {
    CompileError::invalid(0, format!("the code generator failed: {error:?}"))
}
