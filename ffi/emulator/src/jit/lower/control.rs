//! Branches, ends of threads, traps.

use cranelift_codegen::ir::{Block, BlockCall, InstBuilder, JumpTableData, Value};

use super::Lowered;
use super::function::Lowering;
use super::modifiers::Modifiers;
use super::names::Label;
use super::operands::exactly;
use crate::jit::helpers::Helper;
use crate::ptx::{Instruction, Operand, Type};

impl<'t> Lowering<'_, '_, 't> {
    /// `bra`, with or without a guard.
    pub(super) fn branch(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        modifiers.accept("uni");
        modifiers.finish()?;
        let [Operand::Name(name)] = exactly(inst)? else {
            return Err("expected a label".into());
        };
        let Label { block, passed } = self.label(name)?;
        let Some(guard) = inst.guard else {
            if passed {
                self.poll();
            }
            self.builder.ins().jump(block, &[]);
            self.end_block();
            return Ok(());
        };
        let condition = self.guard(guard)?;
        let after = self.builder.create_block();
        if passed {
            let back = self.builder.create_block();
            self.builder.ins().brif(condition, back, &[], after, &[]);
            self.builder.switch_to_block(back);
            self.poll();
            self.builder.ins().jump(block, &[]);
        } else {
            self.builder.ins().brif(condition, block, &[], after, &[]);
        }
        self.builder.switch_to_block(after);
        Ok(())
    }

    /// `brx.idx`: a branch to one of a list. An index past the list has no defined result; it traps.
    pub(super) fn indexed_branch(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        modifiers.require(&[("idx", ())])?;
        modifiers.accept("uni");
        modifiers.finish()?;
        let [index, Operand::Name(list)] = exactly(inst)? else {
            return Err("expected an index and a list of labels".into());
        };
        let index = self.read(index, Type::U32)?;
        let names = self.scopes.iter().rev().find_map(|scope| scope.branch_targets.get(list));
        let names = names.ok_or_else(|| format!("there is no list of labels {list}"))?.clone();
        let mut back = false;
        let mut blocks = Vec::new();
        for name in names {
            let label = self.label(name)?;
            back |= label.passed;
            blocks.push(label.block);
        }
        if back {
            self.poll();
        }
        let outside = self.builder.create_block();
        self.branch_to_one(index, &blocks, outside);
        self.builder.switch_to_block(outside);
        self.leave_by(Helper::Trap);
        Ok(())
    }

    /// Ends the current block: goes on in the block of this index, or in `outside` past the last.
    pub(super) fn branch_to_one(&mut self, index: Value, blocks: &[Block], outside: Block) {
        // A block that a table names twice would get what it lives on twice, so each entry has a block
        // of its own.
        let entries: Vec<Block> = blocks.iter().map(|_| self.builder.create_block()).collect();
        let default = self.builder.create_block();
        let pool = &mut self.builder.func.dfg.value_lists;
        let calls: Vec<BlockCall> =
            entries.iter().map(|&entry| BlockCall::new(entry, [], pool)).collect();
        let otherwise = BlockCall::new(default, [], pool);
        let table = self.builder.create_jump_table(JumpTableData::new(otherwise, &calls));
        self.builder.ins().br_table(index, table);
        for (entry, &block) in entries.into_iter().zip(blocks).chain([(default, &outside)]) {
            self.builder.switch_to_block(entry);
            self.builder.ins().jump(block, &[]);
        }
    }

    /// `ret` and `exit`. In a function they differ, and `exit` would have to leave all callers.
    pub(super) fn end_thread(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        modifiers.accept("uni");
        modifiers.finish()?;
        let [] = exactly(inst)?;
        if inst.opcode == "exit" && !self.is_kernel {
            return Err("exit is not supported inside of a function".into());
        }
        self.builder.ins().jump(self.done, &[]);
        self.end_block();
        Ok(())
    }

    /// `trap`
    pub(super) fn trap(
        &mut self,
        inst: &Instruction<'t>,
        modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        modifiers.finish()?;
        let [] = exactly(inst)?;
        self.leave_by(Helper::Trap);
        Ok(())
    }

    /// Ends the block by calling a helper that records a fault.
    pub(super) fn leave_by(&mut self, helper: Helper) {
        self.call(helper, &[self.block_frame]);
        self.jump_left();
        self.end_block();
    }

    /// `nanosleep` may end at any time, also at once; others get a turn.
    pub(super) fn nanosleep(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        modifiers.require(&[("u32", ())])?;
        modifiers.finish()?;
        let [time] = exactly(inst)?;
        self.read(time, Type::U32)?;
        self.take_turn();
        Ok(())
    }
}
