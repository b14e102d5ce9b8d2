//! Arithmetic of half precision and bfloats, one or two at a time. The host computes in single
//! precision, which is wide enough for sums and products of halves to be rounded once more without a
//! trace; fused products have helpers, and the approximate functions those of single precision.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};

use super::Lowered;
use super::function::Lowering;
use super::modifiers::Modifiers;
use super::operands::exactly;
use crate::jit::helpers::{Eighth, Helper, Rounding};
use crate::ptx::{Instruction, Operand, Type};

const HALVES: &[Type] = &[Type::F16, Type::F16x2, Type::Bf16, Type::Bf16x2];

/// The type of one number of the two.
fn single(ty: Type) -> Type {
    match ty {
        Type::F16 | Type::F16x2 => Type::F16,
        _ => Type::Bf16,
    }
}

/// An instruction on halves, its modifiers understood.
#[derive(Clone, Copy)]
struct Form {
    ty: Type,
    /// Subnormal halves count as zeros of their sign.
    ftz: bool,
    saturate: bool,
    relu: bool,
    spread_nan: bool,
}

impl<'t> Lowering<'_, '_, 't> {
    /// Emits an arithmetic instruction on halves; false when the opcode is another family's.
    pub(super) fn half(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<bool> {
        let sources = match inst.opcode {
            "abs" | "neg" => 1,
            "add" | "sub" | "mul" | "min" | "max" => 2,
            "fma" => 3,
            "ex2" | "tanh" => return self.half_function(inst, modifiers),
            _ => return Ok(false),
        };
        let rounds = matches!(inst.opcode, "add" | "sub" | "mul" | "fma");
        if rounds {
            modifiers.accept("rn");
        }
        let ftz = modifiers.accept("ftz");
        let saturate = rounds && modifiers.accept("sat");
        let relu = inst.opcode == "fma" && !saturate && modifiers.accept("relu");
        let spread_nan = matches!(inst.opcode, "min" | "max") && modifiers.accept("NaN");
        let ty = modifiers.ty(HALVES)?;
        modifiers.finish()?;
        if (ftz || saturate) && single(ty) == Type::Bf16 {
            return Err("modifiers .ftz and .sat are not those of .bf16".into());
        }
        let form = Form { ty, ftz, saturate, relu, spread_nan };
        let Some((target, operands)) = inst.operands.split_first() else {
            return Err("expected operands".into());
        };
        if operands.len() != sources {
            return Err("the number of operands is wrong".into());
        }
        let values: Vec<Value> =
            operands.iter().map(|operand| self.read(operand, ty)).collect::<Lowered<_>>()?;
        let value = if ty == single(ty) {
            self.half_operation(inst.opcode, &values, form)
        } else {
            let low: Vec<Value> = values.iter().map(|&value| self.lane(value, 0)).collect();
            let high: Vec<Value> = values.iter().map(|&value| self.lane(value, 16)).collect();
            let low = self.half_operation(inst.opcode, &low, form);
            let high = self.half_operation(inst.opcode, &high, form);
            self.pair(low, high)
        };
        self.write(target, ty, value)?;
        Ok(true)
    }

    /// `ex2` and `tanh`, `.approx`.
    fn half_function(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<bool> {
        modifiers.require(&[("approx", ())])?;
        let exponential = inst.opcode == "ex2";
        let ftz = exponential && modifiers.accept("ftz");
        let ty = modifiers.ty(HALVES)?;
        modifiers.finish()?;
        // The ISA flushes where the exponent is that of a single, and only there.
        if exponential && ftz != (single(ty) == Type::Bf16) {
            return Err("ex2 of .bf16 has .ftz, that of .f16 has not".into());
        }
        let helper = if exponential { Helper::Exp2 } else { Helper::Tanh };
        let [target, a] = exactly(inst)?;
        let a = self.read(a, ty)?;
        let one = |this: &mut Self, half: Value| {
            let wide = this.widened(half, single(ty));
            let wide = this.flushed(wide, Type::F32, ftz);
            let value = this.call(helper, &[wide]);
            let value = this.flushed(value, Type::F32, ftz);
            this.narrowed(value, single(ty), Rounding::Nearest)
        };
        let value = if ty == single(ty) {
            one(self, a)
        } else {
            let (low, high) = (self.lane(a, 0), self.lane(a, 16));
            let (low, high) = (one(self, low), one(self, high));
            self.pair(low, high)
        };
        self.write(target, ty, value)?;
        Ok(true)
    }

    /// A half with `.ftz`: below the smallest normal number it is a zero of its sign.
    pub(super) fn flushed_half(&mut self, value: Value, ftz: bool) -> Value {
        if !ftz {
            return value;
        }
        let exponent = self.builder.ins().band_imm_u(value, 0x7c00);
        let sign = self.builder.ins().band_imm_u(value, 0x8000);
        let small = self.builder.ins().icmp_imm_s(IntCC::Equal, exponent, 0);
        self.builder.ins().select(small, sign, value)
    }

    /// One half of a word: the lower at shift 0, the upper at 16.
    pub(super) fn lane(&mut self, value: Value, shift: i64) -> Value {
        let shifted = self.builder.ins().ushr_imm_u(value, shift);
        self.builder.ins().ireduce(types::I16, shifted)
    }

    /// Two halves in one word.
    pub(super) fn pair(&mut self, low: Value, high: Value) -> Value {
        let low = self.builder.ins().uextend(types::I32, low);
        let high = self.builder.ins().uextend(types::I32, high);
        let high = self.builder.ins().ishl_imm_u(high, 16);
        self.builder.ins().bor(high, low)
    }

    /// One operation on 16-bit values.
    fn half_operation(&mut self, opcode: &str, operands: &[Value], form: Form) -> Value {
        let ty = single(form.ty);
        let operands: Vec<Value> =
            operands.iter().map(|&value| self.flushed_half(value, form.ftz)).collect();
        match (opcode, operands.as_slice()) {
            ("neg", &[a]) => return self.builder.ins().bxor_imm_u(a, 0x8000),
            ("abs", &[a]) => return self.builder.ins().band_imm_u(a, 0x7fff),
            ("fma", &[a, b, c]) => {
                let value = self.half_fused(a, b, c, ty);
                return self.half_limits(value, form);
            }
            // A product of bfloats may be smaller than any single.
            ("mul", &[a, b]) if ty == Type::Bf16 => {
                let zero = self.constant(types::I16, 0x8000);
                let value = self.half_fused(a, b, zero, ty);
                return self.half_limits(value, form);
            }
            _ => {}
        }
        let (a, b) = (self.widened(operands[0], ty), self.widened(operands[1], ty));
        let wide = match opcode {
            "add" => self.builder.ins().fadd(a, b),
            "sub" => self.builder.ins().fsub(a, b),
            "mul" => self.builder.ins().fmul(a, b),
            _ => self.extreme(a, b, opcode == "min", form.spread_nan),
        };
        let value = self.narrowed(wide, ty, Rounding::Nearest);
        self.half_limits(value, form)
    }

    fn half_fused(&mut self, a: Value, b: Value, c: Value, ty: Type) -> Value {
        let helper = if ty == Type::F16 { Helper::F16Fma } else { Helper::Bf16Fma };
        let operands = [a, b, c].map(|value| self.builder.ins().uextend(types::I32, value));
        let value = self.call(helper, &operands);
        self.builder.ins().ireduce(types::I16, value)
    }

    /// `.sat` and `.relu`
    fn half_limits(&mut self, value: Value, form: Form) -> Value {
        let value = self.flushed_half(value, form.ftz);
        if !form.saturate && !form.relu {
            return value;
        }
        let ty = single(form.ty);
        let wide = self.widened(value, ty);
        let limited = if form.saturate {
            self.saturated(wide, Type::F32)
        } else {
            let zero = self.float_constant(Type::F32, 0.0);
            self.extreme(wide, zero, false, true)
        };
        self.narrowed(limited, ty, Rounding::Nearest)
    }

    /// A single as a half or bfloat.
    pub(super) fn narrowed(&mut self, value: Value, ty: Type, rounding: Rounding) -> Value {
        let helper = if ty == Type::F16 { Helper::F32ToF16 } else { Helper::F32ToBf16 };
        let rounding = self.constant(types::I32, rounding as u64);
        let bits = self.call(helper, &[value, rounding]);
        self.builder.ins().ireduce(types::I16, bits)
    }

    /// `cvt.rn.f16x2.f32 d, a, b`: a becomes the upper half.
    pub(super) fn convert_pair(
        &mut self,
        inst: &Instruction<'t>,
        ty: Type,
        rounding: Rounding,
        relu: bool,
    ) -> Lowered<()> {
        let [target, high, low] = exactly(inst)?;
        let high = self.narrowed_operand(high, single(ty), rounding, relu)?;
        let low = self.narrowed_operand(low, single(ty), rounding, relu)?;
        let both = self.pair(low, high);
        self.write(target, ty, both)
    }

    /// `cvt` to two numbers of 8 bits: from two singles, of which the first becomes the upper, or from
    /// two halves.
    pub(super) fn convert_to_eighths(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
        eighth: Eighth,
        relu: bool,
    ) -> Lowered<()> {
        let from = modifiers.ty(&[Type::F32, Type::F16x2])?;
        modifiers.finish()?;
        let (target, high, low) = if from == Type::F32 {
            let [target, high, low] = exactly(inst)?;
            (target, self.read(high, Type::F32)?, self.read(low, Type::F32)?)
        } else {
            let [target, both] = exactly(inst)?;
            let both = self.read(both, Type::F16x2)?;
            let (high, low) = (self.lane(both, 16), self.lane(both, 0));
            (target, self.widened(high, Type::F16), self.widened(low, Type::F16))
        };
        let kind = self.constant(types::I32, eighth as u64);
        let [high, low] = [high, low].map(|mut value| {
            if relu {
                let zero = self.float_constant(Type::F32, 0.0);
                value = self.extreme(value, zero, false, true);
            }
            self.call(Helper::F32ToEighth, &[value, kind])
        });
        let high = self.builder.ins().ishl_imm_u(high, 8);
        let both = self.builder.ins().bor(high, low);
        let both = self.builder.ins().ireduce(types::I16, both);
        self.write(target, Type::B16, both)
    }

    /// `cvt` from two numbers of 8 bits to two halves.
    pub(super) fn convert_from_eighths(
        &mut self,
        inst: &Instruction<'t>,
        eighth: Eighth,
        relu: bool,
    ) -> Lowered<()> {
        let [target, source] = exactly(inst)?;
        let both = self.read(source, Type::B16)?;
        let both = self.builder.ins().uextend(types::I32, both);
        let kind = self.constant(types::I32, eighth as u64);
        let form = Form { ty: Type::F16x2, ftz: false, saturate: false, relu, spread_nan: false };
        let [low, high] = [0, 8].map(|shift| {
            let byte = self.builder.ins().ushr_imm_u(both, shift);
            let bits = self.call(Helper::EighthToF16, &[byte, kind]);
            let half = self.builder.ins().ireduce(types::I16, bits);
            self.half_limits(half, form)
        });
        let value = self.pair(low, high);
        self.write(target, Type::F16x2, value)
    }

    fn narrowed_operand(
        &mut self,
        operand: &Operand<'t>,
        ty: Type,
        rounding: Rounding,
        relu: bool,
    ) -> Lowered<Value> {
        let mut value = self.read(operand, Type::F32)?;
        if relu {
            let zero = self.float_constant(Type::F32, 0.0);
            value = self.extreme(value, zero, false, true);
        }
        Ok(self.narrowed(value, ty, rounding))
    }
}
