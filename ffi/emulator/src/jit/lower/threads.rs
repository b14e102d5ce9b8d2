//! The loop of a kernel over the threads that it is asked to run, and where each of them is.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, InstBuilder, Value, types};

use super::function::Lowering;
use super::plan::Plan;
use super::rebuild::Inputs;
use crate::jit::frame::{BlockFrame, DONE};

impl Lowering<'_, '_, '_> {
    /// The loop over `first..end` of a kernel that is cut into regions. Where a thread is stands in a
    /// table, so that nothing of it lives from one thread to the next.
    pub(super) fn begin_region_loop(&mut self, plan: Plan) {
        let entry = self.builder.current_block().expect("the entry block is current");
        let (first, end) = {
            let params = self.builder.block_params(entry);
            (params[2], params[3])
        };
        self.begin_regions(plan, first, end);
    }

    /// Goes on in `body` while there are threads.
    fn loop_head(&mut self, head: Block, body: Block, end: Value) {
        let finish = self.builder.create_block();
        self.builder.switch_to_block(head);
        let at = self.builder.use_var(self.linear_index);
        let more = self.builder.ins().icmp(IntCC::UnsignedLessThan, at, end);
        self.builder.ins().brif(more, body, &[], finish, &[]);
        self.builder.switch_to_block(finish);
        let done = self.builder.ins().iconst(types::I32, i64::from(DONE));
        self.builder.ins().return_(&[done]);
    }

    /// The loop over `first..end`; the current block becomes its body.
    pub(super) fn begin_thread_loop(&mut self) {
        let entry = self.builder.current_block().expect("the entry block is current");
        let (first, end) = {
            let params = self.builder.block_params(entry);
            (params[2], params[3])
        };
        let (head, body) = (self.builder.create_block(), self.builder.create_block());
        let width = self.block_field(types::I32, offset_of!(BlockFrame, threads));
        let height = self.block_field(types::I32, offset_of!(BlockFrame, threads) + 4);
        let (x, rows) = self.divide(first, width);
        let (y, z) = self.divide(rows, height);
        for (variable, value) in self.thread_index.into_iter().zip([x, y, z]) {
            self.builder.def_var(variable, value);
        }
        self.builder.def_var(self.linear_index, first);
        self.builder.ins().jump(head, &[]);

        self.loop_head(head, body, end);

        self.builder.switch_to_block(self.done);
        self.advance_thread(width, height);
        self.builder.ins().jump(head, &[]);
        self.builder.switch_to_block(body);
        self.inputs = Some(Inputs {
            block_frame: self.block_frame,
            linear_index: self.builder.use_var(self.linear_index),
            thread_index: self.thread_index.map(|variable| self.builder.use_var(variable)),
        });
    }

    /// Remainder and quotient; no block has a side of zero threads.
    fn divide(&mut self, value: Value, by: Value) -> (Value, Value) {
        let remainder = self.builder.ins().urem(value, by);
        (remainder, self.builder.ins().udiv(value, by))
    }

    /// Steps `%tid` to the next thread.
    fn advance_thread(&mut self, width: Value, height: Value) {
        let [x, y, z] = self.thread_index.map(|variable| self.builder.use_var(variable));
        let at = self.builder.use_var(self.linear_index);
        let zero = self.builder.ins().iconst(types::I32, 0);
        let (x, wrapped) = self.step(x, width, zero);
        let stepped = self.step(y, height, zero);
        let y_next = self.builder.ins().select(wrapped, stepped.0, y);
        let both = self.builder.ins().band(wrapped, stepped.1);
        let z_plus = self.builder.ins().iadd_imm_s(z, 1);
        let z_next = self.builder.ins().select(both, z_plus, z);
        let at_next = self.builder.ins().iadd_imm_s(at, 1);
        for (variable, value) in self.thread_index.into_iter().zip([x, y_next, z_next]) {
            self.builder.def_var(variable, value);
        }
        self.builder.def_var(self.linear_index, at_next);
    }

    /// One more, or zero at `limit`; and whether it is zero.
    fn step(&mut self, value: Value, limit: Value, zero: Value) -> (Value, Value) {
        let plus = self.builder.ins().iadd_imm_s(value, 1);
        let wrapped = self.builder.ins().icmp(IntCC::Equal, plus, limit);
        (self.builder.ins().select(wrapped, zero, plus), wrapped)
    }
}
