//! Integer arithmetic, with carries and saturation.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Type as Clif, Value, types};

use super::Lowered;
use super::function::{Lowering, clif};
use super::modifiers::Modifiers;
use super::operands::exactly;
use crate::ptx::{Instruction, Type};

const INTEGERS: &[Type] = &[Type::U16, Type::U32, Type::U64, Type::S16, Type::S32, Type::S64];
const SIGNED: &[Type] = &[Type::S16, Type::S32, Type::S64];
/// Types of arithmetic with a carry.
const CARRYING: &[Type] = &[Type::U32, Type::S32, Type::U64, Type::S64];

/// Which part of a product is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Low,
    High,
    /// All of it, in twice the bits.
    Wide,
}

/// The type of twice the bits.
fn doubled(ty: Type) -> Lowered<Type> {
    match ty {
        Type::U16 => Ok(Type::U32),
        Type::S16 => Ok(Type::S32),
        Type::U32 => Ok(Type::U64),
        Type::S32 => Ok(Type::S64),
        _ => Err("there is no type of twice the bits".into()),
    }
}

impl<'t> Lowering<'_, '_, 't> {
    pub(super) fn add(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        if modifiers.accept("cc") {
            // A subtraction adds the complement and one.
            let carry = self.constant(types::I8, u64::from(inst.opcode == "sub"));
            return self.add_carrying(inst, modifiers, carry, true);
        }
        let saturate = modifiers.accept("sat");
        let ty = modifiers.ty(if saturate { &[Type::S32] } else { INTEGERS })?;
        modifiers.finish()?;
        let [target, a, b] = exactly(inst)?;
        let (a, b) = (self.read(a, ty)?, self.read(b, ty)?);
        let subtract = inst.opcode == "sub";
        let value = match (saturate, subtract) {
            (true, _) => self.saturated_sum(a, b, subtract),
            (false, true) => self.builder.ins().isub(a, b),
            (false, false) => self.builder.ins().iadd(a, b),
        };
        self.write(target, ty, value)
    }

    /// The sum of two 32-bit numbers, clamped to 32 bits.
    fn saturated_sum(&mut self, a: Value, b: Value, subtract: bool) -> Value {
        let a = self.builder.ins().sextend(types::I64, a);
        let b = self.builder.ins().sextend(types::I64, b);
        let sum =
            if subtract { self.builder.ins().isub(a, b) } else { self.builder.ins().iadd(a, b) };
        self.clamped_to_i32(sum)
    }

    fn clamped_to_i32(&mut self, wide: Value) -> Value {
        let low = self.builder.ins().iconst(types::I64, i64::from(i32::MIN));
        let high = self.builder.ins().iconst(types::I64, i64::from(i32::MAX));
        let value = self.builder.ins().smax(wide, low);
        let value = self.builder.ins().smin(value, high);
        self.builder.ins().ireduce(types::I32, value)
    }

    /// `addc`, `subc`
    pub(super) fn add_with_carry(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let keep = modifiers.accept("cc");
        let carry = self.use_register(self.carry);
        self.add_carrying(inst, modifiers, carry, keep)
    }

    fn add_carrying(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
        carry: Value,
        keep: bool,
    ) -> Lowered<()> {
        let ty = modifiers.ty(CARRYING)?;
        modifiers.finish()?;
        let [target, a, b] = exactly(inst)?;
        let (a, b) = (self.read(a, ty)?, self.read(b, ty)?);
        let (value, carry) = if inst.opcode.starts_with("sub") {
            self.difference_with_carry(a, b, carry)
        } else {
            self.sum_with_carry(a, b, carry)
        };
        if keep {
            self.define_register(self.carry, carry);
        }
        self.write(target, ty, value)
    }

    /// `a + b + carry`, and whether it wrapped.
    fn sum_with_carry(&mut self, a: Value, b: Value, carry: Value) -> (Value, Value) {
        let ty = self.builder.func.dfg.value_type(a);
        let carry = self.builder.ins().uextend(ty, carry);
        let partial = self.builder.ins().iadd(a, b);
        let first = self.builder.ins().icmp(IntCC::UnsignedLessThan, partial, a);
        let sum = self.builder.ins().iadd(partial, carry);
        let second = self.builder.ins().icmp(IntCC::UnsignedLessThan, sum, partial);
        (sum, self.builder.ins().bor(first, second))
    }

