//! Arithmetic of single and double precision. Rounding to nearest is the host's; the other directions
//! are helpers.

use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};

use super::Lowered;
use super::function::Lowering;
use super::modifiers::Modifiers;
use super::operands::exactly;
use crate::jit::helpers::{Helper, Rounding};
use crate::ptx::{Instruction, Operand, Type};

const FLOATS: &[Type] = &[Type::F32, Type::F64];

/// `.ftz`, `.sat` and the type of an instruction.
#[derive(Clone, Copy)]
struct Form {
    ftz: bool,
    saturate: bool,
    ty: Type,
}

impl<'t> Lowering<'_, '_, 't> {
    /// Emits an arithmetic instruction on floats; false when the opcode is another family's.
    pub(super) fn float(
        &mut self,
        inst: &Instruction<'t>,
        modifiers: Modifiers<'_, 't>,
    ) -> Lowered<bool> {
        match inst.opcode {
            "add" | "sub" | "mul" => self.float_binary(inst, modifiers)?,
            "fma" | "mad" => self.float_fused(inst, modifiers)?,
            "div" => self.float_divide(inst, modifiers)?,
            "rcp" => self.float_reciprocal(inst, modifiers)?,
            "sqrt" => self.float_root(inst, modifiers)?,
            "rsqrt" => self.float_reciprocal_root(inst, modifiers)?,
            "ex2" | "lg2" | "sin" | "cos" | "tanh" => self.float_function(inst, modifiers)?,
            "abs" | "neg" => self.float_sign(inst, modifiers)?,
            "min" | "max" => self.float_extreme(inst, modifiers)?,
            "copysign" => self.float_copy_sign(inst, modifiers)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Reads what follows the rounding, to the last modifier.
    fn form(mut modifiers: Modifiers<'_, 't>, may_saturate: bool) -> Lowered<Form> {
        let ftz = modifiers.accept("ftz");
        let saturate = may_saturate && modifiers.accept("sat");
        let ty = modifiers.ty(if ftz || saturate { &[Type::F32] } else { FLOATS })?;
        modifiers.finish()?;
        Ok(Form { ftz, saturate, ty })
    }

    fn read_float(&mut self, operand: &Operand<'t>, form: Form) -> Lowered<Value> {
        let value = self.read(operand, form.ty)?;
        Ok(self.flushed(value, form.ty, form.ftz))
    }

    fn write_float(&mut self, target: &Operand<'t>, form: Form, value: Value) -> Lowered<()> {
        let value = self.flushed(value, form.ty, form.ftz);
        let value = if form.saturate { self.saturated(value, form.ty) } else { value };
        self.write(target, form.ty, value)
    }

    pub(super) fn float_constant(&mut self, ty: Type, value: f64) -> Value {
        if ty == Type::F64 {
            return self.builder.ins().f64const(value);
        }
        #[expect(clippy::cast_possible_truncation, reason = "the constants used here are exact")]
        let narrow = value as f32;
        self.builder.ins().f32const(narrow)
    }

    pub(super) fn smallest_normal(&mut self, ty: Type) -> Value {
        let value = if ty == Type::F64 { f64::MIN_POSITIVE } else { f64::from(f32::MIN_POSITIVE) };
        self.float_constant(ty, value)
    }

    /// Subnormal values become zeros of their sign, when `ftz` asks for it. Halves are left to the
    /// half family.
    pub(super) fn flushed(&mut self, value: Value, ty: Type, ftz: bool) -> Value {
        if !ftz || !matches!(ty, Type::F32 | Type::F64) {
            return value;
        }
        let size = self.builder.ins().fabs(value);
        let smallest = self.smallest_normal(ty);
        let small = self.builder.ins().fcmp(FloatCC::LessThan, size, smallest);
        let zero = self.float_constant(ty, 0.0);
        let zero = self.builder.ins().fcopysign(zero, value);
        self.builder.ins().select(small, zero, value)
    }

    /// Clamped to 0…1; NaN becomes 0.
    pub(super) fn saturated(&mut self, value: Value, ty: Type) -> Value {
        let (zero, one) = (self.float_constant(ty, 0.0), self.float_constant(ty, 1.0));
        let below_one = self.builder.ins().fcmp(FloatCC::LessThan, value, one);
        let upper = self.builder.ins().select(below_one, value, one);
        let positive = self.builder.ins().fcmp(FloatCC::GreaterThan, value, zero);
        self.builder.ins().select(positive, upper, zero)
    }

    /// Calls a rounding helper: the first of the two is that of single precision.
    fn directed(
        &mut self,
        (single, double): (Helper, Helper),
        form: Form,
        operands: &[Value],
        rounding: Rounding,
    ) -> Value {
        let mut arguments = operands.to_vec();
        arguments.push(self.constant(types::I32, rounding as u64));
        self.call(if form.ty == Type::F32 { single } else { double }, &arguments)
    }

    fn float_binary(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let rounding = modifiers.rounding().unwrap_or(Rounding::Nearest);
        let form = Self::form(modifiers, true)?;
        let [target, a, b] = exactly(inst)?;
        let a = self.read_float(a, form)?;
        let mut b = self.read_float(b, form)?;
        let value = match (inst.opcode, rounding) {
            ("add", Rounding::Nearest) => self.builder.ins().fadd(a, b),
            ("sub", Rounding::Nearest) => self.builder.ins().fsub(a, b),
            ("mul", Rounding::Nearest) => self.builder.ins().fmul(a, b),
            ("mul", _) => self.directed((Helper::MulF32, Helper::MulF64), form, &[a, b], rounding),
            (opcode, _) => {
                if opcode == "sub" {
                    b = self.builder.ins().fneg(b);
                }
                self.directed((Helper::AddF32, Helper::AddF64), form, &[a, b], rounding)
            }
        };
        self.write_float(target, form, value)
    }

    fn float_fused(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let rounding = modifiers.rounding().ok_or("expected a rounding")?;
        let form = Self::form(modifiers, true)?;
        let [target, a, b, c] = exactly(inst)?;
        let a = self.read_float(a, form)?;
        let b = self.read_float(b, form)?;
        let c = self.read_float(c, form)?;
        let value = if rounding == Rounding::Nearest {
            self.builder.ins().fma(a, b, c)
        } else {
            self.directed((Helper::FmaF32, Helper::FmaF64), form, &[a, b, c], rounding)
        };
        self.write_float(target, form, value)
    }

    /// `.approx` and `.full` may be as exact as they like.
    fn float_rounding(modifiers: &mut Modifiers<'_, 't>, fast: &[(&str, ())]) -> Lowered<Rounding> {
        if modifiers.choose(fast).is_some() {
            return Ok(Rounding::Nearest);
        }
        modifiers.rounding().ok_or_else(|| "expected .approx or a rounding".into())
    }

    fn float_divide(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let fast = modifiers.choose(&[("approx", ()), ("full", ())]).is_some();
        let rounding = if fast {
            Rounding::Nearest
        } else {
            modifiers.rounding().ok_or("expected .approx, .full or a rounding")?
        };
        let form = Self::form(modifiers, false)?;
        if fast && form.ty != Type::F32 {
            return Err("there is no approximate division of .f64".into());
        }
        let [target, a, b] = exactly(inst)?;
        let (a, b) = (self.read_float(a, form)?, self.read_float(b, form)?);
        let value = if rounding == Rounding::Nearest {
            self.builder.ins().fdiv(a, b)
        } else {
            self.directed((Helper::DivF32, Helper::DivF64), form, &[a, b], rounding)
        };
        self.write_float(target, form, value)
    }

    fn float_reciprocal(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        if let Some(value) = self.upper_half_function(inst, modifiers, Helper::Reciprocal64)? {
            let [target, _] = exactly(inst)?;
            return self.write(target, Type::F64, value);
        }
        let approximate = modifiers.accept("approx");
        let rounding = if approximate {
            Rounding::Nearest
        } else {
            Self::float_rounding(&mut modifiers, &[])?
        };
        let form = Self::form(modifiers, false)?;
        if approximate && form.ty != Type::F32 {
            return Err("rcp.approx.f64 exists with .ftz only".into());
        }
        let [target, a] = exactly(inst)?;
        let a = self.read_float(a, form)?;
        let one = self.float_constant(form.ty, 1.0);
        let value = if rounding == Rounding::Nearest {
            self.builder.ins().fdiv(one, a)
        } else {
            self.directed((Helper::DivF32, Helper::DivF64), form, &[one, a], rounding)
        };
        self.write_float(target, form, value)
    }

    /// `rcp.approx.ftz.f64` and `rsqrt.approx.ftz.f64`, which see the upper half of their operand.
    fn upper_half_function(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
        helper: Helper,
    ) -> Lowered<Option<Value>> {
        let is_form = modifiers.accept("approx")
            && modifiers.accept("ftz")
            && modifiers.ty(&[Type::F64]).is_ok()
            && modifiers.finish().is_ok();
        if !is_form {
            return Ok(None);
        }
        let [_, a] = exactly(inst)?;
        let a = self.read(a, Type::F64)?;
        Ok(Some(self.call(helper, &[a])))
    }

    fn float_root(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let approximate = modifiers.accept("approx");
        let rounding = if approximate {
            Rounding::Nearest
        } else {
            Self::float_rounding(&mut modifiers, &[])?
        };
        let form = Self::form(modifiers, false)?;
        if approximate && form.ty != Type::F32 {
            return Err("there is no approximate root of .f64".into());
        }
        let [target, a] = exactly(inst)?;
        let a = self.read_float(a, form)?;
        let value = if rounding == Rounding::Nearest {
            self.builder.ins().sqrt(a)
        } else {
            self.directed((Helper::SqrtF32, Helper::SqrtF64), form, &[a], rounding)
        };
        self.write_float(target, form, value)
    }

    fn float_reciprocal_root(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        if let Some(value) = self.upper_half_function(inst, modifiers, Helper::ReciprocalRoot64)? {
            let [target, _] = exactly(inst)?;
            return self.write(target, Type::F64, value);
        }
        modifiers.require(&[("approx", ())])?;
        let form = Self::form(modifiers, false)?;
        let [target, a] = exactly(inst)?;
        let a = self.read_float(a, form)?;
        let root = self.builder.ins().sqrt(a);
        let one = self.float_constant(form.ty, 1.0);
        let value = self.builder.ins().fdiv(one, root);
        self.write_float(target, form, value)
    }

    /// `ex2`, `lg2`, `sin`, `cos`, `tanh`
    fn float_function(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let (helper, may_flush) = match inst.opcode {
            "ex2" => (Helper::Exp2, true),
            "lg2" => (Helper::Log2, true),
            "sin" => (Helper::Sine, true),
            "cos" => (Helper::Cosine, true),
            _ => (Helper::Tanh, false),
        };
        modifiers.require(&[("approx", ())])?;
        let ftz = may_flush && modifiers.accept("ftz");
        let ty = modifiers.ty(&[Type::F32])?;
        modifiers.finish()?;
        let form = Form { ftz, saturate: false, ty };
        let [target, a] = exactly(inst)?;
        let a = self.read_float(a, form)?;
        let value = self.call(helper, &[a]);
        self.write_float(target, form, value)
    }

    fn float_sign(&mut self, inst: &Instruction<'t>, modifiers: Modifiers<'_, 't>) -> Lowered<()> {
        let form = Self::form(modifiers, false)?;
        let [target, a] = exactly(inst)?;
        let a = self.read_float(a, form)?;
        let value = if inst.opcode == "neg" {
            self.builder.ins().fneg(a)
        } else {
            self.builder.ins().fabs(a)
        };
        self.write(target, form.ty, value)
    }

    fn float_extreme(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let ftz = modifiers.accept("ftz");
        let spread_nan = modifiers.accept("NaN");
        let ty = modifiers.ty(if ftz || spread_nan { &[Type::F32] } else { FLOATS })?;
        modifiers.finish()?;
        let form = Form { ftz, saturate: false, ty };
        let [target, a, b] = exactly(inst)?;
        let (a, b) = (self.read_float(a, form)?, self.read_float(b, form)?);
        let value = self.extreme(a, b, inst.opcode == "min", spread_nan);
        self.write(target, ty, value)
    }

    /// The smaller or larger of two floats. Of a number and a NaN it is the number, unless NaN spreads;
    /// minus zero is smaller than plus zero.
    pub(super) fn extreme(&mut self, a: Value, b: Value, smaller: bool, spread_nan: bool) -> Value {
        let value =
            if smaller { self.builder.ins().fmin(a, b) } else { self.builder.ins().fmax(a, b) };
        if spread_nan {
            return value;
        }
        let a_is_nan = self.builder.ins().fcmp(FloatCC::Unordered, a, a);
        let b_is_nan = self.builder.ins().fcmp(FloatCC::Unordered, b, b);
        let value = self.builder.ins().select(b_is_nan, a, value);
        self.builder.ins().select(a_is_nan, b, value)
    }

    /// `copysign d, a, b`: the size of b with the sign of a.
    fn float_copy_sign(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let ty = modifiers.ty(FLOATS)?;
        modifiers.finish()?;
        let [target, sign, size] = exactly(inst)?;
        let (sign, size) = (self.read(sign, ty)?, self.read(size, ty)?);
        let value = self.builder.ins().fcopysign(size, sign);
        self.write(target, ty, value)
    }

    /// A half or bfloat as the single that it is; other floats stay.
    pub(super) fn widened(&mut self, value: Value, ty: Type) -> Value {
        match ty {
            Type::F16 => {
                let bits = self.builder.ins().uextend(types::I32, value);
                self.call(Helper::F16ToF32, &[bits])
            }
            Type::Bf16 => {
                let bits = self.builder.ins().uextend(types::I32, value);
                let bits = self.builder.ins().ishl_imm_u(bits, 16);
                self.builder.ins().bitcast(types::F32, MemFlagsData::new(), bits)
            }
            _ => value,
        }
    }
}
