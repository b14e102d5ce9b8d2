//! Matrix products, convolutions as matrix products, and the biases that products add.

use gpumux_plan::{Dense, Op, Product};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cnn::{Conv, KernelFormat};
use tract_onnx::tract_core::ops::einsum::prefix_matmul::PrefixMatMul;
use tract_onnx::tract_core::ops::nn::DataFormat;

use crate::builder::{Builder, Refusal};
use crate::dims::{one, product, zero};
use crate::lower::Lowering;
use crate::value::{Value, View};

impl Lowering<'_> {
    /// A product of the last two dimensions, for every index of the others.
    pub(crate) fn matmul(&mut self, node: &TypedNode, op: &PrefixMatMul) -> Result<Value, Refusal> {
        let is_real = |datum: DatumType| datum == DatumType::F32;
        let facts = self.model.node_input_facts(node.id).map_err(|why| why.to_string())?;
        if op.quantize_output.is_some() || !facts.iter().all(|fact| is_real(fact.datum_type)) {
            return Err("only products of 32-bit floats are supported".to_owned());
        }
        let extents = node.outputs[0].fact.shape.to_tvec().to_vec();
        let outer = extents.len().checked_sub(2).ok_or("a product has at least two dimensions")?;
        let mut factors = [
            (self.in_memory(node.inputs[0])?, op.transpose_a),
            (self.in_memory(node.inputs[1])?, op.transpose_b),
        ];
        if op.transpose_c {
            // (A·B)ᵀ is Bᵀ·Aᵀ.
            factors.swap(0, 1);
            factors.iter_mut().for_each(|(_, transposed)| *transposed = !*transposed);
        }
        let mut matrices = Vec::new();
        for (factor, transposed) in &factors {
            let mut wanted = extents[..outer].to_vec();
            wanted.extend_from_slice(&factor.extents[outer..]);
            let mut spread = factor.broadcast(&wanted);
            if Builder::matrix(&spread, *transposed).is_none() {
                spread = self.builder.row_major(&spread)?;
            }
            let matrix = Builder::matrix(&spread, *transposed);
            matrices.push(matrix.ok_or("its dimensions cannot be a batch of matrices")?);
        }
        let depth = factors[0].0.extents[outer + usize::from(!factors[0].1)].clone();
        let result = self.builder.scratch(gpumux_plan::Element::F32, &extents)?;
        self.product(matrices, depth, result)
    }

    /// Issues a product into a row-major result whose last two dimensions are its matrices.
    fn product(
        &mut self,
        matrices: Vec<gpumux_plan::Matrix<TDim>>,
        depth: TDim,
        result: Value,
    ) -> Result<Value, Refusal> {
        let outer = result.extents.len() - 2;
        let [left, right] =
            <[_; 2]>::try_from(matrices).map_err(|_| "a product has two factors")?;
        let mut output = Builder::matrix(&result, false).ok_or("its result is no matrix")?;
        output.column_stride = one();
        output.row_stride = result.extents[outer + 1].clone();
        self.builder.ops.push(Op::Product(Product {
            batch: product(&result.extents[..outer]),
            rows: result.extents[outer].clone(),
            columns: result.extents[outer + 1].clone(),
            depth,
            left,
            right,
            bias: None,
            output,
        }));
        Ok(Value { product: Some(self.builder.ops.len() - 1), ..result })
    }

    /// Lets the product that `value` is the result of add `bias`, where that is one number for
    /// each of its columns.
    pub(crate) fn add_bias(&mut self, value: &Value, bias: &Value) -> Option<Value> {
        let index = value.product?;
        let (view, row) = (value.plain()?, bias.plain()?);
        let Op::Product(product) = &mut self.builder.ops[index] else { return None };
        let mut columns = false;
        for (axis, extent) in value.extents.iter().enumerate().filter(|(_, it)| **it != one()) {
            let is_columns = view.strides[axis] == one() && *extent == product.columns;
            let step = if is_columns { one() } else { zero() };
            if row.strides[axis] != step {
                return None;
            }
            columns |= is_columns;
        }
        if !columns || product.bias.is_some() {
            return None;
        }
        // A bias that is computed could be computed after the product.
        let is_weight = usize::try_from(row.buffer.0).ok().is_some_and(|index| {
            matches!(self.builder.buffers[index].role, gpumux_plan::Role::Weight(_))
        });
        if !is_weight {
            return None;
        }
        product.bias = Some(Dense { buffer: row.buffer, offset: row.offset.clone() });
        Some(Value { product: None, ..value.clone() })
    }

    /// A convolution: the input unfolded to one row for each place of the output, times the kernel.
    pub(crate) fn convolution(&mut self, node: &TypedNode, op: &Conv) -> Result<Value, Refusal> {
        if op.group != 1 {
            return Err("grouped and depthwise convolutions are not supported".to_owned());
        }
        if op.q_params.is_some() || node.outputs[0].fact.datum_type != DatumType::F32 {
            return Err("only convolutions of 32-bit floats are supported".to_owned());
        }
        let batch_first = matches!(op.pool_spec.data_format, DataFormat::NCHW | DataFormat::NHWC);
        if !batch_first {
            return Err("a convolution without a batch dimension is not supported".to_owned());
        }
        let channels_last = op.pool_spec.data_format == DataFormat::NHWC;
        let mut input = self.in_memory(node.inputs[0])?;
        if !channels_last {
            // Seen with the channels last; the unfolding moves the elements anyway.
            input = input.move_axis(1, input.extents.len() - 1);
        }
        let input = self.pad(&input, op)?;
        let places = {
            let shape = node.outputs[0].fact.shape.to_tvec().to_vec();
            let first = if channels_last { 1 } else { 2 };
            shape[first..first + op.pool_spec.rank()].to_vec()
        };
        let unfolded = unfold(&input, op, &places)?;
        let unfolded = self.builder.row_major(&unfolded)?;

        let kernel = self.kernel(node.inputs[1], op)?;
        let depth = kernel.extents[0].clone();
        let columns = kernel.extents[1].clone();
        let mut extents = vec![input.extents[0].clone()];
        extents.extend(places);
        let rows = product(&extents);
        let flat = |value: &Value, dims: [TDim; 2]| {
            Value::dense(value.operands[0].buffer, value.element, dims.to_vec())
        };
        let left = flat(&unfolded, [rows.clone(), depth.clone()]);
        let matrices = [&left, &kernel].map(|value| Builder::matrix(value, false));
        let matrices = matrices.into_iter().collect::<Option<Vec<_>>>();
        let matrices = matrices.ok_or("its kernel is no matrix")?;
        let result = self.builder.scratch(gpumux_plan::Element::F32, &[rows, columns.clone()])?;
        let result = self.product(matrices, depth, result)?;
        let result = self.with_channel_bias(node.inputs[2], result, &columns)?;

        extents.push(columns);
        let seen = result.reshape(0, &result.extents[..1], &extents[..extents.len() - 1]);
        let seen = seen.ok_or("its result cannot be seen with its own dimensions")?;
        Ok(if channels_last { seen } else { seen.move_axis(extents.len() - 1, 1) })
    }

    fn with_channel_bias(
        &mut self,
        bias: OutletId,
        result: Value,
        columns: &TDim,
    ) -> Result<Value, Refusal> {
        let constant = self.constant(bias).ok_or("its bias is not a constant")?;
        let is_zero = constant.as_uniform().and_then(|it| it.cast_to_scalar::<f32>().ok());
        if is_zero == Some(0.) {
            return Ok(result);
        }
        let mut row = self.builder.weight(&constant)?;
        if row.extents.is_empty() {
            row = row.insert_axis(0);
        }
        let row = row.insert_axis(0).broadcast(&[result.extents[0].clone(), columns.clone()]);
        match self.add_bias(&result, &row) {
            Some(value) => Ok(value),
            None => self.builder.apply(
                &[result, row],
                gpumux_plan::Instruction::Binary(gpumux_plan::Binary::Add),
                gpumux_plan::Domain::Real,
                gpumux_plan::Element::F32,
            ),
        }
    }

    /// The input, channels last, with the zeros around it that the convolution sees.
    fn pad(&mut self, input: &Value, op: &Conv) -> Result<Value, Refusal> {
        let rank = op.pool_spec.rank();
        let spatial = input.extents[1..=rank].to_vec();
        let padding = op.pool_spec.computed_padding(&spatial);
        if padding.iter().all(|it| it.pad_before == zero() && it.pad_after == zero()) {
            return Ok(input.clone());
        }
        let mut extents = input.extents.clone();
        for (axis, pad) in padding.iter().enumerate() {
            let padded = extents[axis + 1].clone() + &pad.pad_before + &pad.pad_after;
            extents[axis + 1] = padded;
        }
        let nothing = gpumux_plan::Instruction::Real(0.);
        let zeros = Value::number(nothing, gpumux_plan::Element::F32, extents);
        let padded = self.builder.compute(&zeros, gpumux_plan::Role::Scratch)?;
        let mut inside = padded.clone();
        for (axis, pad) in padding.iter().enumerate() {
            let end = pad.pad_before.clone() + &spatial[axis];
            inside = inside.slice(axis + 1, &pad.pad_before, &end);
        }
        self.builder.store(input, &inside)?;
        Ok(padded)
    }

    /// The kernel as a matrix: a row for each tap and input channel, a column for each output
    /// channel.
    fn kernel(&mut self, outlet: OutletId, op: &Conv) -> Result<Value, Refusal> {
        let constant = self.constant(outlet).ok_or("its kernel is not a constant")?;
        let rank = constant.rank();
        let order: Vec<usize> = match op.kernel_fmt {
            KernelFormat::OIHW => (2..rank).chain([1, 0]).collect(),
            KernelFormat::OHWI => (1..rank).chain([0]).collect(),
            KernelFormat::HWIO => (0..rank).collect(),
        };
        let say = |why: TractError| why.to_string();
        let moved = constant.as_ref().clone().permute_axes(&order).map_err(say)?;
        let columns = moved.shape()[rank - 1];
        let rows = moved.len().checked_div(columns).ok_or("its kernel is empty")?;
        let matrix = moved.into_shape(&[rows, columns]).map_err(say)?;
        self.builder.weight(&matrix)
    }
}

/// A padded input, channels last, seen as a row of taps and channels for each place of the output.
fn unfold(input: &Value, op: &Conv, places: &[TDim]) -> Result<Value, Refusal> {
    let spec = &op.pool_spec;
    let view = input.plain().ok_or("its input is not in memory")?;
    let axes = 1..=spec.rank();
    let mut extents = vec![input.extents[0].clone()];
    let mut strides = vec![view.strides[0].clone()];
    for axis in axes.clone() {
        extents.push(places[axis - 1].clone());
        strides.push(view.strides[axis].clone() * spec.stride(axis - 1));
    }
    for axis in axes {
        extents.push(spec.kernel_shape[axis - 1].into());
        strides.push(view.strides[axis].clone() * spec.dilation(axis - 1));
    }
    let channels = input.extents.len() - 1;
    extents.push(input.extents[channels].clone());
    strides.push(view.strides[channels].clone());
    Ok(Value::seen(View { strides, ..view.clone() }, extents))
}
