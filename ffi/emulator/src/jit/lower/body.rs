//! The statements of a body: scopes, declarations, labels; instructions go to their family.

use cranelift_codegen::ir::{StackSlotData, StackSlotKind};

use super::function::Lowering;
use super::names::{Label, NamedPlace, Place, Prototype, Register, Scope};
use crate::jit::error::CompileError;
use crate::ptx::{Instruction, Space, Statement, Type, Variable as Declared};

impl<'t> Lowering<'_, '_, 't> {
    /// Emits the statements of one scope.
    pub(super) fn statements(&mut self, body: &[Statement<'t>]) -> Result<(), CompileError> {
        self.declare_labels(body)?;
        for statement in body {
            match statement {
                Statement::Registers { ty, name, count } => {
                    self.declare_registers(*ty, name, *count)
                }
                Statement::Variable(variable) => self.declare_variable(variable)?,
                Statement::Label { name, .. } => self.begin_label(name),
                Statement::BranchTargets { .. } | Statement::Prototype { .. } => {}
                Statement::Scope(inner) => {
                    self.scopes.push(Scope::default());
                    self.statements(inner)?;
                    self.scopes.pop();
                }
                Statement::Instruction(instruction) => {
                    self.instruction(instruction).map_err(|reason| {
                        let text = spelled(instruction);
                        CompileError::invalid(instruction.line, format!("`{text}`: {reason}"))
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Labels may be named before they stand in the text.
    fn declare_labels(&mut self, body: &[Statement<'t>]) -> Result<(), CompileError> {
        for statement in body {
            match statement {
                Statement::Label { name, line } => {
                    let label = Label { block: self.builder.create_block(), passed: false };
                    let scope = self.scopes.last_mut().expect("a body has a scope");
                    if scope.labels.insert(name, label).is_some() {
                        return Err(CompileError::invalid(
                            *line,
                            format!("{name} is declared twice"),
                        ));
                    }
                }
                Statement::BranchTargets { name, labels } => {
                    let scope = self.scopes.last_mut().expect("a body has a scope");
                    scope.branch_targets.insert(name, labels.clone());
                }
                Statement::Prototype { name, results, params } => {
                    let signature = self.unit.signature_number(params.clone(), results.clone());
                    let prototype =
                        Prototype { signature, results: results.clone(), params: params.clone() };
                    let scope = self.scopes.last_mut().expect("a body has a scope");
                    scope.prototypes.insert(name, prototype);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn begin_label(&mut self, name: &'t str) {
        let scope = self.scopes.last_mut().expect("a body has a scope");
        if let Some(label) = scope.labels.get_mut(name) {
            label.passed = true;
            let block = label.block;
            self.join(block);
        }
    }

    fn declare_registers(&mut self, ty: Type, name: &'t str, count: Option<u32>) {
        let words = u64::from(ty.bytes().div_ceil(4)) * u64::from(ty != Type::Pred);
        self.register_words += words * u64::from(count.unwrap_or(1));
        match count {
            Some(count) => {
                let scope = self.scopes.last_mut().expect("a body has a scope");
                scope.ranges.insert(name, (ty, count));
            }
            None => {
                let register = Register { variable: self.new_register(ty), ty };
                let scope = self.scopes.last_mut().expect("a body has a scope");
                scope.registers.insert(name, register);
            }
        }
    }

    fn declare_variable(&mut self, variable: &Declared<'t>) -> Result<(), CompileError> {
        let refuse = |reason: String| Err(CompileError::invalid(variable.line, reason));
        let Some(bytes) = variable.bytes else {
            return refuse(format!("variable {} has no size", variable.name));
        };
        let align = u64::from(variable.align);
        let place = match variable.space {
            Space::Local => {
                let offset = self.next_local.next_multiple_of(align);
                self.next_local = offset + bytes;
                Place::Local { offset }
            }
            Space::Shared if self.is_kernel => {
                let offset = self.next_shared.next_multiple_of(align);
                self.next_shared = offset + bytes;
                Place::Shared { offset }
            }
            Space::Param => {
                let size = u32::try_from(bytes.max(8)).unwrap_or(u32::MAX);
                let data = StackSlotData::new(StackSlotKind::ExplicitSlot, size, 4);
                Place::CallParam { slot: self.builder.create_sized_stack_slot(data) }
            }
            _ => {
                return refuse(format!(
                    "variable {} cannot be declared in this body",
                    variable.name
                ));
            }
        };
        let named = NamedPlace { place, space: variable.space, bytes };
        let scope = self.scopes.last_mut().expect("a body has a scope");
        scope.places.insert(variable.name, named);
        Ok(())
    }
}

fn spelled(instruction: &Instruction<'_>) -> String {
    let mut text = instruction.opcode.to_owned();
    for modifier in &instruction.modifiers {
        text.push('.');
        text.push_str(modifier);
    }
    text
}
