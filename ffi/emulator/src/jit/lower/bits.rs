//! Logic, shifts, bit counts and bit fields.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};

use super::Lowered;
use super::function::{Lowering, clif};
use super::modifiers::Modifiers;
use super::operands::exactly;
use crate::jit::helpers::Helper;
use crate::ptx::{Instruction, Operand, Type};

const BITS: &[Type] = &[Type::B16, Type::B32, Type::B64];
const WIDE_BITS: &[Type] = &[Type::B32, Type::B64];
const WIDE_INTEGERS: &[Type] = &[Type::U32, Type::U64, Type::S32, Type::S64];

impl<'t> Lowering<'_, '_, 't> {
    /// `and`, `or`, `xor`
    pub(super) fn logic(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let ty = modifiers.ty(&[Type::Pred, Type::B16, Type::B32, Type::B64])?;
        modifiers.finish()?;
        let [target, a, b] = exactly(inst)?;
        let (a, b) = (self.read(a, ty)?, self.read(b, ty)?);
        let value = match inst.opcode {
            "and" => self.builder.ins().band(a, b),
            "or" => self.builder.ins().bor(a, b),
            _ => self.builder.ins().bxor(a, b),
        };
        self.write(target, ty, value)
    }

    /// `not`
    pub(super) fn invert(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let ty = modifiers.ty(&[Type::Pred, Type::B16, Type::B32, Type::B64])?;
        modifiers.finish()?;
        let [target, a] = exactly(inst)?;
        let a = self.read(a, ty)?;
        let value = if ty == Type::Pred {
            self.builder.ins().bxor_imm_u(a, 1)
        } else {
            self.builder.ins().bnot(a)
        };
        self.write(target, ty, value)
    }

    /// `cnot`: one for zero, zero for the rest.
    pub(super) fn logical_not(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let ty = modifiers.ty(BITS)?;
        modifiers.finish()?;
        let [target, a] = exactly(inst)?;
        let a = self.read(a, ty)?;
        let zero = self.builder.ins().icmp_imm_s(IntCC::Equal, a, 0);
        let value = self.builder.ins().uextend(clif(ty), zero);
        self.write(target, ty, value)
    }

    /// `lop3`: any function of three bits, given by its table.
    pub(super) fn logic3(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        modifiers.ty(&[Type::B32])?;
        modifiers.finish()?;
        let [target, a, b, c, Operand::Integer(table)] = exactly(inst)? else {
            return Err("expected the table as a number".into());
        };
        let inputs = [self.read(a, Type::B32)?, self.read(b, Type::B32)?, self.read(c, Type::B32)?];
        let mut value = self.constant(types::I32, 0);
        for row in 0..8u32 {
            if table >> row & 1 == 0 {
                continue;
            }
            let mut term = self.constant(types::I32, u64::from(u32::MAX));
            for (bit, input) in [4, 2, 1].into_iter().zip(inputs) {
                term = if row & bit != 0 {
                    self.builder.ins().band(term, input)
                } else {
                    self.builder.ins().band_not(term, input)
                };
            }
            value = self.builder.ins().bor(value, term);
        }
        self.write(target, Type::B32, value)
    }

    /// `shl`, `shr`. Amounts past the width shift everything out, unlike on the host.
    pub(super) fn shift(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let left = inst.opcode == "shl";
        let ty = if left {
            modifiers.ty(BITS)?
        } else {
            modifiers.ty(&[
                Type::B16,
                Type::B32,
                Type::B64,
                Type::U16,
                Type::U32,
                Type::U64,
                Type::S16,
                Type::S32,
                Type::S64,
            ])?
        };
        modifiers.finish()?;
        let [target, a, amount] = exactly(inst)?;
        let a = self.read(a, ty)?;
        let value = if let Operand::Integer(amount) = amount {
            self.shift_by_constant(a, ty, left, u32::try_from(*amount & 0xffff_ffff).unwrap_or(0))
        } else {
            let amount = self.read(amount, Type::U32)?;
            self.shift_by(a, ty, left, amount)
        };
        self.write(target, ty, value)
    }

    fn shift_by_constant(&mut self, a: Value, ty: Type, left: bool, amount: u32) -> Value {
        let inside = i64::from(amount.min(ty.bits() - 1));
        if ty.is_signed() {
            return self.builder.ins().sshr_imm_u(a, inside);
        }
        if amount >= ty.bits() {
            return self.constant(clif(ty), 0);
        }
        if left {
            self.builder.ins().ishl_imm_u(a, inside)
        } else {
            self.builder.ins().ushr_imm_u(a, inside)
        }
    }

    fn shift_by(&mut self, a: Value, ty: Type, left: bool, amount: Value) -> Value {
        let last = self.constant(types::I32, u64::from(ty.bits() - 1));
        if ty.is_signed() {
            let inside = self.builder.ins().umin(amount, last);
            return self.builder.ins().sshr(a, inside);
        }
        let outside = self.builder.ins().icmp(IntCC::UnsignedGreaterThan, amount, last);
        let zero = self.constant(clif(ty), 0);
        let value = if left {
            self.builder.ins().ishl(a, amount)
        } else {
            self.builder.ins().ushr(a, amount)
        };
        self.builder.ins().select(outside, zero, value)
    }

