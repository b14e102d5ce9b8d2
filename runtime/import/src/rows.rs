//! Operators that look at more than one element: norms, softmax, reductions, gathers, joins.

use gpumux_plan::{
    Binary, Dense, Domain, Element, Gather, Instruction, Norm, Op, Operand, Reduce as PlanReduce,
    Reduction, Role, Softmax as PlanSoftmax, Unary,
};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::array::{Gather as TractGather, Pad, PadMode, TypedConcat};
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer, RmsNorm, Softmax, SoftmaxKind};
use tract_transformers::ops::scaled_masked_softmax::ScaledMaskedSoftmax;

use crate::builder::Refusal;
use crate::dims::{product, zero};
use crate::lower::Lowering;
use crate::patterns::NormPattern;
use crate::value::Value;

/// The begin of a row-major value.
fn dense(value: &Value) -> Result<Dense<TDim>, Refusal> {
    let view = value.row_major().ok_or("its input is not in memory")?;
    Ok(Dense { buffer: view.buffer, offset: view.offset.clone() })
}

fn operand(value: &Value) -> Result<Operand<TDim>, Refusal> {
    let view = value.plain().ok_or("its input is not in memory")?;
    let strides = view.strides.clone();
    Ok(Operand { buffer: view.buffer, offset: view.offset.clone(), strides })
}