    /// `a - b`, less one unless `carry`, and whether it did not wrap. The ISA speaks of a borrow, but a
    /// device's flag is the carry of `a + !b + carry`: what compilers write for the division of 128-bit
    /// numbers reads it by `addc` after a `subc.cc`.
    fn difference_with_carry(&mut self, a: Value, b: Value, carry: Value) -> (Value, Value) {
        let complement = self.builder.ins().bnot(b);
        self.sum_with_carry(a, complement, carry)
    }

    fn product_half(modifiers: &mut Modifiers<'_, 't>) -> Lowered<Half> {
        modifiers.require(&[("lo", Half::Low), ("hi", Half::High), ("wide", Half::Wide)])
    }

    fn product(&mut self, a: Value, b: Value, ty: Type, half: Half) -> Lowered<Value> {
        Ok(match half {
            Half::Low => self.builder.ins().imul(a, b),
            Half::High if ty.bits() == 16 => {
                let wide = doubled(ty)?;
                let (a, b) = (self.extended(a, ty, clif(wide)), self.extended(b, ty, clif(wide)));
                let product = self.builder.ins().imul(a, b);
                let high = self.builder.ins().ushr_imm_u(product, 16);
                self.builder.ins().ireduce(types::I16, high)
            }
            Half::High if ty.is_signed() => self.builder.ins().smulhi(a, b),
            Half::High => self.builder.ins().umulhi(a, b),
            Half::Wide => {
                let wide = clif(doubled(ty)?);
                let (a, b) = (self.extended(a, ty, wide), self.extended(b, ty, wide));
                self.builder.ins().imul(a, b)
            }
        })
    }

    /// A value of type `ty` in more bits.
    pub(super) fn extended(&mut self, value: Value, ty: Type, wide: Clif) -> Value {
        if clif(ty) == wide {
            value
        } else if ty.is_signed() {
            self.builder.ins().sextend(wide, value)
        } else {
            self.builder.ins().uextend(wide, value)
        }
    }

    pub(super) fn multiply(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let half = Self::product_half(&mut modifiers)?;
        let ty = modifiers.ty(INTEGERS)?;
        modifiers.finish()?;
        let [target, a, b] = exactly(inst)?;
        let (a, b) = (self.read(a, ty)?, self.read(b, ty)?);
        let value = self.product(a, b, ty, half)?;
        let result = if half == Half::Wide { doubled(ty)? } else { ty };
        self.write(target, result, value)
    }

    pub(super) fn multiply_add(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let half = Self::product_half(&mut modifiers)?;
        if modifiers.accept("cc") {
            let zero = self.constant(types::I8, 0);
            return self.multiply_add_carrying(inst, modifiers, half, zero, true);
        }
        let saturate = half == Half::High && modifiers.accept("sat");
        let ty = modifiers.ty(if saturate { &[Type::S32] } else { INTEGERS })?;
        modifiers.finish()?;
        let [target, a, b, c] = exactly(inst)?;
        let (a, b) = (self.read(a, ty)?, self.read(b, ty)?);
        let result = if half == Half::Wide { doubled(ty)? } else { ty };
        let c = self.read(c, result)?;
        let product = self.product(a, b, ty, half)?;
        let value = if saturate {
            self.saturated_sum(product, c, false)
        } else {
            self.builder.ins().iadd(product, c)
        };
        self.write(target, result, value)
    }

    /// `madc`
    pub(super) fn multiply_add_with_carry(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let half = modifiers.require(&[("lo", Half::Low), ("hi", Half::High)])?;
        let keep = modifiers.accept("cc");
        let carry = self.use_register(self.carry);
        self.multiply_add_carrying(inst, modifiers, half, carry, keep)
    }

