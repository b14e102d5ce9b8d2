//! A function of the text as a native function: its frame, its scopes, and for a kernel the loop over
//! threads.

use std::collections::{HashMap, VecDeque};
use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, FuncRef, Function as ClifFunction, InstBuilder, MemFlagsData, Signature, Type as Clif,
    Value, types,
};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use cranelift_module::{FuncId, Linkage, Module as _};

use super::Lowered;
use super::flow::Log;
use super::names::{Label, NamedPlace, Place, Scope};
use super::plan::{Cuts, Findings, Plan, Request};
use super::rebuild::Inputs;
use super::suspend::Regions;
use super::unit::{Unit, internal};
use crate::jit::error::CompileError;
use crate::jit::frame::{DONE, LEFT, ThreadFrame};
use crate::jit::helpers::Helper;
use crate::ptx::{Function, Space, Statement, Type, Variable as Declared};

/// A loop looks at the stop flag once in so many turns.
const TURNS_BETWEEN_POLLS: i64 = 1024;

/// How the threads of a kernel wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The kernel is cut at its waits, and the loop over threads runs each part. Kernels that call
    /// functions cannot be cut: what stands on the stack would be lost.
    Regions,
    /// Each thread has a stack of its own, in every kernel that waits.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests compare the two"))]
    Stacks,
}

/// What is known of a function once it is compiled.
pub(crate) struct Outcome {
    /// The native function.
    pub(crate) id: FuncId,
    /// Shared memory: the module's and its own.
    pub(crate) shared_bytes: u64,
    /// Local memory of its own frame.
    pub(crate) local_bytes: u64,
    /// It waits for other threads, or may spin on what they write.
    pub(crate) waits: bool,
    /// It calls functions.
    pub(crate) calls: bool,
    /// Registers that it declares, in words of 32 bits.
    pub(crate) register_words: u64,
    /// How it is cut, when it is.
    pub(crate) regions: Option<Cuts>,
}

/// Flags of loads from the two frames, which do not change while a kernel runs.
pub(super) fn constant_flags() -> MemFlagsData {
    MemFlagsData::trusted().with_readonly().with_can_move()
}

/// Flags of accesses to memory that other threads of the host may write.
pub(super) fn memory_flags() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

/// Compiles `function`. A kernel whose threads wait is cut into regions where `form` allows it and
/// the kernel does; that takes a second pass, which knows what the first has found.
///
/// # Errors
/// The first thing that is not supported, with its line.
pub(crate) fn lower_function<'t>(
    unit: &mut Unit<'t>,
    function: &Function<'t>,
    form: Form,
) -> Result<Outcome, CompileError> {
    let (id, signature) = declare(unit, function)?;
    let mut context = unit.module.make_context();
    context.func.signature = signature.clone();
    let (mut outcome, findings) = lower_body(unit, function, &mut context.func, None)?;
    outcome.id = id;
    if form == Form::Regions
        && let Some(found) = findings
    {
        let first = std::mem::replace(&mut context.func, ClifFunction::new());
        let plan = Plan::new(first, found);
        outcome.regions = Some(plan.outcome());
        context.func.signature = signature;
        lower_body(unit, function, &mut context.func, Some(plan))?;
    }
    unit.module.define_function(id, &mut context).map_err(internal)?;
    unit.module.clear_context(&mut context);
    Ok(outcome)
}

fn declare<'t>(
    unit: &mut Unit<'t>,
    function: &Function<'t>,
) -> Result<(FuncId, Signature), CompileError> {
    if !function.is_kernel {
        let id = unit.callees[function.name].id;
        return Ok((id, unit.call_signature(function.params.len() + function.results.len())));
    }
    let signature = unit.entry_signature();
    let symbol = format!("kernel.{}", function.name);
    let id = unit.module.declare_function(&symbol, Linkage::Local, &signature).map_err(internal)?;
    Ok((id, signature))
}

/// Lowers a function, cut as `plan` says. Without one, it also returns what a plan can be made from,
/// where the function is a kernel that waits and that regions can express.
fn lower_body<'t>(
    unit: &mut Unit<'t>,
    function: &Function<'t>,
    into: &mut ClifFunction,
    plan: Option<Plan>,
) -> Result<(Outcome, Option<Findings>), CompileError> {
    let Some(body) = &function.body else {
        return Err(CompileError::invalid(function.line, "there is no body"));
    };
    let mut builder_context = FunctionBuilderContext::new();
    let builder = FunctionBuilder::new(into, &mut builder_context);
    let mut lowering = Lowering::new(builder, unit, function.is_kernel);
    lowering.measure(body);
    lowering.enter(function, plan);
    lowering.statements(body)?;
    lowering.leave();
    Ok(lowering.finish())
}

