//! Two or four small integers in a word: what compilers still write of the video instructions, and
//! the pairs of 16 bits of compute capability 9.0.

use cranelift_codegen::ir::{Value, types};

use super::Lowered;
use super::function::Lowering;
use super::modifiers::Modifiers;
use super::operands::exactly;
use crate::jit::helpers::{Helper, PackedOp};
use crate::ptx::{Instruction, Type};

const WORDS: &[Type] = &[Type::U32, Type::S32];

impl<'t> Lowering<'_, '_, 't> {
    /// `vabsdiff2`, `vabsdiff4`: the distances of two or four numbers, or the sum of the distances
    /// and c. Without selectors and masks, of which compilers write none.
    pub(super) fn packed_difference(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<()> {
        let width = if inst.opcode == "vabsdiff2" { 16 } else { 8 };
        let result = modifiers.ty(WORDS)?;
        let signed = modifiers.ty(WORDS)?.is_signed();
        if modifiers.ty(WORDS)?.is_signed() != signed {
            return Err("operands of two types are not supported".into());
        }
        let add = modifiers.accept("add");
        modifiers.finish()?;
        let [target, a, b, c] = exactly(inst)?;
        let (a, b) = (self.read(a, Type::B32)?, self.read(b, Type::B32)?);
        let c = self.read(c, Type::B32)?;
        let op = match (signed, add) {
            (true, true) => PackedOp::SumOfDistancesSigned,
            (false, true) => PackedOp::SumOfDistances,
            (true, false) => PackedOp::DistanceSigned,
            (false, false) => PackedOp::Distance,
        };
        let value = self.packed(op, width, a, b, c);
        self.write(target, result, value)
    }

    /// `add`, `min`, `max` of two numbers of 16 bits; false when the opcode is another family's.
    pub(super) fn packed_integers(
        &mut self,
        inst: &Instruction<'t>,
        mut modifiers: Modifiers<'_, 't>,
    ) -> Lowered<bool> {
        let signed = inst.modifiers.last() == Some(&"s16x2");
        let op = match (inst.opcode, signed) {
            ("add", _) => PackedOp::Add,
            ("min", true) => PackedOp::MinSigned,
            ("min", false) => PackedOp::Min,
            ("max", true) => PackedOp::MaxSigned,
            ("max", false) => PackedOp::Max,
            _ => return Ok(false),
        };
        let ty = modifiers.ty(&[Type::U16x2, Type::S16x2])?;
        modifiers.finish()?;
        let [target, a, b] = exactly(inst)?;
        let (a, b) = (self.read(a, ty)?, self.read(b, ty)?);
        let zero = self.constant(types::I32, 0);
        let value = self.packed(op, 16, a, b, zero);
        self.write(target, ty, value)?;
        Ok(true)
    }

    fn packed(&mut self, op: PackedOp, width: u64, a: Value, b: Value, c: Value) -> Value {
        let op = self.constant(types::I32, op as u64);
        let width = self.constant(types::I32, width);
        self.call(Helper::Packed, &[op, width, a, b, c])
    }
}
