//! Which operator is lowered by what, and those that only change how a value is seen.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::array::{Gather, MultiBroadcastTo, Pad, Slice, TypedConcat};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::cnn::Conv;
use tract_onnx::tract_core::ops::einsum::prefix_matmul::PrefixMatMul;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::identity::Identity;
use tract_onnx::tract_core::ops::logic::Iff;
use tract_onnx::tract_core::ops::nn::{Reduce, RmsNorm, Softmax};
use tract_transformers::ops::scaled_masked_softmax::ScaledMaskedSoftmax;

use crate::builder::Refusal;
use crate::lower::Lowering;
use crate::value::Value;

impl Lowering<'_> {
    /// Lowers one node.
    pub(crate) fn operator(&mut self, node: &TypedNode) -> Result<Value, Refusal> {
        if let Some(pattern) = self.patterns.norm(node.id).cloned() {
            return self.norm(&pattern);
        }
        if let Some(op) = node.op_as::<TypedBinOp>() {
            return self.binary(node, op.0.name());
        }
        if let Some(op) = node.op_as::<ElementWiseOp>() {
            return self.unary(node, &op.0.name());
        }
        if let Some(op) = node.op_as::<AxisOp>() {
            return self.axis(node, op);
        }
        if let Some(op) = node.op_as::<PrefixMatMul>() {
            return self.matmul(node, op);
        }
        if let Some(op) = node.op_as::<Conv>() {
            return self.convolution(node, op);
        }
        if let Some(op) = node.op_as::<Reduce>() {
            return self.reduce(node, op);
        }
        if let Some(op) = node.op_as::<RmsNorm>() {
            return self.rms_norm(node, op);
        }
        if let Some(op) = node.op_as::<Softmax>() {
            return self.softmax(node, op);
        }
        if let Some(op) = node.op_as::<ScaledMaskedSoftmax>() {
            return self.masked_softmax(node, op);
        }
        if let Some(op) = node.op_as::<Gather>() {
            return self.gather(node, op);
        }
        if let Some(op) = node.op_as::<TypedConcat>() {
            return self.concat(node, op);
        }
        if let Some(op) = node.op_as::<Pad>() {
            return self.surround(node, op);
        }
        self.view(node)
    }

    fn view(&mut self, node: &TypedNode) -> Result<Value, Refusal> {
        if let Some(op) = node.op_as::<Slice>() {
            let value = self.argument(node.inputs[0])?;
            value.check_axis(op.axis)?;
            return Ok(value.slice(op.axis, &op.start, &op.end));
        }
        if let Some(op) = node.op_as::<MultiBroadcastTo>() {
            let value = self.argument(node.inputs[0])?;
            return Ok(value.broadcast(&op.shape.to_tvec()));
        }
        if node.op_is::<Cast>() {
            return self.cast(node);
        }
        if node.op_is::<Iff>() {
            return self.select(node);
        }
        if node.op_is::<Identity>() {
            return self.argument(node.inputs[0]);
        }
        Err("this operator is not supported".to_owned())
    }

    fn axis(&mut self, node: &TypedNode, op: &AxisOp) -> Result<Value, Refusal> {
        let value = self.argument(node.inputs[0])?;
        match op {
            AxisOp::Add(at) if *at == value.extents.len() => Ok(value.insert_axis(*at)),
            AxisOp::Add(at) => {
                value.check_axis(*at)?;
                Ok(value.insert_axis(*at))
            }
            AxisOp::Rm(at) => {
                value.check_axis(*at)?;
                Ok(value.remove_axis(*at))
            }
            AxisOp::Move(from, to) => {
                value.check_axis(*from)?;
                value.check_axis(*to)?;
                Ok(value.move_axis(*from, *to))
            }
            AxisOp::Reshape(at, from, to) => {
                let last = at.saturating_add(from.len()).saturating_sub(1);
                value.check_axis(last)?;
                if let Some(seen) = value.reshape(*at, from, to) {
                    return Ok(seen);
                }
                let moved = self.builder.row_major(&value)?;
                let seen = moved.reshape(*at, from, to);
                seen.ok_or_else(|| format!("`{from:?}` cannot be seen as `{to:?}`"))
            }
        }
    }
}
