//! Calls of functions of the module. Parameters and results lie in the caller's frame; the callee gets
//! pointers to them.

use cranelift_codegen::ir::{InstBuilder, Value, types};

use super::Lowered;
use super::function::Lowering;
use super::modifiers::Modifiers;
use super::names::{NamedPlace, Place};
use crate::jit::helpers::Helper;
use crate::ptx::{Instruction, Operand};

impl<'t> Lowering<'_, '_, 't> {
    /// `call (results), function, (params);`
    pub(super) fn call_function(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        modifiers.accept("uni");
        modifiers.finish()?;
        let none: &[Operand<'t>] = &[];
        let (results, name, params) = match inst.operands.as_slice() {
            [Operand::Name(name)] => (none, *name, none),
            [Operand::Name(name), Operand::List(params)] => (none, *name, params.as_slice()),
            [Operand::List(results), Operand::Name(name)] => (results.as_slice(), *name, none),
            [Operand::List(results), Operand::Name(name), Operand::List(params)] => {
                (results.as_slice(), *name, params.as_slice())
            }
            _ => return Err("calls through a pointer are not supported".into()),
        };
        if name == "__assertfail" {
            self.leave_by(Helper::AssertFail);
            return Ok(());
        }
        let callee = self.unit.callees.get(name);
        let callee = callee.ok_or_else(|| format!("function {name} is not declared"))?;
        if !callee.defined {
            return Err(format!("function {name} is not defined here, and is not supported"));
        }
        let id = callee.id;
        let (param_sizes, result_sizes) = (callee.params.clone(), callee.results.clone());
        let frame = self.local_bytes.next_multiple_of(16).cast_signed();
        let local_base = self.builder.ins().iadd_imm_s(self.local_base, frame);
        let mut arguments = vec![self.block_frame, self.thread_frame, local_base];
        arguments.extend(self.pointers(params, &param_sizes)?);
        arguments.extend(self.pointers(results, &result_sizes)?);
        self.calls = true;
        let function = self.import(id);
        let call = self.builder.ins().call(function, &arguments);
        let status = self.builder.inst_results(call)[0];
        self.leave_unless_done(status);
        Ok(())
    }

    /// Where the operands of a call lie, which must be as large as the callee declares.
    fn pointers(&mut self, operands: &[Operand<'t>], sizes: &[u64]) -> Lowered<Vec<Value>> {
        if operands.len() != sizes.len() {
            return Err("the number of parameters or results is not the declared one".into());
        }
        let mut pointers = Vec::new();
        for (operand, &size) in operands.iter().zip(sizes) {
            let Operand::Name(name) = operand else {
                return Err("expected a .param variable".into());
            };
            match self.place(name) {
                Some(NamedPlace { place: Place::CallParam { slot }, bytes, .. })
                    if bytes == size =>
                {
                    pointers.push(self.builder.ins().stack_addr(types::I64, slot, 0));
                }
                Some(_) => {
                    return Err(format!("{name} has not the size of the declared parameter"));
                }
                None => return Err(format!("{name} is no .param variable")),
            }
        }
        Ok(pointers)
    }
}