impl Lowering<'_> {
    /// A layer normalisation, with the sum before it where there is one.
    pub(crate) fn norm(&mut self, pattern: &NormPattern) -> Result<Value, Refusal> {
        let input = self.argument(pattern.input)?;
        let (input, residual) = match halves(&input) {
            Some((left, right)) => (left, Some(dense(&right)?)),
            None => (self.builder.row_major(&input)?, None),
        };
        let (width, rows) = input.extents.split_last().ok_or("it has no dimension")?;
        let weight = self.in_memory(pattern.weight)?;
        let bias = self.in_memory(pattern.bias)?;
        let output = self.builder.scratch(Element::F32, &input.extents)?;
        self.builder.ops.push(Op::Norm(Norm {
            rows: product(rows),
            width: width.clone(),
            input: dense(&input)?,
            residual,
            weight: dense(&weight)?,
            bias: dense(&bias)?,
            epsilon: pattern.epsilon,
            output: dense(&output)?,
        }));
        Ok(output)
    }

    /// A root-mean-square norm that is no part of a layer normalisation.
    pub(crate) fn rms_norm(&mut self, node: &TypedNode, op: &RmsNorm) -> Result<Value, Refusal> {
        let input = self.in_memory(node.inputs[0])?;
        let epsilon = op.eps.cast_to_scalar::<f32>().map_err(|why| why.to_string())?;
        let squares = self.reduce_axes(&input, &[op.axis], &Reducer::MeanOfSquares)?;
        let epsilon =
            Value::number(Instruction::Real(epsilon), Element::F32, squares.extents.clone());
        let mut real = |arguments: &[Value], instruction| {
            self.builder.apply(arguments, instruction, Domain::Real, Element::F32)
        };
        let variance = real(&[squares, epsilon], Instruction::Binary(Binary::Add))?;
        let scale = real(&[variance], Instruction::Unary(Unary::ReciprocalSquareRoot))?;
        let scale = scale.broadcast(&input.extents);
        real(&[input, scale], Instruction::Binary(Binary::Multiply))
    }

    pub(crate) fn softmax(&mut self, node: &TypedNode, op: &Softmax) -> Result<Value, Refusal> {
        let input = self.argument(node.inputs[0])?;
        let is_softmax = matches!(op.kind, SoftmaxKind::Softmax) && op.quant_output_dt.is_none();
        let ([axis], true) = (op.axes.as_slice(), is_softmax) else {
            return Err("only a softmax over one dimension is supported".to_owned());
        };
        input.check_axis(*axis)?;
        let last = input.extents.len() - 1;
        let moved = input.move_axis(*axis, last);
        Ok(self.soften(&moved, None, 1.)?.move_axis(last, *axis))
    }

    pub(crate) fn masked_softmax(
        &mut self,
        node: &TypedNode,
        op: &ScaledMaskedSoftmax,
    ) -> Result<Value, Refusal> {
        if op.post_softmax_mask {
            return Err("a mask on the result of a softmax is not supported".to_owned());
        }
        let scale = op.scale.cast_to_scalar::<f32>().map_err(|why| why.to_string())?;
        let input = self.argument(node.inputs[0])?;
        let mut mask = self.argument(node.inputs[1])?;
        if mask.element == Element::Bool {
            let number =
                |it| Value::number(Instruction::Real(it), Element::F32, mask.extents.clone());
            let arguments = [mask.clone(), number(0.), number(f32::NEG_INFINITY)];
            let select = Instruction::Select;
            mask = self.builder.apply(&arguments, select, Domain::Real, Element::F32)?;
        }
        let mask = self.builder.plain(&mask)?.broadcast(&input.extents);
        self.soften(&input, Some(&mask), scale)
    }

    fn soften(
        &mut self,
        input: &Value,
        mask: Option<&Value>,
        scale: f32,
    ) -> Result<Value, Refusal> {
        if input.element != Element::F32 {
            return Err("only a softmax of 32-bit floats is supported".to_owned());
        }
        let input = self.builder.row_major(input)?;
        let output = self.builder.scratch(Element::F32, &input.extents)?;
        self.builder.ops.push(Op::Softmax(PlanSoftmax {
            extents: input.extents.clone(),
            input: dense(&input)?,
            scale,
            mask: mask.map(operand).transpose()?,
            output: dense(&output)?,
        }));
        Ok(output)
    }

    pub(crate) fn reduce(&mut self, node: &TypedNode, op: &Reduce) -> Result<Value, Refusal> {
        let input = self.argument(node.inputs[0])?;
        self.reduce_axes(&input, &op.axes, &op.reducer)
    }

    /// A reduction over `axes`, which stay as dimensions of 1.
    fn reduce_axes(
        &mut self,
        input: &Value,
        axes: &[usize],
        reducer: &Reducer,
    ) -> Result<Value, Refusal> {
        if input.element != Element::F32 {
            return Err("only reductions of 32-bit floats are supported".to_owned());
        }
        let mut moved = self.builder.plain(input)?;
        let last = moved.extents.len().checked_sub(1).ok_or("it has no dimension")?;
        // From the first to the last, so that they keep their order behind the others.
        let mut axes = axes.to_vec();
        axes.sort_unstable();
        axes.iter().try_for_each(|axis| moved.check_axis(*axis))?;
        for (done, axis) in axes.iter().enumerate() {
            moved = moved.move_axis(axis - done, last);
        }
        let kept = moved.extents.len() - axes.len();
        let reduced = moved.extents[kept..].to_vec();
        let count = product(&reduced);
        let merged = match moved.reshape(kept, &reduced, std::slice::from_ref(&count)) {
            Some(merged) => merged,
            None => {
                let dense = self.builder.row_major(&moved)?;
                let merged = dense.reshape(kept, &reduced, std::slice::from_ref(&count));
                merged.ok_or("its dimensions cannot be merged")?
            }
        };
        let (reduction, scale) = match reducer {
            Reducer::Sum => (Reduction::Sum, 1.),
            Reducer::Max => (Reduction::Maximum, 1.),
            Reducer::Min => (Reduction::Minimum, 1.),
            Reducer::MeanOfSquares => (Reduction::SumOfSquares, share(&count)?),
            other => return Err(format!("a reduction by {other:?} is not supported")),
        };
        let output = self.builder.scratch(Element::F32, &merged.extents[..kept])?;
        self.builder.ops.push(Op::Reduce(PlanReduce {
            reduction,
            extents: merged.extents.clone(),
            input: operand(&merged)?,
            scale,
            output: dense(&output)?,
        }));
        Ok(axes.iter().fold(output, |value, axis| value.insert_axis(*axis)))
    }

    pub(crate) fn gather(&mut self, node: &TypedNode, op: &TractGather) -> Result<Value, Refusal> {
        let table = self.in_memory(node.inputs[0])?;
        let table = self.builder.row_major(&table)?;
        if op.axis != 0 || table.element != Element::F32 {
            return Err("only a gather of rows of 32-bit floats is supported".to_owned());
        }
        let indices = self.argument(node.inputs[1])?;
        if !matches!(indices.element, Element::I64 | Element::I32) {
            return Err(format!("indices of type {:?} are not supported", indices.element));
        }
        let indices = self.builder.row_major(&indices)?;
        let mut extents = indices.extents.clone();
        extents.extend_from_slice(&table.extents[1..]);
        let output = self.builder.scratch(Element::F32, &extents)?;
        self.builder.ops.push(Op::Gather(Gather {
            rows: table.extents[0].clone(),
            width: product(&table.extents[1..]),
            table: dense(&table)?,
            count: product(&indices.extents),
            per_request: self.per_request(&indices),
            indices: dense(&indices)?,
            output: dense(&output)?,
        }));
        Ok(output)
    }

    /// How many of the values belong to each request, where their first dimension is the batch.
    fn per_request(&self, value: &Value) -> Option<TDim> {
        let (first, own) = value.extents.split_first()?;
        let is_batch = match (first, &self.builder.symbols.batch) {
            (TDim::Sym(symbol), Some(batch)) => symbol == batch,
            // Where the batch is a mere number, only an input itself is known to begin with it.
            (TDim::Val(count), None) => {
                let index = usize::try_from(value.operands[0].buffer.0).ok()?;
                self.builder.buffers[index].role == Role::Input
                    && u64::try_from(*count).ok() == self.batch
            }
            _ => false,
        };
        is_batch.then(|| product(own))
    }

    /// Values joined along one dimension.
    pub(crate) fn concat(&mut self, node: &TypedNode, op: &TypedConcat) -> Result<Value, Refusal> {
        let extents = node.outputs[0].fact.shape.to_tvec().to_vec();
        let joined = self.filled(&extents, node.outputs[0].fact.datum_type, None)?;
        let mut begin = zero();
        for input in node.inputs.iter() {
            let part = self.argument(*input)?;
            part.check_axis(op.axis)?;
            let end = begin.clone() + &part.extents[op.axis];
            self.builder.store(&part, &joined.slice(op.axis, &begin, &end))?;
            begin = end;
        }
        Ok(joined)
    }

    /// A value with constants around it.
    pub(crate) fn surround(&mut self, node: &TypedNode, op: &Pad) -> Result<Value, Refusal> {
        let PadMode::Constant(constant) = &op.mode else {
            return Err("only padding with a constant is supported".to_owned());
        };
        let input = self.argument(node.inputs[0])?;
        let extents = node.outputs[0].fact.shape.to_tvec().to_vec();
        let datum = node.outputs[0].fact.datum_type;
        let padded = self.filled(&extents, datum, Some(constant))?;
        let mut inside = padded.clone();
        for (axis, (before, _)) in op.pads.iter().enumerate() {
            let before = TDim::from(*before);
            let end = before.clone() + &input.extents[axis];
            inside = inside.slice(axis, &before, &end);
        }
        self.builder.store(&input, &inside)?;
        Ok(padded)
    }

    /// A new tensor, the same everywhere: what is not written later must not show what was there.
    fn filled(
        &mut self,
        extents: &[TDim],
        datum: DatumType,
        with: Option<&Tensor>,
    ) -> Result<Value, Refusal> {
        let element = crate::weights::element(datum)
            .ok_or_else(|| format!("the type {datum:?} is not supported"))?;
        let number = match (with, element) {
            (None, Element::F32) => Some(Instruction::Real(0.)),
            (None, _) => Some(Instruction::Whole(0)),
            (Some(with), _) => crate::lower::number(with),
        };
        let number = number.ok_or("its constant is too large")?;
        let everywhere = Value::number(number, element, extents.to_vec());
        self.builder.compute(&everywhere, Role::Scratch)
    }
}

/// The two halves of a sum of row-major tensors, where a value is one.
fn halves(value: &Value) -> Option<(Value, Value)> {
    let sum = [Instruction::Load(0), Instruction::Load(1), Instruction::Binary(Binary::Add)];
    if value.program.instructions != sum || value.element != Element::F32 {
        return None;
    }
    let half = |view: &crate::value::View| {
        let half = Value::seen(view.clone(), value.extents.clone());
        half.row_major().is_some().then_some(half)
    };
    Some((half(&value.operands[0])?, half(&value.operands[1])?))
}

/// One over a count that does not depend on the shape.
fn share(count: &TDim) -> Result<f32, Refusal> {
    let known = count.to_i64().ok().and_then(|it| u16::try_from(it).ok());
    match known {
        Some(count) if count != 0 => Ok(1. / f32::from(count)),
        _ => Err(format!("a mean over `{count}` elements is not supported")),
    }
}
