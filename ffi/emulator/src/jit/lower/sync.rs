//! Barriers of the block and operations of the warp: where a thread waits for others.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};

use super::Lowered;
use super::function::{Lowering, clif};
use super::modifiers::Modifiers;
use super::operands::exactly;
use super::plan::Request;
use crate::jit::barrier::BARRIERS;
use crate::jit::helpers::Helper;
use crate::jit::wait::{BarrierOp, WarpOp};
use crate::ptx::{Instruction, Operand, Type};

impl<'t> Lowering<'_, '_, 't> {
    /// `bar`, `barrier`: of the block, or of the warp.
    pub(super) fn barrier(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        if inst.opcode == "bar" && modifiers.accept("warp") {
            modifiers.require(&[("sync", ())])?;
            modifiers.finish()?;
            let [members] = exactly(inst)?;
            let zero = self.constant(types::I64, 0);
            self.meet(WarpOp::Sync, members, zero, None)?;
            return Ok(());
        }
        modifiers.accept("cta");
        let kind = modifiers.require(&[
            ("sync", BarrierOp::Sync),
            ("arrive", BarrierOp::Arrive),
            ("red", BarrierOp::CountTrue),
        ])?;
        // Threads are never assumed to arrive together, so `.aligned` promises nothing we need.
        let aligned = inst.opcode == "barrier" && kind != BarrierOp::CountTrue;
        if aligned {
            modifiers.accept("aligned");
        }
        match kind {
            BarrierOp::Sync | BarrierOp::Arrive => self.plain_barrier(inst, modifiers, kind),
            _ => self.reducing_barrier(inst, modifiers),
        }
    }

    fn plain_barrier(
        &mut self,
        inst: &Instruction<'t>,
        modifiers: Modifiers<'_, 't>,
        op: BarrierOp,
    ) -> Lowered<()> {
        modifiers.finish()?;
        let (id, count) = match (op, inst.operands.as_slice()) {
            (BarrierOp::Sync, [id]) => (id, None),
            (_, [id, count]) => (id, Some(count)),
            _ => return Err("the number of operands is wrong".into()),
        };
        let predicate = self.constant(types::I32, 0);
        self.arrive(op, id, count, predicate)?;
        Ok(())
    }

    /// `bar.red`: a barrier whose answer depends on all predicates.
    fn reducing_barrier(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let op = modifiers.require(&[
            ("popc", BarrierOp::CountTrue),
            ("and", BarrierOp::AllTrue),
            ("or", BarrierOp::AnyTrue),
        ])?;
        if inst.opcode == "barrier" {
            modifiers.accept("aligned");
        }
        let ty =
            modifiers.ty(if op == BarrierOp::CountTrue { &[Type::U32] } else { &[Type::Pred] })?;
        modifiers.finish()?;
        let (target, id, count, predicate) = match inst.operands.as_slice() {
            [target, id, predicate] => (target, id, None, predicate),
            [target, id, count, predicate] => (target, id, Some(count), predicate),
            _ => return Err("the number of operands is wrong".into()),
        };
        let predicate = self.read(predicate, Type::Pred)?;
        let predicate = self.builder.ins().uextend(types::I32, predicate);
        let answer = self.arrive(op, id, count, predicate)?;
        let value =
            if ty == Type::Pred { self.builder.ins().ireduce(types::I8, answer) } else { answer };
        self.write(target, ty, value)
    }

    fn arrive(
        &mut self,
        op: BarrierOp,
        id: &Operand<'t>,
        count: Option<&Operand<'t>>,
        predicate: Value,
    ) -> Lowered<Value> {
        self.waits = true;
        let barriers = BARRIERS as u64;
        if let Operand::Integer(number) = id
            && *number >= barriers
        {
            return Err(format!("there are {barriers} barriers"));
        }
        let is_constant = matches!(id, Operand::Integer(_));
        let id = self.read(id, Type::U32)?;
        if !is_constant {
            self.trap_unless_below(id, barriers);
        }
        let count = match count {
            Some(count) => self.read(count, Type::U32)?,
            None => self.constant(types::I32, 0),
        };
        Ok(self.wait(Request::Barrier { op, id, expected: count, predicate }))
    }

    fn trap_unless_below(&mut self, value: Value, limit: u64) {
        let limit = self.constant(types::I32, limit);
        let below = self.builder.ins().icmp(IntCC::UnsignedLessThan, value, limit);
        let (go_on, fail) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(fail);
        self.builder.ins().brif(below, go_on, &[], fail, &[]);
        self.builder.switch_to_block(fail);
        self.call(Helper::Trap, &[self.block_frame]);
        self.jump_left();
        self.builder.switch_to_block(go_on);
    }

    /// Meets the lanes of `members`; `shuffle` has the operands that only shuffles have.
    fn meet(
        &mut self,
        op: WarpOp,
        members: &Operand<'t>,
        value: Value,
        shuffle: Option<(Value, Value)>,
    ) -> Lowered<Value> {
        self.waits = true;
        let members = self.read(members, Type::B32)?;
        let zero = self.constant(types::I32, 0);
        let (select, clamp) = shuffle.unwrap_or((zero, zero));
        Ok(self.wait(Request::Warp { op, members, value, select, clamp }))
    }

