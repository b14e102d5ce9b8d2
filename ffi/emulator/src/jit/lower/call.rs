//! Calls of functions of the module, by name or through a pointer. Parameters and results lie in the
//! caller's frame; the callee gets pointers to them.

use std::sync::Arc;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};

use super::Lowered;
use super::function::Lowering;
use super::modifiers::Modifiers;
use super::names::{NamedPlace, Place};
use crate::jit::helpers::Helper;
use crate::ptx::{Instruction, Operand, Type};

/// The parts of a call as they are written: results, who is called, parameters, prototype.
type Call<'i, 't> = (&'i [Operand<'t>], &'t str, &'i [Operand<'t>], Option<&'t str>);

/// The operands of a call.
fn parts<'i, 't>(operands: &'i [Operand<'t>]) -> Lowered<Call<'i, 't>> {
    let (results, rest) = match operands {
        [Operand::List(results), rest @ ..] => (results.as_slice(), rest),
        rest => (&[] as &[_], rest),
    };
    let [Operand::Name(callee), rest @ ..] = rest else {
        return Err("expected a function".into());
    };
    let (params, rest) = match rest {
        [Operand::List(params), rest @ ..] => (params.as_slice(), rest),
        rest => (&[] as &[_], rest),
    };
    match rest {
        [] => Ok((results, callee, params, None)),
        [Operand::Name(prototype)] => Ok((results, callee, params, Some(prototype))),
        _ => Err("the operands of the call are wrong".into()),
    }
}

impl<'t> Lowering<'_, '_, 't> {
    /// `call (results), function, (params);`
    pub(super) fn call_function(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        modifiers.accept("uni");
        modifiers.finish()?;
        let (results, name, params, prototype) = parts(&inst.operands)?;
        if let Some(prototype) = prototype {
            return self.call_pointer(results, name, params, prototype);
        }
        if self.register(name).is_some() {
            return Err("a call through a pointer needs a prototype".into());
        }
        let callee = self.unit.callees.get(name);
        let callee = callee.ok_or_else(|| format!("function {name} is not declared"))?;
        let (param_sizes, result_sizes) = (callee.params.clone(), callee.results.clone());
        let (id, defined) = (callee.id, callee.defined);
        let params = self.pointers(params, &param_sizes)?;
        let results = self.pointers(results, &result_sizes)?;
        if !defined {
            if self.call_system(name, &params, &results)? {
                return Ok(());
            }
            return Err(format!("function {name} is not defined here, and is not supported"));
        }
        let arguments = self.arguments(params, results);
        let function = self.import(id);
        let call = self.builder.ins().call(function, &arguments);
        let status = self.builder.inst_results(call)[0];
        self.leave_unless_done(status);
        Ok(())
    }

    /// `call (results), %register, (params), prototype;` A number that leads to no function of the
    /// prototype's kind is a fault.
    fn call_pointer(
        &mut self,
        results: &[Operand<'t>],
        register: &'t str,
        params: &[Operand<'t>],
        prototype: &'t str,
    ) -> Lowered<()> {
        let found = self.scopes.iter().rev().find_map(|scope| scope.prototypes.get(prototype));
        let prototype = found.ok_or_else(|| format!("there is no prototype {prototype}"))?.clone();
        let address = self.read(&Operand::Name(register), Type::B64)?;
        let params = self.pointers(params, &prototype.params)?;
        let results = self.pointers(results, &prototype.results)?;
        let table = Arc::as_ptr(&self.unit.functions).addr() as u64;
        let table = self.constant(types::I64, table);
        let signature = self.constant(types::I32, u64::from(prototype.signature));
        let code = self.call(Helper::FindFunction, &[self.block_frame, table, address, signature]);
        let missing = self.builder.ins().icmp_imm_s(IntCC::Equal, code, 0);
        self.leave_unless_done(missing);
        let signature = self.unit.call_signature(params.len() + results.len());
        let signature = self.builder.import_signature(signature);
        let arguments = self.arguments(params, results);
        let call = self.builder.ins().call_indirect(signature, code, &arguments);
        let status = self.builder.inst_results(call)[0];
        self.leave_unless_done(status);
        Ok(())
    }

    /// What the native function takes: frames, its local memory, and where the operands lie.
    fn arguments(&mut self, params: Vec<Value>, results: Vec<Value>) -> Vec<Value> {
        self.calls = true;
        let frame = self.local_bytes.next_multiple_of(16).cast_signed();
        let local_base = self.builder.ins().iadd_imm_s(self.local_base, frame);
        let mut arguments = vec![self.block_frame, self.thread_frame, local_base];
        arguments.extend(params);
        arguments.extend(results);
        arguments
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