/// A function while it is compiled.
pub(super) struct Lowering<'a, 'u, 't> {
    pub(super) builder: FunctionBuilder<'a>,
    pub(super) unit: &'u mut Unit<'t>,
    pub(super) scopes: Vec<Scope<'t>>,
    /// Addresses of the two frames.
    pub(super) block_frame: Value,
    pub(super) thread_frame: Value,
    /// Where the function's local memory begins, as an address of local memory.
    pub(super) local_base: Value,
    /// `%tid`, in a kernel; a function finds it in the thread's frame.
    pub(super) thread_index: [Variable; 3],
    pub(super) linear_index: Variable,
    /// The carry flag of extended-precision arithmetic.
    pub(super) carry: Variable,
    turns: Variable,
    /// The region in which the thread went on last.
    pub(super) origin: Variable,
    /// Where a thread goes when it is done, and when it leaves because of a fault.
    pub(super) done: Block,
    left: Block,
    pub(super) is_kernel: bool,
    /// The current block has ended: what follows without a label is never reached.
    ended: bool,
    imports: HashMap<FuncId, FuncRef>,
    pub(super) next_local: u64,
    pub(super) next_shared: u64,
    /// Size of the whole local frame, known before the first instruction.
    pub(super) local_bytes: u64,
    pub(super) waits: bool,
    pub(super) calls: bool,
    loops: bool,
    /// Reads what other threads write without a barrier: atomics and volatile loads.
    pub(super) reads_others: bool,
    pub(super) register_words: u64,
    /// Reads a variable that lies in its frame on the stack.
    pub(super) reads_frame: bool,
    /// How the kernel is cut, in the second pass; in the first, what the cuts will follow from.
    pub(super) regions: Option<Box<Regions>>,
    /// Types of the registers so far, and in the second pass those that are still to come: what
    /// crosses a wait may be named only behind it, where a loop leads back.
    registers: Vec<Clif>,
    foreseen: VecDeque<Variable>,
    pub(super) log: Log,
    pub(super) requests: Vec<Request>,
    pub(super) inputs: Option<Inputs>,
}

impl<'a, 'u, 't> Lowering<'a, 'u, 't> {
    fn new(mut builder: FunctionBuilder<'a>, unit: &'u mut Unit<'t>, is_kernel: bool) -> Self {
        let entry = builder.create_block();
        builder.append_block_params_for_function_params(entry);
        builder.switch_to_block(entry);
        let params = builder.block_params(entry).to_vec();
        let local_base = if is_kernel { builder.ins().iconst(types::I64, 0) } else { params[2] };
        let mut variable = |ty| builder.declare_var(ty);
        let thread_index = [types::I32; 3].map(&mut variable);
        let linear_index = variable(types::I32);
        let carry = variable(types::I8);
        let turns = variable(types::I64);
        let origin = variable(types::I32);
        let (done, left) = (builder.create_block(), builder.create_block());
        builder.set_cold_block(left);
        let next_shared = unit.shared_bytes;
        Self {
            builder,
            unit,
            scopes: vec![Scope::default()],
            block_frame: params[0],
            thread_frame: params[1],
            local_base,
            thread_index,
            linear_index,
            carry,
            turns,
            origin,
            done,
            left,
            is_kernel,
            ended: false,
            imports: HashMap::new(),
            next_local: 0,
            next_shared,
            local_bytes: 0,
            waits: false,
            calls: false,
            loops: false,
            reads_others: false,
            register_words: 0,
            reads_frame: false,
            regions: None,
            registers: Vec::new(),
            foreseen: VecDeque::new(),
            log: Log::default(),
            requests: Vec::new(),
            inputs: None,
        }
    }

    /// A register that the text names for the first time.
    pub(super) fn new_register(&mut self, ty: Type) -> Variable {
        if let Some(foreseen) = self.foreseen.pop_front() {
            return foreseen;
        }
        self.registers.push(clif(ty));
        self.builder.declare_var(clif(ty))
    }