    /// Writes the lower 32 bits of an answer, and bit 32 where a predicate is wanted too.
    fn write_answer(&mut self, target: &Operand<'t>, answer: Value) -> Lowered<()> {
        let (value_target, predicate) = match target {
            Operand::Pair(value, predicate) => (&**value, Some(&**predicate)),
            single => (single, None),
        };
        let value = self.builder.ins().ireduce(types::I32, answer);
        self.write(value_target, Type::B32, value)?;
        if let Some(predicate) = predicate {
            let bit = self.builder.ins().ushr_imm_u(answer, 32);
            let bit = self.builder.ins().ireduce(types::I8, bit);
            self.write(predicate, Type::Pred, bit)?;
        }
        Ok(())
    }

    /// `shfl.sync`
    pub(super) fn shuffle(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        modifiers.require(&[("sync", ())])?;
        let op = modifiers.require(&[
            ("up", WarpOp::ShuffleUp),
            ("down", WarpOp::ShuffleDown),
            ("bfly", WarpOp::ShuffleButterfly),
            ("idx", WarpOp::ShuffleIndex),
        ])?;
        modifiers.ty(&[Type::B32])?;
        modifiers.finish()?;
        let [target, value, select, clamp, members] = exactly(inst)?;
        let value = self.read(value, Type::B32)?;
        let value = self.builder.ins().uextend(types::I64, value);
        let select = self.read(select, Type::B32)?;
        let clamp = self.read(clamp, Type::B32)?;
        let answer = self.meet(op, members, value, Some((select, clamp)))?;
        self.write_answer(target, answer)
    }

    /// `vote.sync`
    pub(super) fn vote(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        modifiers.require(&[("sync", ())])?;
        let op = modifiers.require(&[
            ("all", WarpOp::VoteAll),
            ("any", WarpOp::VoteAny),
            ("uni", WarpOp::VoteUniform),
            ("ballot", WarpOp::VoteBallot),
        ])?;
        let ballot = op == WarpOp::VoteBallot;
        let ty = modifiers.ty(if ballot { &[Type::B32] } else { &[Type::Pred] })?;
        modifiers.finish()?;
        let [target, predicate, members] = exactly(inst)?;
        let predicate = self.read(predicate, Type::Pred)?;
        let value = self.builder.ins().uextend(types::I64, predicate);
        let answer = self.meet(op, members, value, None)?;
        let value = self.builder.ins().ireduce(clif(ty), answer);
        self.write(target, ty, value)
    }

    /// `match.sync`
    pub(super) fn match_values(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let op = modifiers.require(&[("any", WarpOp::MatchAny), ("all", WarpOp::MatchAll)])?;
        modifiers.require(&[("sync", ())])?;
        let ty = modifiers.ty(&[Type::B32, Type::B64])?;
        modifiers.finish()?;
        let [target, value, members] = exactly(inst)?;
        if op == WarpOp::MatchAny && matches!(target, Operand::Pair(..)) {
            return Err("match.any has no predicate".into());
        }
        let value = self.read(value, ty)?;
        let value = self.extended(value, ty, types::I64);
        let answer = self.meet(op, members, value, None)?;
        self.write_answer(target, answer)
    }

    /// `redux.sync`
    pub(super) fn reduce(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        modifiers.require(&[("sync", ())])?;
        let word = modifiers.require(&[
            ("add", "add"),
            ("min", "min"),
            ("max", "max"),
            ("and", "and"),
            ("or", "or"),
            ("xor", "xor"),
        ])?;
        let logical = matches!(word, "and" | "or" | "xor");
        let ty = modifiers.ty(if logical { &[Type::B32] } else { &[Type::U32, Type::S32] })?;
        modifiers.finish()?;
        let op = match (word, ty.is_signed()) {
            ("add", _) => WarpOp::ReduceAdd,
            ("min", true) => WarpOp::ReduceMinSigned,
            ("min", false) => WarpOp::ReduceMinUnsigned,
            ("max", true) => WarpOp::ReduceMaxSigned,
            ("max", false) => WarpOp::ReduceMaxUnsigned,
            ("and", _) => WarpOp::ReduceAnd,
            ("or", _) => WarpOp::ReduceOr,
            _ => WarpOp::ReduceXor,
        };
        let [target, value, members] = exactly(inst)?;
        let value = self.read(value, ty)?;
        let value = self.builder.ins().uextend(types::I64, value);
        let answer = self.meet(op, members, value, None)?;
        let value = self.builder.ins().ireduce(types::I32, answer);
        self.write(target, ty, value)
    }

    /// `activemask`
    pub(super) fn active_mask(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        modifiers.ty(&[Type::B32])?;
        modifiers.finish()?;
        let [target] = exactly(inst)?;
        self.waits = true;
        let mask = self.wait(Request::Active);
        self.write(target, Type::B32, mask)
    }
}
