//! `atom` and `red`. All are sequentially consistent, which is stronger than any order that the text
//! may ask for.

use cranelift_codegen::ir::{AtomicRmwOp, InstBuilder, StackSlotData, StackSlotKind, Value, types};

use super::Lowered;
use super::function::{Lowering, clif, memory_flags};
use super::memory::{SCOPES, lanes};
use super::modifiers::Modifiers;
use super::pointer::{Intent, SPACES};
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
        Change::Add => &[
            Type::U32,
            Type::S32,
            Type::U64,
            Type::S64,
            Type::F32,
            Type::F64,
            Type::F16,
            Type::F16x2,
            Type::Bf16,
            Type::Bf16x2,
        ],
        Change::Min | Change::Max => &[Type::U32, Type::S32, Type::U64, Type::S64],
        Change::And | Change::Or | Change::Xor => &[Type::B32, Type::B64],
        Change::Exchange => &[Type::B32, Type::B64, Type::B128],
        Change::CompareExchange => &[Type::B16, Type::B32, Type::B64, Type::B128],
        Change::Increment | Change::Decrement => &[Type::U32],
    }
}

/// An atomic whose modifiers are understood.
struct Atomic {
    space: Space,
    change: Change,
    ty: Type,
    /// Elements, each of which changes by itself; 1 for a single value.
    lanes: u32,
}

/// Reads the modifiers. Compilers write order, scope, memory and operation in two ways: the operation
/// last, or first.
fn read_modifiers(modifiers: &mut Modifiers<'_, '_>) -> Lowered<Atomic> {
    const ORDERS: &[(&str, ())] =
        &[("relaxed", ()), ("acquire", ()), ("release", ()), ("acq_rel", ())];
    let first = modifiers.choose(CHANGES);
    let ordered = modifiers.choose(ORDERS).is_some();
    let scoped = modifiers.choose(SCOPES).is_some();
    if ordered && !scoped {
        modifiers.require(SCOPES)?;
    }
    let space = modifiers.choose(SPACES).unwrap_or(Space::Generic);
    // The scope may stand on either side of the memory.
    if !scoped && !ordered {
        modifiers.choose(SCOPES);
    }
    let change = match first {
        Some(change) => change,
        None => modifiers.require(CHANGES)?,
    };
    let no_flush = change == Change::Add && modifiers.accept("noftz");
    let lanes = if change == Change::Add {
        modifiers.choose(&[("v2", 2), ("v4", 4)]).unwrap_or(1)
    } else {
        1
    };
    let ty = modifiers.ty(if lanes > 1 { &[Type::F32] } else { types_of(change) })?;
    let half = matches!(ty, Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2);
    if no_flush != half {
        return Err("halves are added with .noftz, and only they".into());
    }
    Ok(Atomic { space, change, ty, lanes })
}

impl<'t> Lowering<'_, '_, 't> {
    pub(super) fn atomic(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let atomic = read_modifiers(&mut modifiers)?;
        modifiers.finish()?;
        if !matches!(atomic.space, Space::Generic | Space::Global | Space::Shared) {
            return Err("atomics exist in global and shared memory".into());
        }
        let change = atomic.change;
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
        if atomic.lanes > 1 {
            return self.add_vector(&atomic, target, address, value);
        }
        let ty = atomic.ty;
        let operand = self.read(value, ty)?;
        let swap = swap.map(|swap| self.read(swap, ty)).transpose()?;
        let pointer = self.access(atomic.space, address, ty.bytes(), Intent::Write)?;
        let old = if ty == Type::B128 {
            self.change_wide_word(pointer, operand, swap)
        } else {
            self.change_word(change, ty, pointer, operand, swap)
        };
        self.write(target, ty, old)
    }

    /// Adds to each element of a vector of singles; the vector as a whole is not atomic.
    fn add_vector(
        &mut self,
        atomic: &Atomic,
        target: &Operand<'t>,
        address: &Operand<'t>,
        value: &Operand<'t>,
    ) -> Lowered<()> {
        let values = lanes(value, atomic.lanes)?
            .into_iter()
            .map(|value| self.read(value, Type::F32))
            .collect::<Lowered<Vec<Value>>>()?;
        let targets = match target {
            Operand::Discard => vec![target; atomic.lanes as usize],
            _ => lanes(target, atomic.lanes)?,
        };
        let bytes = Type::F32.bytes() * atomic.lanes;
        let pointer = self.access(atomic.space, address, bytes, Intent::Write)?;
        for ((at, target), value) in (0i64..).zip(targets).zip(values) {
            let element = self.builder.ins().iadd_imm_s(pointer, 4 * at);
            let old = self.call(Helper::AtomicAddF32, &[element, value]);
            self.write(target, Type::F32, old)?;
        }
        Ok(())
    }

    /// 16 bytes at once: exchanged, or with `swap` exchanged where they equal `operand`.
    fn change_wide_word(&mut self, pointer: Value, operand: Value, swap: Option<Value>) -> Value {
        let slot = StackSlotData::new(StackSlotKind::ExplicitSlot, 16, 4);
        let slot = self.builder.create_sized_stack_slot(slot);
        let out = self.builder.ins().stack_addr(types::I64, slot, 0);
        let (low, high) = self.builder.ins().isplit(operand);
        match swap {
            Some(swap) => {
                let (new_low, new_high) = self.builder.ins().isplit(swap);
                let arguments = [pointer, low, high, new_low, new_high, out];
                self.call_for_effect(Helper::AtomicCompare128, &arguments);
            }
            None => self.call_for_effect(Helper::AtomicExchange128, &[pointer, low, high, out]),
        }
        let low = self.builder.ins().stack_load(types::I64, types::I64, slot, 0);
        let high = self.builder.ins().stack_load(types::I64, types::I64, slot, 8);
        self.builder.ins().iconcat(low, high)
    }

    /// Adds halves, one or two in a word.
    fn add_halves(&mut self, ty: Type, pointer: Value, operand: Value) -> Value {
        let helper = match ty {
            Type::F16 => Helper::AtomicAddF16,
            Type::Bf16 => Helper::AtomicAddBf16,
            Type::F16x2 => Helper::AtomicAddF16x2,
            _ => Helper::AtomicAddBf16x2,
        };
        if ty.bytes() == 4 {
            return self.call(helper, &[pointer, operand]);
        }
        let operand = self.builder.ins().uextend(types::I32, operand);
        let old = self.call(helper, &[pointer, operand]);
        self.builder.ins().ireduce(types::I16, old)
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
            (Change::Add, Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2) => {
                return self.add_halves(ty, pointer, operand);
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
