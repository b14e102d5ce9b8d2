//! `cvt`: between all types, with rounding and saturation.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Value, types};

use super::Lowered;
use super::function::{Lowering, clif};
use super::modifiers::Modifiers;
use super::operands::exactly;
use crate::jit::helpers::{Eighth, Helper, Rounding};
use crate::ptx::{Instruction, Type};

/// The types of single values that are converted.
const CONVERTIBLE: &[Type] = &[
    Type::U8,
    Type::U16,
    Type::U32,
    Type::U64,
    Type::S8,
    Type::S16,
    Type::S32,
    Type::S64,
    Type::F16,
    Type::Bf16,
    Type::F32,
    Type::F64,
];

/// What a `cvt` says before its types.
#[derive(Clone, Copy)]
struct Manner {
    /// `.rn`, `.rz`, `.rm`, `.rp`: to a float.
    rounding: Option<Rounding>,
    /// `.rni`, `.rzi`, `.rmi`, `.rpi`: to an integer.
    integral: Option<Rounding>,
    ftz: bool,
    saturate: bool,
    relu: bool,
}

/// The words for two numbers of 8 bits.
pub(super) const EIGHTHS: &[(&str, Eighth)] = &[("e4m3x2", Eighth::E4m3), ("e5m2x2", Eighth::E5m2)];

/// Takes `.f16x2` when two numbers of 8 bits become that.
fn from_eighths(modifiers: &mut Modifiers<'_, '_>) -> Option<Eighth> {
    let mut ahead = *modifiers;
    ahead.ty(&[Type::F16x2]).ok()?;
    let eighth = ahead.choose(EIGHTHS)?;
    *modifiers = ahead;
    Some(eighth)
}

fn is_float(ty: Type) -> bool {
    matches!(ty, Type::F16 | Type::Bf16 | Type::F32 | Type::F64)
}

impl<'t> Lowering<'_, '_, 't> {
    pub(super) fn convert(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let integral = modifiers.choose(&[
            ("rni", Rounding::Nearest),
            ("rzi", Rounding::Zero),
            ("rmi", Rounding::Down),
            ("rpi", Rounding::Up),
        ]);
        let rounding = if integral.is_none() { modifiers.rounding() } else { None };
        let ftz = modifiers.accept("ftz");
        let saturate = modifiers.accept("sat");
        let finite = modifiers.accept("satfinite");
        let relu = modifiers.accept("relu");
        let manner = Manner { rounding, integral, ftz, saturate, relu };
        let nearest = rounding == Some(Rounding::Nearest) && !ftz && !saturate;
        if let Some(eighth) = modifiers.choose(EIGHTHS) {
            if !(nearest && finite) {
                return Err("a number of 8 bits needs .rn.satfinite".into());
            }
            return self.convert_to_eighths(inst, modifiers, eighth, relu);
        }
        if finite {
            return Err("modifier .satfinite is not supported here".into());
        }
        if let Some(eighth) = from_eighths(&mut modifiers) {
            if !nearest {
                return Err("a number of 8 bits is converted with .rn".into());
            }
            modifiers.finish()?;
            return self.convert_from_eighths(inst, eighth, relu);
        }
        if let Ok(pair) = modifiers.ty(&[Type::F16x2, Type::Bf16x2]) {
            modifiers.ty(&[Type::F32])?;
            modifiers.finish()?;
            let rounding = rounding.ok_or("expected .rn or .rz")?;
            if saturate || ftz || !matches!(rounding, Rounding::Nearest | Rounding::Zero) {
                return Err("this form is not supported for pairs of halves".into());
            }
            return self.convert_pair(inst, pair, rounding, relu);
        }
        let to = modifiers.ty(CONVERTIBLE)?;
        let from = modifiers.ty(CONVERTIBLE)?;
        modifiers.finish()?;
        check_manner(manner, to, from)?;
        let [target, source] = exactly(inst)?;
        let value = self.read_low(source, from)?;
        let value = match (is_float(from), is_float(to)) {
            (false, false) => self.integer_to_integer(value, from, to, saturate),
            (false, true) => self.integer_to_float(value, from, to, manner),
            (true, false) => self.float_to_integer(value, from, to, manner),
            (true, true) => self.float_to_float(value, from, to, manner),
        };
        self.write_wide(target, to, value)
    }

