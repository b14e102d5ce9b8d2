//! Operands: registers, constants, special registers; read as a type, written as a type.

use std::mem::offset_of;

use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};

use super::Lowered;
use super::function::{Lowering, clif};
use super::movement::bits_of;
use super::names::{NamedPlace, Register};
use crate::jit::frame::{BlockFrame, ThreadFrame};
use crate::jit::helpers::Helper;
use crate::ptx::{Instruction, Operand, Type};

/// The operands of an instruction, of which there must be exactly `N`.
pub(super) fn exactly<'i, 't, const N: usize>(
    instruction: &'i Instruction<'t>,
) -> Lowered<&'i [Operand<'t>; N]> {
    <&[Operand<'t>; N]>::try_from(instruction.operands.as_slice())
        .map_err(|_| format!("expected {N} operands, found {}", instruction.operands.len()))
}

/// Whether a register of type `register` may stand where an instruction wants `wanted`: the sizes are
/// the same, and floats are not taken for integers.
fn agree(register: Type, wanted: Type) -> bool {
    let class = |ty: Type| match ty {
        Type::Pred => 0,
        Type::F32 | Type::F64 => 1,
        _ if ty.is_bits() => 2,
        Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2 => 3,
        _ => 4,
    };
    let (a, b) = (class(register), class(wanted));
    register.bytes() == wanted.bytes() && (a == b || (a == 2 && b != 0) || (b == 2 && a != 0))
}

impl<'t> Lowering<'_, '_, 't> {
    /// The register of this name, if it is one.
    pub(super) fn register(&mut self, name: &'t str) -> Option<Register> {
        for at in (0..self.scopes.len()).rev() {
            if let Some(&register) = self.scopes[at].registers.get(name) {
                return Some(register);
            }
            if let Some(ty) = self.scopes[at].in_range(name) {
                let register = Register { variable: self.new_register(ty), ty };
                self.scopes[at].registers.insert(name, register);
                return Some(register);
            }
        }
        None
    }

    /// The variable of this name, if it is one.
    pub(super) fn place(&self, name: &str) -> Option<NamedPlace> {
        let inner = self.scopes.iter().rev().find_map(|scope| scope.places.get(name));
        inner.or_else(|| self.unit.places.get(name)).copied()
    }

    /// Reads an operand as a value of type `ty`.
    pub(super) fn read(&mut self, operand: &Operand<'t>, ty: Type) -> Lowered<Value> {
        match operand {
            Operand::Name(name) => {
                if let Some(register) = self.register(name) {
                    if !agree(register.ty, ty) {
                        return Err(format!("register {name} has not the type that is wanted"));
                    }
                    let value = self.use_register(register.variable);
                    return Ok(self.same_bits(value, ty));
                }
                self.special(name, "", ty)
            }
            Operand::Component(name, component) => self.special(name, component, ty),
            Operand::Not(name) if ty == Type::Pred => {
                let value = self.read(&Operand::Name(name), Type::Pred)?;
                Ok(self.builder.ins().bxor_imm_u(value, 1))
            }
            _ => self.literal(operand, ty),
        }
    }

    /// As `read`, but a register may be wider than `ty`: its lower bits count.
    pub(super) fn read_low(&mut self, operand: &Operand<'t>, ty: Type) -> Lowered<Value> {
        if let Operand::Name(name) = operand
            && let Some(register) = self.register(name)
            && register.ty.bytes() > ty.bytes()
            && !matches!(register.ty, Type::F32 | Type::F64)
            && !matches!(ty, Type::F32 | Type::F64 | Type::Pred)
        {
            let value = self.use_register(register.variable);
            let low = self.builder.ins().ireduce(clif(bits_of(ty)), value);
            return Ok(self.same_bits(low, ty));
        }
        self.read(operand, ty)
    }

    fn literal(&mut self, operand: &Operand<'t>, ty: Type) -> Lowered<Value> {
        let float = match *operand {
            Operand::Float32(bits) => f64::from(f32::from_bits(bits)),
            Operand::Float64(bits) => f64::from_bits(bits),
            Operand::Integer(value) => {
                return match ty {
                    Type::B128 => Err("constants of 128 bits are not supported".into()),
                    Type::F32 | Type::F64 => Err(format!("{value} is no float; write 0f… or 0d…")),
                    Type::Pred => Ok(self.constant(types::I8, u64::from(value != 0))),
                    _ => Ok(self.constant(clif(ty), value)),
                };
            }
            _ => return Err("this operand has no value here".into()),
        };
        match (ty, operand) {
            (Type::F32, Operand::Float32(bits)) => {
                Ok(self.builder.ins().f32const(f32::from_bits(*bits)))
            }
            (Type::F32, _) => {
                #[expect(clippy::cast_possible_truncation, reason = "PTX rounds such constants")]
                let narrow = float as f32;
                Ok(self.builder.ins().f32const(narrow))
            }
            (Type::F64, _) => Ok(self.builder.ins().f64const(float)),
            (Type::B32, Operand::Float32(bits)) => Ok(self.constant(types::I32, u64::from(*bits))),
            (Type::B64, Operand::Float64(bits)) => Ok(self.constant(types::I64, *bits)),
            _ => Err("a float constant does not fit the type".into()),
        }
    }

    /// The same bits as another type of the same size.
    pub(super) fn same_bits(&mut self, value: Value, ty: Type) -> Value {
        let wanted = clif(ty);
        if self.builder.func.dfg.value_type(value) == wanted {
            return value;
        }
        self.builder.ins().bitcast(wanted, MemFlagsData::new(), value)
    }

    /// Writes a value of type `ty`.
    pub(super) fn write(&mut self, target: &Operand<'t>, ty: Type, value: Value) -> Lowered<()> {
        match target {
            Operand::Discard => Ok(()),
            Operand::Name(name) => {
                let register =
                    self.register(name).ok_or_else(|| format!("there is no register {name}"))?;
                if !agree(register.ty, ty) {
                    return Err(format!("register {name} has not the type of the result"));
                }
                let value = self.same_bits(value, register.ty);
                self.define_register(register.variable, value);
                Ok(())
            }
            _ => Err("expected a register to write to".into()),
        }
    }

    /// As `write`, but a register may be wider than `ty`: the value is extended by its sign.
    pub(super) fn write_wide(
        &mut self,
        target: &Operand<'t>,
        ty: Type,
        value: Value,
    ) -> Lowered<()> {
        if let Operand::Name(name) = target
            && let Some(register) = self.register(name)
            && register.ty.bytes() > ty.bytes()
            && !matches!(register.ty, Type::F32 | Type::F64)
            && !matches!(ty, Type::F32 | Type::Pred)
        {
            let wide = if ty.is_signed() {
                self.builder.ins().sextend(clif(register.ty), value)
            } else {
                self.builder.ins().uextend(clif(register.ty), value)
            };
            self.define_register(register.variable, wide);
            return Ok(());
        }
        self.write(target, ty, value)
    }

    /// A special register, read as `ty`.
    fn special(&mut self, name: &str, component: &str, ty: Type) -> Lowered<Value> {
        let wide = matches!(name, "%clock64" | "%globaltimer");
        let size = if wide { 8 } else { 4 };
        if ty.bytes() != size || matches!(ty, Type::F32 | Type::F64) {
            let known =
                if component.is_empty() { name.into() } else { format!("{name}.{component}") };
            return Err(format!("{known} is no register, or is not read as this type"));
        }
        let vector = |offset: usize| match component {
            "x" => Some(offset),
            "y" => Some(offset + 4),
            "z" => Some(offset + 8),
            _ => None,
        };
        let block = |offset: usize| vector(offset).ok_or(());
        let plain = |offset: usize| if component.is_empty() { Ok(offset) } else { Err(()) };
        let offset = match name {
            "%tid" => return self.thread_index(component),
            "%laneid" | "%warpid" | "%lanemask_eq" | "%lanemask_lt" | "%lanemask_le"
            | "%lanemask_gt" | "%lanemask_ge"
                if component.is_empty() =>
            {
                return Ok(self.lane_register(name));
            }
            "%clock64" if component.is_empty() => return Ok(self.call(Helper::Clock, &[])),
            "%globaltimer" if component.is_empty() => {
                return Ok(self.call(Helper::GlobalTimer, &[]));
            }
            "%clock" | "%clock_hi" | "%globaltimer_lo" | "%globaltimer_hi"
                if component.is_empty() =>
            {
                return Ok(self.half_of_clock(name));
            }
            "WARP_SZ" if component.is_empty() => return Ok(self.constant(types::I32, 32)),
            "%ntid" => block(offset_of!(BlockFrame, threads)),
            "%ctaid" => block(offset_of!(BlockFrame, index)),
            "%nctaid" => block(offset_of!(BlockFrame, grid)),
            "%smid" => plain(offset_of!(BlockFrame, sm)),
            "%nsmid" => plain(offset_of!(BlockFrame, sm_count)),
            "%dynamic_smem_size" => plain(offset_of!(BlockFrame, dynamic_shared_bytes)),
            _ => Err(()),
        };
        match offset {
            Ok(offset) => Ok(self.block_field(types::I32, offset)),
            Err(()) if component.is_empty() => {
                Err(format!("{name} is not declared or not supported"))
            }
            Err(()) => Err(format!("{name}.{component} is not declared or not supported")),
        }
    }

    fn thread_index(&mut self, component: &str) -> Lowered<Value> {
        let at = match component {
            "x" => 0,
            "y" => 1,
            "z" => 2,
            _ => return Err(format!("%tid.{component} is not supported")),
        };
        if self.regions.is_some() {
            return Ok(self.position(at));
        }
        if self.is_kernel {
            return Ok(self.builder.use_var(self.thread_index[at]));
        }
        Ok(self.thread_field(types::I32, offset_of!(ThreadFrame, index) + 4 * at))
    }

    fn lane_register(&mut self, name: &str) -> Value {
        let linear = if self.is_kernel {
            self.builder.use_var(self.linear_index)
        } else {
            self.thread_field(types::I32, offset_of!(ThreadFrame, linear_index))
        };
        if name == "%warpid" {
            return self.builder.ins().ushr_imm_u(linear, 5);
        }
        let lane = self.builder.ins().band_imm_u(linear, 31);
        if name == "%laneid" {
            return lane;
        }
        let one = self.constant(types::I32, 1);
        let this = self.builder.ins().ishl(one, lane);
        let below = self.builder.ins().iadd_imm_s(this, -1);
        match name {
            "%lanemask_eq" => this,
            "%lanemask_lt" => below,
            "%lanemask_le" => self.builder.ins().bor(this, below),
            "%lanemask_ge" => self.builder.ins().bnot(below),
            _ => {
                let up_to = self.builder.ins().bor(this, below);
                self.builder.ins().bnot(up_to)
            }
        }
    }

    fn half_of_clock(&mut self, name: &str) -> Value {
        let helper = if name.starts_with("%clock") { Helper::Clock } else { Helper::GlobalTimer };
        let mut time = self.call(helper, &[]);
        if name.ends_with("_hi") {
            time = self.builder.ins().ushr_imm_u(time, 32);
        }
        self.builder.ins().ireduce(types::I32, time)
    }
}
