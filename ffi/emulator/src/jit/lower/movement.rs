//! `mov`, with packing and unpacking, and the selections.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Value};

use super::Lowered;
use super::function::{Lowering, clif};
use super::modifiers::Modifiers;
use super::operands::exactly;
use crate::ptx::{Instruction, Operand, Type};

const WORDS: &[Type] = &[
    Type::B16,
    Type::B32,
    Type::B64,
    Type::U16,
    Type::U32,
    Type::U64,
    Type::S16,
    Type::S32,
    Type::S64,
    Type::F32,
    Type::F64,
];

/// The bits that make up `1/parts` of a value of type `ty`.
fn part(ty: Type, parts: usize) -> Lowered<Type> {
    match (ty.bits() as usize, parts) {
        (128, 2) => Ok(Type::B64),
        (64, 2) => Ok(Type::B32),
        (64, 4) | (32, 2) => Ok(Type::B16),
        (32, 4) | (16, 2) => Ok(Type::B8),
        _ => Err(format!("a value of {} bits has no {parts} parts", ty.bits())),
    }
}

impl<'t> Lowering<'_, '_, 't> {
    pub(super) fn mov(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let mut types = WORDS.to_vec();
        types.extend([Type::Pred, Type::B128, Type::F16, Type::F16x2, Type::Bf16, Type::Bf16x2]);
        let ty = modifiers.ty(&types)?;
        modifiers.finish()?;
        let [target, source] = exactly(inst)?;
        if let Operand::Vector(parts) = target {
            return self.unpack(parts, ty, source);
        }
        let value = match source {
            Operand::Vector(parts) => self.pack(parts, ty)?,
            Operand::Name(name) if self.register(name).is_none() && self.place(name).is_some() => {
                self.address_value(name, 0, ty)?
            }
            Operand::Name(name) if self.register(name).is_none() && !name.starts_with('%') => {
                self.function_value(name, ty)?
            }
            Operand::Offset(name, offset) => self.address_value(name, *offset, ty)?,
            _ => self.read(source, ty)?,
        };
        self.write(target, ty, value)
    }

    fn address_value(&mut self, name: &'t str, offset: i64, ty: Type) -> Lowered<Value> {
        let address = self.address_of(name, offset)?;
        match ty {
            Type::U64 | Type::B64 | Type::S64 => Ok(address),
            Type::U32 | Type::B32 | Type::S32 => Ok(self.builder.ins().ireduce(clif(ty), address)),
            _ => Err("an address has 32 or 64 bits".into()),
        }
    }

    /// The address of a function.
    fn function_value(&mut self, name: &'t str, ty: Type) -> Lowered<Value> {
        if name == "WARP_SZ" {
            return self.read(&Operand::Name(name), ty);
        }
        let Some(address) = self.unit.function_address(name) else {
            return Err(format!("{name} is not declared or not supported"));
        };
        match ty {
            Type::U64 | Type::B64 | Type::S64 => Ok(self.constant(clif(ty), address)),
            _ => Err("the address of a function has 64 bits".into()),
        }
    }

    fn pack(&mut self, parts: &[Operand<'t>], ty: Type) -> Lowered<Value> {
        let part = part(ty, parts.len())?;
        let wide = bits_of(ty);
        let mut packed: Option<Value> = None;
        for (at, operand) in (0i64..).zip(parts) {
            let value = self.read(operand, part)?;
            let value = self.builder.ins().uextend(clif(wide), value);
            let value = self.builder.ins().ishl_imm_u(value, at * i64::from(part.bits()));
            packed = Some(match packed {
                Some(others) => self.builder.ins().bor(others, value),
                None => value,
            });
        }
        let packed = packed.ok_or("there is nothing to pack")?;
        Ok(self.same_bits(packed, ty))
    }

    fn unpack(&mut self, parts: &[Operand<'t>], ty: Type, source: &Operand<'t>) -> Lowered<()> {
        let part = part(ty, parts.len())?;
        let value = self.read(source, ty)?;
        let value = self.same_bits(value, bits_of(ty));
        for (at, target) in (0i64..).zip(parts) {
            let shifted = self.builder.ins().ushr_imm_u(value, at * i64::from(part.bits()));
            let piece = self.builder.ins().ireduce(clif(part), shifted);
            self.write(target, part, piece)?;
        }
        Ok(())
    }

    /// `selp d, a, b, p`: a where p holds.
    pub(super) fn select(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let ty = modifiers.ty(WORDS)?;
        modifiers.finish()?;
        let [target, a, b, predicate] = exactly(inst)?;
        let a = self.read(a, ty)?;
        let b = self.read(b, ty)?;
        let predicate = self.read(predicate, Type::Pred)?;
        let value = self.builder.ins().select(predicate, a, b);
        self.write(target, ty, value)
    }

    /// `slct d, a, b, c`: a where c is not negative.
    pub(super) fn select_by_sign(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let ftz = modifiers.accept("ftz");
        let ty = modifiers.ty(WORDS)?;
        let by = modifiers.ty(&[Type::S32, Type::F32])?;
        if ftz && by != Type::F32 {
            return Err("modifier .ftz is not supported here".into());
        }
        modifiers.finish()?;
        let [target, a, b, c] = exactly(inst)?;
        let (a, b, c) = (self.read(a, ty)?, self.read(b, ty)?, self.read(c, by)?);
        let condition = if by == Type::F32 {
            let c = self.flushed(c, Type::F32, ftz);
            let zero = self.builder.ins().f32const(0.0);
            self.builder.ins().fcmp(FloatCC::GreaterThanOrEqual, c, zero)
        } else {
            self.builder.ins().icmp_imm_s(IntCC::SignedGreaterThanOrEqual, c, 0)
        };
        let value = self.builder.ins().select(condition, a, b);
        self.write(target, ty, value)
    }
}

/// The bits of a type's size.
pub(super) fn bits_of(ty: Type) -> Type {
    match ty.bytes() {
        1 => Type::B8,
        2 => Type::B16,
        4 => Type::B32,
        8 => Type::B64,
        _ => Type::B128,
    }
}