    /// Finds how much local memory the body declares, which calls must know.
    fn measure(&mut self, body: &[Statement<'t>]) {
        for statement in body {
            match statement {
                Statement::Variable(variable) if variable.space == Space::Local => {
                    let offset = self.local_bytes.next_multiple_of(u64::from(variable.align));
                    self.local_bytes = offset.saturating_add(variable.bytes.unwrap_or(0));
                }
                Statement::Scope(inner) => self.measure(inner),
                _ => {}
            }
        }
    }

    fn enter(&mut self, function: &Function<'t>, plan: Option<Plan>) {
        let zero = self.builder.ins().iconst(types::I8, 0);
        self.builder.def_var(self.carry, zero);
        self.restart_turns();
        if let Some(plan) = plan {
            let declare = |ty: &Clif| self.builder.declare_var(*ty);
            self.foreseen = plan.registers.iter().map(declare).collect();
            self.kernel_params(function);
            self.begin_region_loop(plan);
            return;
        }
        let stack = self.builder.ins().get_stack_pointer(types::I64);
        if self.is_kernel {
            self.kernel_params(function);
            let at = field(offset_of!(ThreadFrame, stack_seen));
            self.builder.ins().store(MemFlagsData::trusted(), stack, self.thread_frame, at);
            self.begin_thread_loop();
        } else {
            self.function_params(function);
            self.check_stack(stack);
        }
    }

    fn kernel_params(&mut self, function: &Function<'t>) {
        let mut offset = 0u64;
        for param in &function.params {
            offset = offset.next_multiple_of(u64::from(param.align));
            let at = u32::try_from(offset).unwrap_or(u32::MAX);
            self.name_param(param, Place::KernelParam { offset: at });
            offset += param.bytes.unwrap_or(0);
        }
    }

    fn function_params(&mut self, function: &Function<'t>) {
        let entry = self.builder.current_block().expect("the entry block is current");
        let pointers: Vec<Value> = self.builder.block_params(entry)[3..].to_vec();
        let variables = function.params.iter().chain(&function.results);
        for (param, pointer) in variables.zip(pointers) {
            self.name_param(param, Place::FunctionParam { pointer });
        }
    }

    fn name_param(&mut self, param: &Declared<'t>, place: Place) {
        let named = NamedPlace { place, space: Space::Param, bytes: param.bytes.unwrap_or(0) };
        self.scopes[0].places.insert(param.name, named);
    }

    /// A function leaves with a fault when its stack or its local memory has no room for its frame.
    fn check_stack(&mut self, stack: Value) {
        let limit = self.thread_field(types::I64, offset_of!(ThreadFrame, stack_limit));
        let room = self.thread_field(types::I64, offset_of!(ThreadFrame, local_bytes));
        let bytes = self.local_bytes.next_multiple_of(16).cast_signed();
        let end = self.builder.ins().iadd_imm_s(self.local_base, bytes);
        let no_stack = self.builder.ins().icmp(IntCC::UnsignedLessThan, stack, limit);
        let no_local = self.builder.ins().icmp(IntCC::UnsignedGreaterThan, end, room);
        let overflow = self.builder.ins().bor(no_stack, no_local);
        let (fail, body) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(fail);
        self.builder.ins().brif(overflow, fail, &[], body, &[]);
        self.builder.switch_to_block(fail);
        self.call(Helper::StackOverflow, &[self.block_frame, self.thread_frame]);
        self.jump_left();
        self.builder.switch_to_block(body);
    }

    fn leave(&mut self) {
        // Text may end without `ret`.
        if !self.ended {
            self.builder.ins().jump(self.done, &[]);
        }
        self.end_regions();
        if !self.is_kernel {
            self.builder.switch_to_block(self.done);
            let done = self.builder.ins().iconst(types::I32, i64::from(DONE));
            self.builder.ins().return_(&[done]);
        }
        self.builder.switch_to_block(self.left);
        let left = self.builder.ins().iconst(types::I32, i64::from(LEFT));
        self.builder.ins().return_(&[left]);
        self.builder.seal_all_blocks();
    }

    fn finish(self) -> (Outcome, Option<Findings>) {
        self.builder.finalize(self.unit.module.target_config());
        let spins = self.loops && self.reads_others;
        let outcome = Outcome {
            id: FuncId::from_u32(0),
            shared_bytes: self.next_shared,
            local_bytes: self.local_bytes,
            waits: self.waits || spins,
            calls: self.calls,
            register_words: self.register_words,
            regions: None,
        };
        let cut = self.is_kernel && outcome.waits && !self.calls && !self.reads_frame;
        let findings = self.inputs.filter(|_| cut).map(|inputs| Findings {
            log: self.log,
            requests: self.requests,
            inputs,
            end: self.done,
            spins,
            registers: self.registers,
        });
        (outcome, findings)
    }

    /// Says that the current block has its last instruction.
    pub(super) fn end_block(&mut self) {
        self.ended = true;
    }

    /// Goes on in `block`, to which others may jump too.
    pub(super) fn join(&mut self, block: Block) {
        if !self.ended {
            self.builder.ins().jump(block, &[]);
        }
        self.ended = false;
        self.builder.switch_to_block(block);
    }

    /// Instructions that nothing leads to are compiled all the same, so that they are judged.
    pub(super) fn begin_if_ended(&mut self) {
        if self.ended {
            let block = self.builder.create_block();
            self.builder.switch_to_block(block);
            self.ended = false;
        }
    }

    /// Loads a field of the block's frame.
    pub(super) fn block_field(&mut self, ty: Clif, offset: usize) -> Value {
        self.builder.ins().load(ty, constant_flags(), self.block_frame, field(offset))
    }

    /// Loads a field of the thread's frame.
    pub(super) fn thread_field(&mut self, ty: Clif, offset: usize) -> Value {
        let frame = self.thread_frame();
        self.builder.ins().load(ty, constant_flags(), frame, field(offset))
    }

    /// Calls a helper that has none.
    pub(super) fn call_for_effect(&mut self, helper: Helper, arguments: &[Value]) {
        let callee = self.import(self.unit.helpers[&helper]);
        self.builder.ins().call(callee, arguments);
    }

    /// Calls a helper that has a result.
    pub(super) fn call(&mut self, helper: Helper, arguments: &[Value]) -> Value {
        let callee = self.import(self.unit.helpers[&helper]);
        let call = self.builder.ins().call(callee, arguments);
        self.builder.inst_results(call)[0]
    }

    pub(super) fn import(&mut self, id: FuncId) -> FuncRef {
        if let Some(&known) = self.imports.get(&id) {
            return known;
        }
        let reference = self.unit.module.declare_func_in_func(id, self.builder.func);
        self.imports.insert(id, reference);
        reference
    }

    /// Ends the current block: the thread leaves the kernel.
    pub(super) fn jump_left(&mut self) {
        self.builder.ins().jump(self.left, &[]);
    }

    /// Goes on in a new block unless `status` says that the thread must leave.
    pub(super) fn leave_unless_done(&mut self, status: Value) {
        let go_on = self.builder.create_block();
        self.builder.ins().brif(status, self.left, &[], go_on, &[]);
        self.builder.switch_to_block(go_on);
    }

    /// Before a branch back: counts the turn, and now and then looks at the stop flag.
    pub(super) fn poll(&mut self) {
        self.loops = true;
        let turns = self.builder.use_var(self.turns);
        let fewer = self.builder.ins().iadd_imm_s(turns, -1);
        self.builder.def_var(self.turns, fewer);
        let (ask, go_on) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(ask);
        self.builder.ins().brif(fewer, go_on, &[], ask, &[]);
        self.builder.switch_to_block(ask);
        self.take_turn();
        self.restart_turns();
        self.builder.ins().jump(go_on, &[]);
        self.builder.switch_to_block(go_on);
    }

    /// The next look at the stop flag is a while away.
    pub(super) fn restart_turns(&mut self) {
        let turns = self.builder.ins().iconst(types::I64, TURNS_BETWEEN_POLLS);
        self.builder.def_var(self.turns, turns);
    }

    pub(super) fn constant(&mut self, ty: Clif, value: u64) -> Value {
        self.builder.ins().iconst(ty, truncated(ty, value))
    }

    /// The block of a label, and whether a branch to it goes back.
    pub(super) fn label(&self, name: &str) -> Lowered<Label> {
        let found = self.scopes.iter().rev().find_map(|scope| scope.labels.get(name));
        found.copied().ok_or_else(|| format!("there is no label {name}"))
    }
}

/// Cranelift wants a constant to fit its type.
fn truncated(ty: Clif, value: u64) -> i64 {
    let bits = ty.bits();
    let kept = if bits >= 64 { value } else { value & ((1 << bits) - 1) };
    kept.cast_signed()
}

/// A field's offset as Cranelift wants it.
pub(super) fn field(offset: usize) -> i32 {
    i32::try_from(offset).expect("frames are small")
}

/// The Cranelift type of a register.
pub(super) fn clif(ty: Type) -> Clif {
    match ty {
        Type::Pred | Type::B8 | Type::U8 | Type::S8 => types::I8,
        Type::B16 | Type::U16 | Type::S16 | Type::F16 | Type::Bf16 => types::I16,
        Type::B32
        | Type::U32
        | Type::S32
        | Type::U16x2
        | Type::S16x2
        | Type::F16x2
        | Type::Bf16x2 => types::I32,
        Type::B128 => types::I128,
        Type::B64 | Type::U64 | Type::S64 => types::I64,
        Type::F32 => types::F32,
        Type::F64 => types::F64,
    }
}