    fn integer_to_integer(&mut self, value: Value, from: Type, to: Type, saturate: bool) -> Value {
        if !saturate {
            return self.resized(value, from, to);
        }
        // Clamped in 64 bits as a signed number; an unsigned source is first limited to what those
        // hold, which is beyond any narrower target and stays for `.u64`.
        let mut wide = self.extended(value, from, types::I64);
        if from == Type::U64 {
            if to == Type::U64 {
                return value;
            }
            let top = self.constant(types::I64, i64::MAX.cast_unsigned());
            wide = self.builder.ins().umin(wide, top);
        }
        let clamped = self.clamped(wide, to);
        self.resized(clamped, Type::S64, to)
    }

    fn resized(&mut self, value: Value, from: Type, to: Type) -> Value {
        if to.bytes() > from.bytes() {
            self.extended(value, from, clif(to))
        } else if to.bytes() < from.bytes() {
            self.builder.ins().ireduce(clif(to), value)
        } else {
            value
        }
    }

    /// A signed 64-bit number limited to the range of `ty`.
    fn clamped(&mut self, value: Value, ty: Type) -> Value {
        let (low, high) = match (ty.is_signed(), ty.bits()) {
            (true, bits) => (i64::MIN >> (64 - bits), i64::MAX >> (64 - bits)),
            (false, 64) => (0, i64::MAX),
            (false, bits) => (0, (1 << bits) - 1),
        };
        let low = self.builder.ins().iconst(types::I64, low);
        let high = self.builder.ins().iconst(types::I64, high);
        let value = self.builder.ins().smax(value, low);
        self.builder.ins().smin(value, high)
    }

    fn integer_to_float(&mut self, value: Value, from: Type, to: Type, manner: Manner) -> Value {
        let rounding = manner.rounding.unwrap_or(Rounding::Nearest);
        let wide = self.extended(value, from, types::I64);
        let signed = from.is_signed();
        let value = match to {
            Type::F32 | Type::F64 if rounding == Rounding::Nearest => {
                // A 32-bit unsigned number is a positive 64-bit one, and cheaper to convert as such.
                if signed || from.bits() < 64 {
                    self.builder.ins().fcvt_from_sint(clif(to), wide)
                } else {
                    self.builder.ins().fcvt_from_uint(clif(to), wide)
                }
            }
            Type::F32 | Type::F64 => {
                let helper = match (signed, to) {
                    (true, Type::F32) => Helper::SignedToF32,
                    (false, Type::F32) => Helper::UnsignedToF32,
                    (true, _) => Helper::SignedToF64,
                    (false, _) => Helper::UnsignedToF64,
                };
                let rounding = self.constant(types::I32, rounding as u64);
                self.call(helper, &[wide, rounding])
            }
            _ => {
                let helper = match (signed, to) {
                    (true, Type::F16) => Helper::SignedToF16,
                    (false, Type::F16) => Helper::UnsignedToF16,
                    (true, _) => Helper::SignedToBf16,
                    (false, _) => Helper::UnsignedToBf16,
                };
                let rounding = self.constant(types::I32, rounding as u64);
                let bits = self.call(helper, &[wide, rounding]);
                self.builder.ins().ireduce(types::I16, bits)
            }
        };
        self.float_limits(value, to, manner)
    }

    /// Out of range is clamped; the ISA says what NaN becomes.
    fn float_to_integer(&mut self, value: Value, from: Type, to: Type, manner: Manner) -> Value {
        let value = self.flushed(value, from, manner.ftz);
        let value = self.widened(value, from);
        let whole = self.rounded_to_integral(value, manner.integral.unwrap_or(Rounding::Zero));
        let nan = self.builder.ins().fcmp(FloatCC::Unordered, value, value);
        if to.bits() == 64 {
            let integer = if to.is_signed() {
                self.builder.ins().fcvt_to_sint_sat(types::I64, whole)
            } else {
                self.builder.ins().fcvt_to_uint_sat(types::I64, whole)
            };
            let top = self.constant(types::I64, 1 << 63);
            return self.builder.ins().select(nan, top, integer);
        }
        // Any narrower integer is a signed 64-bit number; NaN has become zero.
        let integer = self.builder.ins().fcvt_to_sint_sat(types::I64, whole);
        let clamped = self.clamped(integer, to);
        let integer = self.resized(clamped, Type::S64, to);
        if from != Type::F64 {
            return integer;
        }
        let top = self.constant(clif(to), 1 << (to.bits() - 1));
        self.builder.ins().select(nan, top, integer)
    }

    fn rounded_to_integral(&mut self, value: Value, rounding: Rounding) -> Value {
        match rounding {
            Rounding::Nearest => self.builder.ins().nearest(value),
            Rounding::Zero => self.builder.ins().trunc(value),
            Rounding::Down => self.builder.ins().floor(value),
            Rounding::Up => self.builder.ins().ceil(value),
        }
    }

