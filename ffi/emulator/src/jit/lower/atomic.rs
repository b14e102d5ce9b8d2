//! `atom` and `red`. All are sequentially consistent, which is stronger than any order that the text
//! may ask for.

use cranelift_codegen::ir::{AtomicRmwOp, InstBuilder, Value, types};

use super::Lowered;
use super::function::{Lowering, clif, memory_flags};
use super::memory::SCOPES;
use super::modifiers::Modifiers;
use super::pointer::SPACES;
use crate::jit::helpers::Helper;
use crate::ptx::{Instruction, Operand, Space, Type};

/// What happens to the word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Add,
    Min,
    Max,
    And,
    Or,
    Xor,
    Exchange,
    CompareExchange,
    Increment,
    Decrement,
}

const CHANGES: &[(&str, Change)] = &[
    ("add", Change::Add),
    ("min", Change::Min),
    ("max", Change::Max),
    ("and", Change::And),
    ("or", Change::Or),
    ("xor", Change::Xor),
    ("exch", Change::Exchange),
    ("cas", Change::CompareExchange),
    ("inc", Change::Increment),
    ("dec", Change::Decrement),
];

/// The types that a change exists for.
fn types_of(change: Change) -> &'static [Type] {
    match change {
        Change::Add => &[Type::U32, Type::S32, Type::U64, Type::S64, Type::F32, Type::F64],
        Change::Min | Change::Max => &[Type::U32, Type::S32, Type::U64, Type::S64],
        Change::And | Change::Or | Change::Xor | Change::Exchange => &[Type::B32, Type::B64],
        Change::CompareExchange => &[Type::B16, Type::B32, Type::B64],
        Change::Increment | Change::Decrement => &[Type::U32],
    }
}

impl<'t> Lowering<'_, '_, 't> {
    pub(super) fn atomic(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        modifiers.choose(&[("relaxed", ()), ("acquire", ()), ("release", ()), ("acq_rel", ())]);
        // Compilers write the scope on either side of the memory.
        let scoped = modifiers.choose(SCOPES).is_some();
        let space = modifiers.choose(SPACES).unwrap_or(Space::Generic);
        if !scoped {
            modifiers.choose(SCOPES);
        }
        if !matches!(space, Space::Generic | Space::Global | Space::Shared) {
            return Err("atomics exist in global and shared memory".into());
        }
        let change = modifiers.require(CHANGES)?;
        let ty = modifiers.ty(types_of(change))?;
        modifiers.finish()?;
        let (target, rest) = match (inst.opcode, inst.operands.split_first()) {
            ("atom", Some((target, rest))) => (target, rest),
            ("red", Some(_)) if change != Change::CompareExchange && change != Change::Exchange => {
                (&Operand::Discard, inst.operands.as_slice())
            }
            _ => return Err("the operation or its operands are wrong".into()),
        };
        let (address, value, swap) = match (change, rest) {
            (Change::CompareExchange, [address, value, swap]) => (address, value, Some(swap)),
            (Change::CompareExchange, _) => return Err("the number of operands is wrong".into()),
            (_, [address, value]) => (address, value, None),
            _ => return Err("the number of operands is wrong".into()),
        };
        self.reads_others |= may_spin(change, value);
        let operand = self.read(value, ty)?;
        let swap = swap.map(|swap| self.read(swap, ty)).transpose()?;
        let pointer = self.access(space, address, ty.bytes())?;
        let old = self.change_word(change, ty, pointer, operand, swap);
        self.write(target, ty, old)
    }

    fn change_word(
        &mut self,
        change: Change,
        ty: Type,
        pointer: Value,
        operand: Value,
        swap: Option<Value>,
    ) -> Value {
        let flags = memory_flags();
        let operation = match (change, ty) {
            (Change::Add, Type::F32) => {
                return self.call(Helper::AtomicAddF32, &[pointer, operand]);
            }
            (Change::Add, Type::F64) => {
                return self.call(Helper::AtomicAddF64, &[pointer, operand]);
            }
            (Change::Increment, _) => {
                return self.call(Helper::AtomicIncrement, &[pointer, operand]);
            }
            (Change::Decrement, _) => {
                return self.call(Helper::AtomicDecrement, &[pointer, operand]);
            }
            (Change::CompareExchange, _) => {
                let swap = swap.unwrap_or(operand);
                return self.builder.ins().atomic_cas(flags, pointer, operand, swap);
            }
            (Change::Add, _) => AtomicRmwOp::Add,
            (Change::Min, _) if ty.is_signed() => AtomicRmwOp::Smin,
            (Change::Min, _) => AtomicRmwOp::Umin,
            (Change::Max, _) if ty.is_signed() => AtomicRmwOp::Smax,
            (Change::Max, _) => AtomicRmwOp::Umax,
            (Change::And, _) => AtomicRmwOp::And,
            (Change::Or, _) => AtomicRmwOp::Or,
            (Change::Xor, _) => AtomicRmwOp::Xor,
            (Change::Exchange, _) => AtomicRmwOp::Xchg,
        };
        debug_assert_ne!(clif(ty), types::F32);
        self.builder.ins().atomic_rmw(clif(ty), flags, operation, pointer, operand)
    }
}

/// Whether a loop around it may wait for another thread: a lock, or an atomic that only reads.
fn may_spin(change: Change, operand: &Operand<'_>) -> bool {
    matches!(change, Change::CompareExchange | Change::Exchange)
        || *operand == Operand::Integer(0)
        || !matches!(operand, Operand::Integer(_) | Operand::Name(_))
}
