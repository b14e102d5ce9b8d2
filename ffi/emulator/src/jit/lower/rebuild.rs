//! Values that cost less to compute anew than to keep: those that follow from constants, parameters
//! and the thread's place in its block. They are found in one form of a function and made again in
//! another.

use std::collections::{BTreeMap, HashMap};

use cranelift_codegen::ir::{
    Block, Function, Inst, InstBuilder, InstBuilderBase, InstructionData, Opcode, Value, ValueDef,
};

use super::function::Lowering;

/// A value costs at most as many instructions as this; beyond that, storing and loading is cheaper.
const COST_MAX: u32 = 12;
/// Chains that are longer cost more than that.
const DEPTH_MAX: u32 = 24;

/// What cheap values follow from, besides constants and what the block's frame leads to.
#[derive(Clone, Copy)]
pub(super) struct Inputs {
    pub(super) block_frame: Value,
    /// The thread's number in its block.
    pub(super) linear_index: Value,
    /// `%tid`
    pub(super) thread_index: [Value; 3],
}

impl Inputs {
    fn contains(&self, value: Value) -> bool {
        value == self.block_frame
            || value == self.linear_index
            || self.thread_index.contains(&value)
    }
}

/// What was made anew already, in the block that is being lowered.
#[derive(Default)]
pub(super) struct Made {
    block: Option<Block>,
    values: HashMap<Value, Value>,
}

/// The values of a finished function that may be made anew.
pub(super) struct Source {
    function: Function,
    /// Values that the other form of the function has under another name.
    inputs: Inputs,
    /// Parameters of blocks that are the same value wherever the block is entered from.
    same: HashMap<Value, Value>,
    costs: HashMap<Value, Option<u32>>,
}

impl Source {
    /// `inputs` are the values that will be given when others are made anew.
    pub(super) fn new(function: Function, inputs: Inputs) -> Self {
        let same = needless_parameters(&function);
        let mut source = Self { function, inputs, same, costs: HashMap::new() };
        source.inputs = Inputs {
            block_frame: source.resolve(inputs.block_frame),
            linear_index: source.resolve(inputs.linear_index),
            thread_index: inputs.thread_index.map(|value| source.resolve(value)),
        };
        source
    }

    /// What a value is called where it is made.
    fn resolve(&self, value: Value) -> Value {
        resolve(&self.function, &self.same, value)
    }

    /// The function that they stand in.
    pub(super) fn function(&self) -> &Function {
        &self.function
    }

    /// The constant that a value is, if it is one.
    pub(super) fn constant(&self, value: Value) -> Option<i64> {
        let value = self.resolve(value);
        let ValueDef::Result(inst, _) = self.function.dfg.value_def(value) else { return None };
        match self.function.dfg.insts[inst] {
            InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => Some(imm.bits()),
            _ => None,
        }
    }

    /// Whether a value is made anew rather than kept.
    pub(super) fn is_cheap(&mut self, value: Value) -> bool {
        self.cost(value, 0).is_some_and(|cost| cost <= COST_MAX)
    }

    fn cost(&mut self, value: Value, depth: u32) -> Option<u32> {
        let value = self.resolve(value);
        if self.inputs.contains(value) {
            return Some(0);
        }
        if let Some(&known) = self.costs.get(&value) {
            return known;
        }
        let cost = self.cost_of_definition(value, depth);
        self.costs.insert(value, cost);
        cost
    }

    fn cost_of_definition(&mut self, value: Value, depth: u32) -> Option<u32> {
        let ValueDef::Result(inst, 0) = self.function.dfg.value_def(value) else { return None };
        if depth > DEPTH_MAX || !self.repeatable(inst) {
            return None;
        }
        let arguments = self.function.dfg.inst_args(inst).to_vec();
        let own = u32::from(!arguments.is_empty());
        arguments.into_iter().try_fold(own, |sum, argument| {
            Some(sum.saturating_add(self.cost(argument, depth + 1)?))
        })
    }