    fn float_to_float(&mut self, value: Value, from: Type, to: Type, manner: Manner) -> Value {
        let value = self.flushed(value, from, manner.ftz && from == Type::F32);
        let rounding = manner.rounding.unwrap_or(Rounding::Nearest);
        let value = match (from, to) {
            (Type::F64, Type::F64) => self.integral(value, manner),
            (Type::F64, Type::F32) if rounding == Rounding::Nearest => {
                self.builder.ins().fdemote(types::F32, value)
            }
            (Type::F64, Type::F32) => {
                let rounding = self.constant(types::I32, rounding as u64);
                self.call(Helper::NarrowF64, &[value, rounding])
            }
            (Type::F64, _) => {
                let helper = if to == Type::F16 { Helper::F64ToF16 } else { Helper::F64ToBf16 };
                let rounding = self.constant(types::I32, rounding as u64);
                let bits = self.call(helper, &[value, rounding]);
                self.builder.ins().ireduce(types::I16, bits)
            }
            (_, Type::F64) => {
                let single = self.widened(value, from);
                self.builder.ins().fpromote(types::F64, single)
            }
            (_, Type::F32) => {
                let single = self.widened(value, from);
                self.integral(single, manner)
            }
            _ => {
                let single = self.widened(value, from);
                let single = self.integral(single, manner);
                self.narrowed(single, to, rounding)
            }
        };
        self.float_limits(value, to, manner)
    }

    fn integral(&mut self, value: Value, manner: Manner) -> Value {
        match manner.integral {
            Some(rounding) => self.rounded_to_integral(value, rounding),
            None => value,
        }
    }

    fn float_limits(&mut self, value: Value, to: Type, manner: Manner) -> Value {
        let mut value = self.flushed(value, to, manner.ftz && to == Type::F32);
        if !manner.saturate && !manner.relu {
            return value;
        }
        let half = matches!(to, Type::F16 | Type::Bf16);
        let working = if half { Type::F32 } else { to };
        if half {
            value = self.widened(value, to);
        }
        if manner.saturate {
            value = self.saturated(value, working);
        }
        if manner.relu {
            let zero = self.float_constant(working, 0.0);
            value = self.extreme(value, zero, false, true);
        }
        if half { self.narrowed(value, to, Rounding::Nearest) } else { value }
    }

    /// `isspacep`: whether a generic address lies in a memory.
    pub(super) fn is_space(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let space = modifiers.require(super::pointer::SPACES)?;
        modifiers.finish()?;
        let [target, address] = exactly(inst)?;
        let address = self.read(address, Type::U64)?;
        let shared = self.in_space_window(address, crate::jit::frame::SHARED_WINDOW);
        let local = self.in_space_window(address, crate::jit::frame::LOCAL_WINDOW);
        let value = match space {
            crate::ptx::Space::Shared => shared,
            crate::ptx::Space::Local => local,
            crate::ptx::Space::Global => {
                let other = self.builder.ins().bor(shared, local);
                self.builder.ins().icmp_imm_s(IntCC::Equal, other, 0)
            }
            _ => return Err("this memory cannot be told from others".into()),
        };
        self.write(target, Type::Pred, value)
    }
}

/// Refuses the combinations that the ISA does not have.
fn check_manner(manner: Manner, to: Type, from: Type) -> Lowered<()> {
    let refuse = |reason: &str| Err(reason.to_owned());
    let half = |ty| matches!(ty, Type::F16 | Type::Bf16);
    if manner.ftz && from != Type::F32 && to != Type::F32 {
        return refuse("modifier .ftz needs an .f32");
    }
    if manner.relu && !(half(to) && from == Type::F32) {
        return refuse("modifier .relu needs a half and an .f32");
    }
    if is_float(from) && !is_float(to) {
        return match manner.integral {
            Some(_) => Ok(()),
            None => refuse("a float becomes an integer by .rni, .rzi, .rmi or .rpi"),
        };
    }
    if manner.integral.is_some() && !(is_float(from) && (from == to)) {
        return refuse("rounding to an integral value keeps the type");
    }
    if !is_float(to) {
        return match manner.rounding {
            Some(_) => refuse("integers are not rounded"),
            None => Ok(()),
        };
    }
    let loses =
        !is_float(from) || to.bytes() < from.bytes() || (half(to) && half(from) && to != from);
    if loses && manner.rounding.is_none() {
        return refuse("expected a rounding such as .rn");
    }
    if !loses && manner.rounding.is_some() {
        return refuse("nothing is rounded here");
    }
    Ok(())
}