    fn multiply_add_carrying(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
        half: Half,
        carry: Value,
        keep: bool,
    ) -> Lowered<()> {
        if half == Half::Wide {
            return Err("modifier .wide has no carry".into());
        }
        let ty = modifiers.ty(CARRYING)?;
        modifiers.finish()?;
        let [target, a, b, c] = exactly(inst)?;
        let (a, b, c) = (self.read(a, ty)?, self.read(b, ty)?, self.read(c, ty)?);
        let product = self.product(a, b, ty, half)?;
        let (value, carry) = self.sum_with_carry(product, c, carry);
        if keep {
            self.define_register(self.carry, carry);
        }
        self.write(target, ty, value)
    }

    /// `mul24`, `mad24`: the low or high 32 bits of the 48-bit product of 24-bit numbers.
    pub(super) fn multiply24(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let shift = modifiers.require(&[("lo", 0), ("hi", 16)])?;
        let ty = modifiers.ty(&[Type::U32, Type::S32])?;
        modifiers.finish()?;
        let (target, a, b, c) = match (inst.opcode, inst.operands.as_slice()) {
            ("mul24", [target, a, b]) => (target, a, b, None),
            ("mad24", [target, a, b, c]) => (target, a, b, Some(c)),
            _ => return Err("the number of operands is wrong".into()),
        };
        let mut low24 = |operand| -> Lowered<Value> {
            let value = self.read(operand, ty)?;
            let wide = self.builder.ins().uextend(types::I64, value);
            let top = self.builder.ins().ishl_imm_u(wide, 40);
            Ok(if ty.is_signed() {
                self.builder.ins().sshr_imm_u(top, 40)
            } else {
                self.builder.ins().ushr_imm_u(top, 40)
            })
        };
        let (a, b) = (low24(a)?, low24(b)?);
        let product = self.builder.ins().imul(a, b);
        let part = self.builder.ins().ushr_imm_u(product, shift);
        let mut value = self.builder.ins().ireduce(types::I32, part);
        if let Some(c) = c {
            let c = self.read(c, ty)?;
            value = self.builder.ins().iadd(value, c);
        }
        self.write(target, ty, value)
    }

    /// `div`, `rem`. Division by zero has no defined result in PTX and must not stop the host: the
    /// quotient is all ones and the remainder the dividend, as on a device.
    pub(super) fn divide_integers(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let ty = modifiers.ty(INTEGERS)?;
        modifiers.finish()?;
        let [target, a, b] = exactly(inst)?;
        let (a, b) = (self.read(a, ty)?, self.read(b, ty)?);
        let quotient = inst.opcode == "div";
        let value = if ty.is_signed() {
            self.signed_division(a, b, quotient)
        } else {
            self.unsigned_division(a, b, quotient)
        };
        self.write(target, ty, value)
    }

    fn unsigned_division(&mut self, a: Value, b: Value, quotient: bool) -> Value {
        let ty = self.builder.func.dfg.value_type(a);
        let one = self.constant(ty, 1);
        let by_zero = self.builder.ins().icmp_imm_s(IntCC::Equal, b, 0);
        let safe = self.builder.ins().select(by_zero, one, b);
        if quotient {
            let ones = self.constant(ty, u64::MAX);
            let value = self.builder.ins().udiv(a, safe);
            self.builder.ins().select(by_zero, ones, value)
        } else {
            let value = self.builder.ins().urem(a, safe);
            self.builder.ins().select(by_zero, a, value)
        }
    }

    /// Division by minus one is negation, because the host's division stops where that overflows.
    fn signed_division(&mut self, a: Value, b: Value, quotient: bool) -> Value {
        let ty = self.builder.func.dfg.value_type(a);
        let one = self.constant(ty, 1);
        let by_zero = self.builder.ins().icmp_imm_s(IntCC::Equal, b, 0);
        let by_minus_one = self.builder.ins().icmp_imm_s(IntCC::Equal, b, -1);
        let special = self.builder.ins().bor(by_zero, by_minus_one);
        let safe = self.builder.ins().select(special, one, b);
        if quotient {
            let ones = self.constant(ty, u64::MAX);
            let value = self.builder.ins().sdiv(a, safe);
            let negated = self.builder.ins().ineg(a);
            let value = self.builder.ins().select(by_minus_one, negated, value);
            self.builder.ins().select(by_zero, ones, value)
        } else {
            let value = self.builder.ins().srem(a, safe);
            self.builder.ins().select(by_zero, a, value)
        }
    }

