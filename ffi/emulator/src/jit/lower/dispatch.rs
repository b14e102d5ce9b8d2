//! From an opcode to the family that knows it.

use cranelift_codegen::ir::InstBuilder;

use super::Lowered;
use super::function::Lowering;
use super::modifiers::Modifiers;
use super::opcodes::OPCODES;
use crate::ptx::{Guard, Instruction, Operand, Type};

/// What the last modifier says about the kind of arithmetic.
fn kind(instruction: &Instruction<'_>) -> Option<Type> {
    instruction.modifiers.last().and_then(|word| Type::parse(word))
}

/// Why an opcode that has no meaning here is refused.
fn unknown(opcode: &str) -> String {
    let reason = match opcode {
        "pmevent" | "brkpt" => "there is no profiler or debugger",
        "discard" | "applypriority" => "cache control is not supported",
        "tex" | "tld4" | "txq" | "suld" | "sust" | "sured" | "suq" => {
            "textures and surfaces are not supported"
        }
        "cp" | "mbarrier" | "tensormap" => "asynchronous copies are not supported",
        "mma" | "wmma" | "wgmma" | "ldmatrix" | "stmatrix" | "movmatrix" | "tcgen05" => {
            "matrix instructions are not supported"
        }
        "mapa" | "getctarank" | "clusterlaunchcontrol" => "clusters are not supported",
        _ => "this instruction is not supported",
    };
    reason.to_owned()
}

impl<'t> Lowering<'_, '_, 't> {
    /// Emits one instruction.
    pub(super) fn instruction(&mut self, instruction: &Instruction<'t>) -> Lowered<()> {
        self.begin_if_ended();
        if !OPCODES.contains(&instruction.opcode) {
            return Err(unknown(instruction.opcode));
        }
        let modifiers = Modifiers::new(&instruction.modifiers);
        if instruction.opcode == "bra" {
            return self.branch(instruction, modifiers);
        }
        let Some(guard) = instruction.guard else {
            return self.unguarded(instruction, modifiers);
        };
        let condition = self.guard(guard)?;
        let (run, after) = (self.builder.create_block(), self.builder.create_block());
        self.builder.ins().brif(condition, run, &[], after, &[]);
        self.builder.switch_to_block(run);
        self.unguarded(instruction, modifiers)?;
        self.join(after);
        Ok(())
    }

    /// The value of a guard: nonzero when the instruction runs.
    pub(super) fn guard(&mut self, guard: Guard<'t>) -> Lowered<cranelift_codegen::ir::Value> {
        let operand = if guard.negated {
            Operand::Not(guard.predicate)
        } else {
            Operand::Name(guard.predicate)
        };
        self.read(&operand, Type::Pred)
    }

    fn unguarded(&mut self, inst: &Instruction<'t>, modifiers: Modifiers<'_, 't>) -> Lowered<()> {
        match kind(inst) {
            Some(Type::F32 | Type::F64) if self.float(inst, modifiers)? => return Ok(()),
            Some(Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2)
                if self.half(inst, modifiers)? =>
            {
                return Ok(());
            }
            Some(Type::U16x2 | Type::S16x2) if self.packed_integers(inst, modifiers)? => {
                return Ok(());
            }
            _ => {}
        }
        match inst.opcode {
            "add" | "sub" => self.add(inst, modifiers),
            "addc" | "subc" => self.add_with_carry(inst, modifiers),
            "mul" => self.multiply(inst, modifiers),
            "mad" => self.multiply_add(inst, modifiers),
            "madc" => self.multiply_add_with_carry(inst, modifiers),
            "mul24" | "mad24" => self.multiply24(inst, modifiers),
            "div" | "rem" => self.divide_integers(inst, modifiers),
            "abs" | "neg" => self.integer_sign(inst, modifiers),
            "min" | "max" => self.integer_extreme(inst, modifiers),
            "dp4a" => self.dot_product(inst, modifiers),
            "dp2a" => self.dot_product_of_pairs(inst, modifiers),
            "vabsdiff2" | "vabsdiff4" => self.packed_difference(inst, modifiers),
            "sad" => self.absolute_difference(inst, modifiers),
            "and" | "or" | "xor" => self.logic(inst, modifiers),
            "not" => self.invert(inst, modifiers),
            "cnot" => self.logical_not(inst, modifiers),
            "lop3" => self.logic3(inst, modifiers),
            "shl" | "shr" => self.shift(inst, modifiers),
            "shf" => self.funnel_shift(inst, modifiers),
            "popc" | "clz" | "brev" => self.count_bits(inst, modifiers),
            "bfind" => self.find_bit(inst, modifiers),
            "bfe" => self.extract_field(inst, modifiers),
            "bfi" => self.insert_field(inst, modifiers),
            "prmt" => self.permute(inst, modifiers),
            "mov" => self.mov(inst, modifiers),
            "selp" => self.select(inst, modifiers),
            "setp" => self.set_predicate(inst, modifiers),
            "set" => self.set_value(inst, modifiers),
            "slct" => self.select_by_sign(inst, modifiers),
            "testp" => self.test_property(inst, modifiers),
            "cvt" => self.convert(inst, modifiers),
            "cvta" => self.convert_address(inst, modifiers),
            "isspacep" => self.is_space(inst, modifiers),
            "ld" | "ldu" => self.load(inst, modifiers),
            "st" => self.store(inst, modifiers),
            "prefetch" | "prefetchu" => self.prefetch(inst, modifiers),
            "atom" | "red" => self.atomic(inst, modifiers),
            "membar" | "fence" => self.fence(inst, modifiers),
            "bar" | "barrier" => self.barrier(inst, modifiers),
            "shfl" => self.shuffle(inst, modifiers),
            "vote" => self.vote(inst, modifiers),
            "match" => self.match_values(inst, modifiers),
            "redux" => self.reduce(inst, modifiers),
            "activemask" => self.active_mask(inst, modifiers),
            "ret" | "exit" => self.end_thread(inst, modifiers),
            "trap" => self.trap(inst, modifiers),
            "brx" => self.indexed_branch(inst, modifiers),
            "call" => self.call_function(inst, modifiers),
            "nanosleep" => self.nanosleep(inst, modifiers),
            _ => Err("this form of the instruction is not supported".into()),
        }
    }
}