    /// Whether an instruction gives the same value wherever it stands.
    fn repeatable(&self, inst: Inst) -> bool {
        let dfg = &self.function.dfg;
        match dfg.insts[inst] {
            InstructionData::UnaryImm { opcode, .. } => opcode == Opcode::Iconst,
            InstructionData::UnaryIeee32 { .. } | InstructionData::UnaryIeee64 { .. } => true,
            InstructionData::Unary { opcode, .. } => matches!(
                opcode,
                Opcode::Ireduce | Opcode::Uextend | Opcode::Sextend | Opcode::Bnot | Opcode::Ineg
            ),
            InstructionData::Binary { opcode, .. } => matches!(
                opcode,
                Opcode::Iadd
                    | Opcode::Isub
                    | Opcode::Imul
                    | Opcode::Band
                    | Opcode::Bor
                    | Opcode::Bxor
                    | Opcode::Ishl
                    | Opcode::Ushr
                    | Opcode::Sshr
            ),
            InstructionData::IntCompare { .. } => true,
            InstructionData::Ternary { opcode, .. } => opcode == Opcode::Select,
            InstructionData::Load { opcode: Opcode::Load, flags, .. } => {
                let flags = dfg.mem_flags[flags];
                flags.readonly() && flags.notrap() && flags.can_move()
            }
            _ => false,
        }
    }
}

fn resolve(function: &Function, same: &HashMap<Value, Value>, value: Value) -> Value {
    let mut value = function.dfg.resolve_aliases(value);
    while let Some(&other) = same.get(&value) {
        value = function.dfg.resolve_aliases(other);
    }
    value
}

/// Finds parameters of blocks that are always one value. The builder leaves such where loops meet.
fn needless_parameters(function: &Function) -> HashMap<Value, Value> {
    let mut given: BTreeMap<Value, Vec<Value>> = BTreeMap::new();
    let (pool, dfg) = (&function.dfg.value_lists, &function.dfg);
    for block in function.layout.blocks() {
        let Some(last) = function.layout.last_inst(block) else { continue };
        let calls = dfg.insts[last].branch_destination(&dfg.jump_tables, &dfg.exception_tables);
        for call in calls {
            let parameters = dfg.block_params(call.block(pool));
            for (&parameter, argument) in parameters.iter().zip(call.args(pool)) {
                given.entry(parameter).or_default().extend(argument.as_value());
            }
        }
    }
    let mut same = HashMap::new();
    loop {
        let before = same.len();
        for (&parameter, values) in &given {
            if same.contains_key(&parameter) {
                continue;
            }
            let mut others = values
                .iter()
                .map(|&value| resolve(function, &same, value))
                .filter(|&value| value != parameter);
            if let Some(first) = others.next()
                && others.all(|value| value == first)
            {
                same.insert(parameter, first);
            }
        }
        if same.len() == before {
            return same;
        }
    }
}

impl Lowering<'_, '_, '_> {
    /// Makes a cheap value of `source` anew in the current block.
    pub(super) fn rebuild(&mut self, source: &Source, value: Value, made: &mut Made) -> Value {
        let block = self.builder.current_block();
        if made.block != block {
            made.values.clear();
            made.block = block;
        }
        self.rebuild_known(source, value, &mut made.values)
    }

    fn rebuild_known(
        &mut self,
        source: &Source,
        value: Value,
        made: &mut HashMap<Value, Value>,
    ) -> Value {
        let dfg = &source.function.dfg;
        let value = source.resolve(value);
        if let Some(&known) = made.get(&value) {
            return known;
        }
        let anew = if source.inputs.contains(value) {
            self.input(&source.inputs, value)
        } else {
            let ValueDef::Result(inst, 0) = dfg.value_def(value) else {
                unreachable!("only results of single instructions are cheap")
            };
            let arguments: Vec<Value> = dfg
                .inst_args(inst)
                .iter()
                .map(|&argument| self.rebuild_known(source, argument, made))
                .collect();
            self.repeat(&source.function, inst, &arguments)
        };
        made.insert(value, anew);
        anew
    }

    fn input(&mut self, inputs: &Inputs, value: Value) -> Value {
        if value == inputs.block_frame {
            return self.block_frame;
        }
        match inputs.thread_index.iter().position(|&known| known == value) {
            Some(axis) => self.position(axis),
            None => self.builder.use_var(self.linear_index),
        }
    }

    /// The instruction of another function, with these arguments.
    fn repeat(&mut self, from: &Function, inst: Inst, arguments: &[Value]) -> Value {
        let mut data = from.dfg.insts[inst];
        // Flags belong to the function that they stand in.
        if let InstructionData::Load { flags, offset, .. } = data {
            let ty = from.dfg.value_type(from.dfg.first_result(inst));
            return self.builder.ins().load(ty, from.dfg.mem_flags[flags], arguments[0], offset);
        }
        let places = data.arguments_mut(&mut self.builder.func.dfg.value_lists);
        places.iter_mut().zip(arguments).for_each(|(place, &argument)| *place = argument);
        let (inst, dfg) = self.builder.ins().build(data, from.dfg.ctrl_typevar(inst));
        dfg.first_result(inst)
    }
}
