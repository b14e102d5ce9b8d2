//! Comparisons: `setp`, `set`, and the test of a float's class.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Value};

use super::Lowered;
use super::function::{Lowering, clif};
use super::modifiers::Modifiers;
use super::operands::exactly;
use crate::ptx::{Instruction, Operand, Type};

const COMPARABLE: &[Type] = &[
    Type::B16,
    Type::B32,
    Type::B64,
    Type::U16,
    Type::U32,
    Type::U64,
    Type::S16,
    Type::S32,
    Type::S64,
    Type::F16,
    Type::Bf16,
    Type::F32,
    Type::F64,
];

/// The word of a comparison, before it is known what is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Lo,
    Ls,
    Hi,
    Hs,
    Equ,
    Neu,
    Ltu,
    Leu,
    Gtu,
    Geu,
    Num,
    Nan,
}

const ORDERS: &[(&str, Order)] = &[
    ("eq", Order::Eq),
    ("ne", Order::Ne),
    ("lt", Order::Lt),
    ("le", Order::Le),
    ("gt", Order::Gt),
    ("ge", Order::Ge),
    ("lo", Order::Lo),
    ("ls", Order::Ls),
    ("hi", Order::Hi),
    ("hs", Order::Hs),
    ("equ", Order::Equ),
    ("neu", Order::Neu),
    ("ltu", Order::Ltu),
    ("leu", Order::Leu),
    ("gtu", Order::Gtu),
    ("geu", Order::Geu),
    ("num", Order::Num),
    ("nan", Order::Nan),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Combine {
    And,
    Or,
    Xor,
}

const COMBINATIONS: &[(&str, Combine)] =
    &[("and", Combine::And), ("or", Combine::Or), ("xor", Combine::Xor)];

fn of_integers(order: Order, ty: Type) -> Option<IntCC> {
    let signed = ty.is_signed();
    Some(match order {
        Order::Eq => IntCC::Equal,
        Order::Ne => IntCC::NotEqual,
        // Bits have no order.
        _ if ty.is_bits() => return None,
        Order::Lt if signed => IntCC::SignedLessThan,
        Order::Le if signed => IntCC::SignedLessThanOrEqual,
        Order::Gt if signed => IntCC::SignedGreaterThan,
        Order::Ge if signed => IntCC::SignedGreaterThanOrEqual,
        Order::Lt | Order::Lo => IntCC::UnsignedLessThan,
        Order::Le | Order::Ls => IntCC::UnsignedLessThanOrEqual,
        Order::Gt | Order::Hi => IntCC::UnsignedGreaterThan,
        Order::Ge | Order::Hs => IntCC::UnsignedGreaterThanOrEqual,
        _ => return None,
    })
}

fn of_floats(order: Order) -> Option<FloatCC> {
    Some(match order {
        Order::Eq => FloatCC::Equal,
        Order::Ne => FloatCC::OrderedNotEqual,
        Order::Lt => FloatCC::LessThan,
        Order::Le => FloatCC::LessThanOrEqual,
        Order::Gt => FloatCC::GreaterThan,
        Order::Ge => FloatCC::GreaterThanOrEqual,
        Order::Equ => FloatCC::UnorderedOrEqual,
        Order::Neu => FloatCC::NotEqual,
        Order::Ltu => FloatCC::UnorderedOrLessThan,
        Order::Leu => FloatCC::UnorderedOrLessThanOrEqual,
        Order::Gtu => FloatCC::UnorderedOrGreaterThan,
        Order::Geu => FloatCC::UnorderedOrGreaterThanOrEqual,
        Order::Num => FloatCC::Ordered,
        Order::Nan => FloatCC::Unordered,
        Order::Lo | Order::Ls | Order::Hi | Order::Hs => return None,
    })
}

impl<'t> Lowering<'_, '_, 't> {
    fn compare(
        &mut self,
        order: Order,
        ty: Type,
        ftz: bool,
        a: &Operand<'t>,
        b: &Operand<'t>,
    ) -> Lowered<Value> {
        let wrong = || "these types cannot be compared so".to_owned();
        if ftz && !matches!(ty, Type::F32 | Type::F16) {
            return Err("modifier .ftz is not supported here".into());
        }
        let (a, b) = (self.read(a, ty)?, self.read(b, ty)?);
        match ty {
            Type::F32 | Type::F64 | Type::F16 | Type::Bf16 => {
                let condition = of_floats(order).ok_or_else(wrong)?;
                let (a, b) = (self.comparable(a, ty, ftz), self.comparable(b, ty, ftz));
                Ok(self.builder.ins().fcmp(condition, a, b))
            }
            _ => {
                let condition = of_integers(order, ty).ok_or_else(wrong)?;
                Ok(self.builder.ins().icmp(condition, a, b))
            }
        }
    }

    /// A float as the host can compare it.
    fn comparable(&mut self, value: Value, ty: Type, ftz: bool) -> Value {
        let value = if ty == Type::F16 {
            self.flushed_half(value, ftz)
        } else {
            self.flushed(value, ty, ftz)
        };
        self.widened(value, ty)
    }

    /// Combines a comparison with the predicate operand `c`.
    fn combined(&mut self, combine: Combine, a: Value, c: &Operand<'t>) -> Lowered<Value> {
        let c = self.read(c, Type::Pred)?;
        Ok(match combine {
            Combine::And => self.builder.ins().band(a, c),
            Combine::Or => self.builder.ins().bor(a, c),
            Combine::Xor => self.builder.ins().bxor(a, c),
        })
    }

    /// `setp`
    pub(super) fn set_predicate(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let order = modifiers.require(ORDERS)?;
        let combine = modifiers.choose(COMBINATIONS);
        let ftz = modifiers.accept("ftz");
        let ty = modifiers.ty(COMPARABLE)?;
        modifiers.finish()?;
        let (targets, a, b, c) = comparison(inst, combine)?;
        let holds = self.compare(order, ty, ftz, a, b)?;
        let (first, second) = match targets {
            Operand::Pair(first, second) => (&**first, Some(&**second)),
            single => (single, None),
        };
        // The second target gets the opposite comparison, combined in the same way.
        let opposite = self.builder.ins().bxor_imm_u(holds, 1);
        let (mut value, mut other) = (holds, opposite);
        if let (Some(combine), Some(c)) = (combine, c) {
            value = self.combined(combine, holds, c)?;
            if second.is_some() {
                other = self.combined(combine, opposite, c)?;
            }
        }
        self.write(first, Type::Pred, value)?;
        match second {
            Some(second) => self.write(second, Type::Pred, other),
            None => Ok(()),
        }
    }

    /// `set`: all ones or 1.0 for true, zero for false.
    pub(super) fn set_value(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let order = modifiers.require(ORDERS)?;
        let combine = modifiers.choose(COMBINATIONS);
        let ftz = modifiers.accept("ftz");
        if let Ok(pair) = modifiers.ty(&[Type::F16x2, Type::Bf16x2]) {
            modifiers.ty(&[pair])?;
            modifiers.finish()?;
            return self.set_pair(inst, order, pair, ftz || combine.is_some());
        }
        let result = modifiers.ty(&[Type::U32, Type::S32, Type::F32, Type::F16, Type::Bf16])?;
        let ty = modifiers.ty(COMPARABLE)?;
        modifiers.finish()?;
        let (target, a, b, c) = comparison(inst, combine)?;
        let mut holds = self.compare(order, ty, ftz, a, b)?;
        if let (Some(combine), Some(c)) = (combine, c) {
            holds = self.combined(combine, holds, c)?;
        }
        let (yes, no) = self.truth(result);
        let value = self.builder.ins().select(holds, yes, no);
        self.write(target, result, value)
    }

    /// What `set` writes for true and for false.
    fn truth(&mut self, ty: Type) -> (Value, Value) {
        let yes = match ty {
            Type::F32 => {
                return (self.builder.ins().f32const(1.0), self.builder.ins().f32const(0.0));
            }
            Type::F16 => 0x3c00,
            Type::Bf16 => 0x3f80,
            _ => u64::MAX,
        };
        (self.constant(clif(ty), yes), self.constant(clif(ty), 0))
    }

    /// `set` of two halves at a time.
    fn set_pair(
        &mut self,
        inst: &Instruction<'t>,
        order: Order,
        pair: Type,
        has_more: bool,
    ) -> Lowered<()> {
        let condition = of_floats(order).ok_or("these types cannot be compared so")?;
        if has_more {
            return Err("this form is not supported for pairs of halves".into());
        }
        let [target, a, b] = exactly(inst)?;
        let (a, b) = (self.read(a, pair)?, self.read(b, pair)?);
        let ty = if pair == Type::F16x2 { Type::F16 } else { Type::Bf16 };
        let (yes, no) = self.truth(ty);
        let [low, high] = [0, 16].map(|shift| {
            let [a, b] = [a, b].map(|both| {
                let half = self.lane(both, shift);
                self.widened(half, ty)
            });
            let holds = self.builder.ins().fcmp(condition, a, b);
            self.builder.ins().select(holds, yes, no)
        });
        let value = self.pair(low, high);
        self.write(target, pair, value)
    }

    /// `testp`
    pub(super) fn test_property(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        const NAMES: &[&str] =
            &["finite", "infinite", "number", "notanumber", "normal", "subnormal"];
        let options: Vec<(&str, usize)> =
            NAMES.iter().enumerate().map(|(at, &name)| (name, at)).collect();
        let property = NAMES[modifiers.require(&options)?];
        let ty = modifiers.ty(&[Type::F32, Type::F64])?;
        modifiers.finish()?;
        let [target, a] = exactly(inst)?;
        let a = self.read(a, ty)?;
        let size = self.builder.ins().fabs(a);
        let infinite = self.float_constant(ty, f64::INFINITY);
        let smallest = self.smallest_normal(ty);
        let zero = self.float_constant(ty, 0.0);
        let mut is = |condition, bound| self.builder.ins().fcmp(condition, size, bound);
        let value = match property {
            "finite" => is(FloatCC::LessThan, infinite),
            "infinite" => is(FloatCC::Equal, infinite),
            "number" => is(FloatCC::Ordered, size),
            "notanumber" => is(FloatCC::Unordered, size),
            "normal" => {
                let (large, finite) =
                    (is(FloatCC::GreaterThanOrEqual, smallest), is(FloatCC::LessThan, infinite));
                self.builder.ins().band(large, finite)
            }
            _ => {
                let (small, some) =
                    (is(FloatCC::LessThan, smallest), is(FloatCC::GreaterThan, zero));
                self.builder.ins().band(small, some)
            }
        };
        self.write(target, Type::Pred, value)
    }
}

/// Target, the two compared operands, and the predicate to combine with.
type Comparison<'i, 't> =
    (&'i Operand<'t>, &'i Operand<'t>, &'i Operand<'t>, Option<&'i Operand<'t>>);

fn comparison<'i, 't>(
    inst: &'i Instruction<'t>,
    combine: Option<Combine>,
) -> Lowered<Comparison<'i, 't>> {
    match (combine, inst.operands.as_slice()) {
        (None, [target, a, b]) => Ok((target, a, b, None)),
        (Some(_), [target, a, b, c]) => Ok((target, a, b, Some(c))),
        _ => Err("the number of operands is wrong".into()),
    }
}
