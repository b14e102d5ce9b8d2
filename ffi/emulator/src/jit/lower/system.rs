//! Functions that the driver provides to kernels: printing, a failed assertion, memory from the heap.
//! Compilers declare them `.extern` and call them like any other.

use cranelift_codegen::ir::{InstBuilder, Value, types};

use super::Lowered;
use super::function::{Lowering, memory_flags};
use crate::jit::helpers::Helper;
use crate::ptx::{Operand, Type};

impl<'t> Lowering<'_, '_, 't> {
    /// Calls a function of the driver; false when it has none of that name.
    pub(super) fn call_system(
        &mut self,
        name: &str,
        params: &[Value],
        results: &[Value],
    ) -> Lowered<bool> {
        match (name, params, results) {
            ("__assertfail", &[message, file, line, function, _], []) => {
                self.assertion(message, file, line, function)?;
            }
            ("vprintf", &[format, values], &[result]) => {
                let (format, values) =
                    (self.param(types::I64, format), self.param(types::I64, values));
                let frames = [self.block_frame, self.thread_frame()];
                let answer = self.call(Helper::Print, &[frames[0], frames[1], format, values]);
                // The upper half says whether the thread may go on.
                let status = self.builder.ins().ushr_imm_u(answer, 32);
                self.leave_unless_done(status);
                let count = self.builder.ins().ireduce(types::I32, answer);
                self.builder.ins().store(memory_flags(), count, result, 0);
            }
            ("malloc", &[bytes], &[result]) => {
                let bytes = self.param(types::I64, bytes);
                let address = self.call(Helper::HeapAllocate, &[self.block_frame, bytes]);
                self.builder.ins().store(memory_flags(), address, result, 0);
            }
            ("free", &[address], []) => {
                let address = self.param(types::I64, address);
                let status = self.call(Helper::HeapFree, &[self.block_frame, address]);
                self.leave_unless_done(status);
            }
            ("__assertfail" | "vprintf" | "malloc" | "free", ..) => {
                return Err(format!("{name} is not declared as the driver has it"));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn param(&mut self, ty: cranelift_codegen::ir::Type, pointer: Value) -> Value {
        self.builder.ins().load(ty, memory_flags(), pointer, 0)
    }

    /// Tells who failed and ends the kernel.
    fn assertion(
        &mut self,
        message: Value,
        file: Value,
        line: Value,
        function: Value,
    ) -> Lowered<()> {
        let texts = [message, file, function].map(|pointer| self.param(types::I64, pointer));
        let line = self.param(types::I32, line);
        let [x, y, z] = ["x", "y", "z"].map(|side| Operand::Component("%tid", side));
        let thread =
            [self.read(&x, Type::U32)?, self.read(&y, Type::U32)?, self.read(&z, Type::U32)?];
        let mut arguments = vec![self.block_frame, self.thread_frame()];
        arguments.extend(texts);
        arguments.push(line);
        arguments.extend(thread);
        self.call(Helper::AssertFail, &arguments);
        self.jump_left();
        self.end_block();
        Ok(())
    }
}