    /// `shf`: a shift of two words together, of which one comes out.
    pub(super) fn funnel_shift(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let left = modifiers.require(&[("l", true), ("r", false)])?;
        let clamp = modifiers.require(&[("clamp", true), ("wrap", false)])?;
        modifiers.ty(&[Type::B32])?;
        modifiers.finish()?;
        let [target, low, high, amount] = exactly(inst)?;
        let low = self.read(low, Type::B32)?;
        let high = self.read(high, Type::B32)?;
        let amount = self.read(amount, Type::U32)?;
        let amount = if clamp {
            let limit = self.constant(types::I32, 32);
            self.builder.ins().umin(amount, limit)
        } else {
            self.builder.ins().band_imm_u(amount, 31)
        };
        let low = self.builder.ins().uextend(types::I64, low);
        let high = self.builder.ins().uextend(types::I64, high);
        let high = self.builder.ins().ishl_imm_u(high, 32);
        let both = self.builder.ins().bor(high, low);
        let value = if left {
            let shifted = self.builder.ins().ishl(both, amount);
            self.builder.ins().ushr_imm_u(shifted, 32)
        } else {
            self.builder.ins().ushr(both, amount)
        };
        let value = self.builder.ins().ireduce(types::I32, value);
        self.write(target, Type::B32, value)
    }

    /// `popc`, `clz`, `brev`
    pub(super) fn count_bits(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let ty = modifiers.ty(WIDE_BITS)?;
        modifiers.finish()?;
        let [target, a] = exactly(inst)?;
        let a = self.read(a, ty)?;
        let value = match inst.opcode {
            "popc" => self.builder.ins().popcnt(a),
            "clz" => self.builder.ins().clz(a),
            _ => {
                let value = self.builder.ins().bitrev(a);
                return self.write(target, ty, value);
            }
        };
        let value =
            if ty == Type::B64 { self.builder.ins().ireduce(types::I32, value) } else { value };
        self.write(target, Type::U32, value)
    }

    /// A 32-bit or 64-bit value in 64 bits.
    fn in_64_bits(&mut self, value: Value) -> Value {
        if self.builder.func.dfg.value_type(value) == types::I64 {
            return value;
        }
        self.builder.ins().uextend(types::I64, value)
    }

    fn out_of_64_bits(&mut self, value: Value, ty: Type) -> Value {
        if ty.bits() == 64 { value } else { self.builder.ins().ireduce(clif(ty), value) }
    }

    /// `bfind`
    pub(super) fn find_bit(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let as_shift = modifiers.accept("shiftamt");
        let ty = modifiers.ty(WIDE_INTEGERS)?;
        modifiers.finish()?;
        let [target, a] = exactly(inst)?;
        let a = self.read(a, ty)?;
        let a = self.in_64_bits(a);
        let settings = [u64::from(ty.bits()), u64::from(ty.is_signed()), u64::from(as_shift)];
        let [width, signed, as_shift] = settings.map(|value| self.constant(types::I32, value));
        let value = self.call(Helper::FindHighest, &[a, width, signed, as_shift]);
        self.write(target, Type::U32, value)
    }

    /// `bfe`
    pub(super) fn extract_field(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let ty = modifiers.ty(WIDE_INTEGERS)?;
        modifiers.finish()?;
        let [target, a, position, length] = exactly(inst)?;
        let a = self.read(a, ty)?;
        let a = self.in_64_bits(a);
        let position = self.read(position, Type::U32)?;
        let length = self.read(length, Type::U32)?;
        let width = self.constant(types::I32, u64::from(ty.bits()));
        let signed = self.constant(types::I32, u64::from(ty.is_signed()));
        let value = self.call(Helper::Extract, &[a, position, length, width, signed]);
        let value = self.out_of_64_bits(value, ty);
        self.write(target, ty, value)
    }

    /// `bfi`
    pub(super) fn insert_field(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let ty = modifiers.ty(WIDE_BITS)?;
        modifiers.finish()?;
        let [target, field, base, position, length] = exactly(inst)?;
        let field = self.read(field, ty)?;
        let field = self.in_64_bits(field);
        let base = self.read(base, ty)?;
        let base = self.in_64_bits(base);
        let position = self.read(position, Type::U32)?;
        let length = self.read(length, Type::U32)?;
        let width = self.constant(types::I32, u64::from(ty.bits()));
        let value = self.call(Helper::Insert, &[field, base, position, length, width]);
        let value = self.out_of_64_bits(value, ty);
        self.write(target, ty, value)
    }

    /// `prmt`
    pub(super) fn permute(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        modifiers.ty(&[Type::B32])?;
        let modes = [("f4e", 1), ("b4e", 2), ("rc8", 3), ("ecl", 4), ("ecr", 5), ("rc16", 6)];
        let mode = modifiers.choose(&modes).unwrap_or(0);
        modifiers.finish()?;
        let [target, a, b, select] = exactly(inst)?;
        let a = self.read(a, Type::B32)?;
        let b = self.read(b, Type::B32)?;
        let select = self.read(select, Type::B32)?;
        let mode = self.constant(types::I32, mode);
        let value = self.call(Helper::Permute, &[a, b, select, mode]);
        self.write(target, Type::B32, value)
    }
}