    /// `abs`, `neg`
    pub(super) fn integer_sign(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let ty = modifiers.ty(SIGNED)?;
        modifiers.finish()?;
        let [target, a] = exactly(inst)?;
        let a = self.read(a, ty)?;
        let value = if inst.opcode == "neg" {
            self.builder.ins().ineg(a)
        } else {
            self.builder.ins().iabs(a)
        };
        self.write(target, ty, value)
    }

    /// `min`, `max`
    pub(super) fn integer_extreme(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let ty = modifiers.ty(INTEGERS)?;
        modifiers.finish()?;
        let [target, a, b] = exactly(inst)?;
        let (a, b) = (self.read(a, ty)?, self.read(b, ty)?);
        let value = match (inst.opcode, ty.is_signed()) {
            ("min", true) => self.builder.ins().smin(a, b),
            ("min", false) => self.builder.ins().umin(a, b),
            (_, true) => self.builder.ins().smax(a, b),
            (_, false) => self.builder.ins().umax(a, b),
        };
        self.write(target, ty, value)
    }

    /// `sad d, a, b, c`: `c + |a - b|`
    pub(super) fn absolute_difference(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let ty = modifiers.ty(INTEGERS)?;
        modifiers.finish()?;
        let [target, a, b, c] = exactly(inst)?;
        let (a, b, c) = (self.read(a, ty)?, self.read(b, ty)?, self.read(c, ty)?);
        let order = if ty.is_signed() { IntCC::SignedLessThan } else { IntCC::UnsignedLessThan };
        let smaller = self.builder.ins().icmp(order, a, b);
        let forward = self.builder.ins().isub(a, b);
        let backward = self.builder.ins().isub(b, a);
        let difference = self.builder.ins().select(smaller, backward, forward);
        let value = self.builder.ins().iadd(c, difference);
        self.write(target, ty, value)
    }

    /// `dp4a d, a, b, c`: c plus the products of the four bytes of a and b.
    pub(super) fn dot_product(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let a_type = modifiers.ty(&[Type::U32, Type::S32])?;
        let b_type = modifiers.ty(&[Type::U32, Type::S32])?;
        modifiers.finish()?;
        let [target, a, b, c] = exactly(inst)?;
        let (a, b) = (self.read(a, Type::B32)?, self.read(b, Type::B32)?);
        let mut sum = self.read(c, Type::B32)?;
        for byte in 0..4 {
            let a = self.byte(a, byte, a_type.is_signed());
            let b = self.byte(b, byte, b_type.is_signed());
            let product = self.builder.ins().imul(a, b);
            sum = self.builder.ins().iadd(sum, product);
        }
        self.write(target, Type::B32, sum)
    }

    /// `dp2a d, a, b, c`: c plus the products of the two halves of a and two bytes of b.
    pub(super) fn dot_product_of_pairs(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let first = modifiers.require(&[("lo", 0), ("hi", 2)])?;
        let a_type = modifiers.ty(&[Type::U32, Type::S32])?;
        let b_type = modifiers.ty(&[Type::U32, Type::S32])?;
        modifiers.finish()?;
        let [target, a, b, c] = exactly(inst)?;
        let (a, b) = (self.read(a, Type::B32)?, self.read(b, Type::B32)?);
        let mut sum = self.read(c, Type::B32)?;
        for at in 0..2 {
            let top = self.builder.ins().ishl_imm_u(a, 16 - 16 * at);
            let a = if a_type.is_signed() {
                self.builder.ins().sshr_imm_u(top, 16)
            } else {
                self.builder.ins().ushr_imm_u(top, 16)
            };
            let b = self.byte(b, first + at, b_type.is_signed());
            let product = self.builder.ins().imul(a, b);
            sum = self.builder.ins().iadd(sum, product);
        }
        self.write(target, Type::B32, sum)
    }

    /// One byte of a word, in 32 bits.
    fn byte(&mut self, word: Value, at: i64, signed: bool) -> Value {
        let top = self.builder.ins().ishl_imm_u(word, 24 - 8 * at);
        if signed {
            self.builder.ins().sshr_imm_u(top, 24)
        } else {
            self.builder.ins().ushr_imm_u(top, 24)
        }
    }
}
