//! A bound plan run on the CPU, as plainly as possible: what the operations mean.
//!
//! It is the yardstick for the lowering (against ONNX Runtime) and for the kernels (against it),
//! and works on the same block of memory, so that a wrong placement of buffers shows.

#![expect(
    clippy::cast_possible_truncation,
    reason = "integers are stored in fewer bits as the kernels store them"
)]

use gpumux_plan::{
    Binary, Bound, BufferIndex, Dense, Domain, Element, Gather, Instruction, Map, Matrix, Norm, Op,
    Operand, Place, Product, Program, Reduce, Reduction, Softmax, Unary,
};

/// Memory of one run.
pub(crate) struct Interpreter<'a> {
    bound: &'a Bound,
    weights: &'a [u8],
    /// The plan's block.
    pub(crate) block: Vec<u8>,
}

/// An element, in the domain that a program computes in.
#[derive(Clone, Copy)]
enum Number {
    Real(f32),
    Whole(i64),
}

impl<'a> Interpreter<'a> {
    pub(crate) fn new(bound: &'a Bound, weights: &'a [u8]) -> Self {
        // What is read before it is written shows as nonsense, not as zeros.
        let mut block = vec![0xff; usize(bound.bytes())];
        block[usize(bound.flags().start)..usize(bound.flags().end)].fill(0);
        Self { bound, weights, block }
    }

    pub(crate) fn run(&mut self) {
        for op in self.bound.ops() {
            match op {
                Op::Product(it) => self.product(it),
                Op::Map(it) => self.map(it),
                Op::Reduce(it) => self.reduce(it),
                Op::Norm(it) => self.norm(it),
                Op::Softmax(it) => self.softmax(it),
                Op::Gather(it) => self.gather(it),
            }
        }
    }

    /// The flags: one for each request, then the batch's.
    pub(crate) fn flags(&self) -> Vec<u32> {
        let range = usize(self.bound.flags().start)..usize(self.bound.flags().end);
        let words = self.block[range].chunks_exact(4);
        words.map(|it| u32::from_le_bytes(it.try_into().unwrap())).collect()
    }

    fn bytes(&self, buffer: BufferIndex, index: u64) -> (&[u8], Element) {
        let (place, element) = self.bound.buffer(buffer);
        let (memory, begin) = match place {
            Place::Block(begin) => (&self.block[..], begin),
            Place::Weights(begin) => (self.weights, begin),
        };
        let begin = usize(begin + index * element.bytes());
        (&memory[begin..begin + usize(element.bytes())], element)
    }

    fn number(&self, buffer: BufferIndex, index: u64) -> Number {
        let (bytes, element) = self.bytes(buffer, index);
        match element {
            Element::F32 => Number::Real(f32::from_le_bytes(bytes.try_into().unwrap())),
            Element::I64 => Number::Whole(i64::from_le_bytes(bytes.try_into().unwrap())),
            Element::I32 => Number::Whole(i32::from_le_bytes(bytes.try_into().unwrap()).into()),
            Element::Bool => Number::Whole(bytes[0].into()),
        }
    }

    fn real(&self, buffer: BufferIndex, index: u64) -> f32 {
        match self.number(buffer, index) {
            Number::Real(it) => it,
            Number::Whole(_) => panic!("a float was expected"),
        }
    }

    fn row(&self, from: &Dense<u64>, row: u64, width: u64) -> Vec<f32> {
        let begin = from.offset + row * width;
        (begin..begin + width).map(|index| self.real(from.buffer, index)).collect()
    }

    fn store(&mut self, buffer: BufferIndex, index: u64, number: Number) {
        let (place, element) = self.bound.buffer(buffer);
        let Place::Block(begin) = place else { panic!("a weight is written") };
        let begin = usize(begin + index * element.bytes());
        let bytes: Vec<u8> = match (element, number) {
            (Element::F32, Number::Real(it)) => it.to_le_bytes().to_vec(),
            (Element::F32, Number::Whole(it)) => (it as f32).to_le_bytes().to_vec(),
            (Element::I64, Number::Whole(it)) => it.to_le_bytes().to_vec(),
            (Element::I32, Number::Whole(it)) => (it as i32).to_le_bytes().to_vec(),
            (Element::Bool, Number::Whole(it)) => vec![u8::from(it != 0)],
            (Element::Bool, Number::Real(it)) => vec![u8::from(it != 0.)],
            (Element::I64 | Element::I32, Number::Real(_)) => panic!("a float becomes an integer"),
        };
        self.block[begin..begin + bytes.len()].copy_from_slice(&bytes);
    }

    fn store_row(&mut self, to: &Dense<u64>, row: u64, values: &[f32]) {
        let begin = to.offset + row * values.len() as u64;
        for (index, value) in (begin..).zip(values) {
            self.store(to.buffer, index, Number::Real(*value));
        }
    }

    fn matrix(&self, of: &Matrix<u64>, batch: u64, rows: u64, columns: u64) -> Vec<f32> {
        let begin = of.offset + batch * of.batch_stride;
        let mut values = Vec::with_capacity(usize(rows * columns));
        for row in 0..rows {
            for column in 0..columns {
                let index = begin + row * of.row_stride + column * of.column_stride;
                values.push(self.real(of.buffer, index));
            }
        }
        values
    }

    fn product(&mut self, it: &Product<u64>) {
        let columns = usize(it.columns);
        for batch in 0..it.batch {
            let left = self.matrix(&it.left, batch, it.rows, it.depth);
            let right = self.matrix(&it.right, batch, it.depth, it.columns);
            for (row, left) in (0..).zip(left.chunks(usize(it.depth))) {
                let mut sums = match &it.bias {
                    Some(bias) => self.row(bias, 0, it.columns),
                    None => vec![0.; columns],
                };
                for (factor, right) in left.iter().zip(right.chunks(columns)) {
                    for (sum, other) in sums.iter_mut().zip(right) {
                        *sum += factor * other;
                    }
                }
                let begin =
                    it.output.offset + batch * it.output.batch_stride + row * it.output.row_stride;
                for (index, sum) in (begin..).zip(sums) {
                    self.store(it.output.buffer, index, Number::Real(sum));
                }
            }
        }
    }

    fn map(&mut self, it: &Map<u64>) {
        for index in indices(&it.extents) {
            let operands: Vec<Number> = it
                .inputs
                .iter()
                .map(|operand| self.number(operand.buffer, place(operand, &index)))
                .collect();
            let number = evaluate(&it.program, &operands);
            self.store(it.output.buffer, place(&it.output, &index), number);
        }
    }

    fn reduce(&mut self, it: &Reduce<u64>) {
        let (width, outer) = it.extents.split_last().unwrap();
        for (row, mut index) in (0..).zip(indices(outer)) {
            index.push(0);
            let mut values = Vec::new();
            for last in 0..*width {
                *index.last_mut().unwrap() = last;
                values.push(self.real(it.input.buffer, place(&it.input, &index)));
            }
            let reduced = match it.reduction {
                Reduction::Sum => values.iter().sum(),
                Reduction::SumOfSquares => values.iter().map(|it| it * it).sum(),
                Reduction::Maximum => values.iter().copied().reduce(maximum).unwrap(),
                Reduction::Minimum => values.iter().copied().reduce(minimum).unwrap(),
            };
            let number = Number::Real(reduced * it.scale);
            self.store(it.output.buffer, it.output.offset + row, number);
        }
    }

    fn norm(&mut self, it: &Norm<u64>) {
        let weight = self.row(&it.weight, 0, it.width);
        let bias = self.row(&it.bias, 0, it.width);
        for row in 0..it.rows {
            let mut values = self.row(&it.input, row, it.width);
            if let Some(residual) = &it.residual {
                let other = self.row(residual, row, it.width);
                values.iter_mut().zip(other).for_each(|(value, other)| *value += other);
            }
            let count = values.len() as f32;
            let mean = values.iter().sum::<f32>() / count;
            let variance = values.iter().map(|it| (it - mean) * (it - mean)).sum::<f32>() / count;
            let scale = 1. / (variance + it.epsilon).sqrt();
            for ((value, weight), bias) in values.iter_mut().zip(&weight).zip(&bias) {
                *value = (*value - mean) * scale * weight + bias;
            }
            self.store_row(&it.output, row, &values);
        }
    }

    fn softmax(&mut self, it: &Softmax<u64>) {
        let (width, outer) = it.extents.split_last().unwrap();
        for (row, mut index) in (0..).zip(indices(outer)) {
            index.push(0);
            let mut values = self.row(&it.input, row, *width);
            for (last, value) in (0..).zip(&mut values) {
                *value *= it.scale;
                if let Some(mask) = &it.mask {
                    *index.last_mut().unwrap() = last;
                    *value += self.real(mask.buffer, place(mask, &index));
                }
            }
            let greatest = values.iter().copied().reduce(maximum).unwrap();
            values.iter_mut().for_each(|it| *it = (*it - greatest).exp());
            let sum = values.iter().sum::<f32>();
            values.iter_mut().for_each(|it| *it /= sum);
            self.store_row(&it.output, row, &values);
        }
    }

    fn gather(&mut self, it: &Gather<u64>) {
        let rows = i64::try_from(it.rows).unwrap();
        for index in 0..it.count {
            let Number::Whole(wanted) = self.number(it.indices.buffer, it.indices.offset + index)
            else {
                panic!("an index is a float");
            };
            let row = if (-rows..rows).contains(&wanted) {
                self.row(&it.table, wanted.rem_euclid(rows).try_into().unwrap(), it.width)
            } else {
                let request = it.per_request.map_or(self.bound.shape().batch, |own| index / own);
                let flag = usize(self.bound.flags().start + 4 * request);
                self.block[flag] = 1;
                vec![0.; usize(it.width)]
            };
            self.store_row(&it.output, index, &row);
        }
    }
}

fn usize(number: u64) -> usize {
    number.try_into().unwrap()
}

/// Every index within the extents, the last dimension fastest.
fn indices(extents: &[u64]) -> impl Iterator<Item = Vec<u64>> + use<> {
    let extents = extents.to_vec();
    let count = extents.iter().product::<u64>();
    (0..count).map(move |mut flat| {
        let mut index = vec![0; extents.len()];
        for (place, extent) in index.iter_mut().zip(&extents).rev() {
            *place = flat % extent;
            flat /= extent;
        }
        index
    })
}

fn place(operand: &Operand<u64>, index: &[u64]) -> u64 {
    let steps = operand.strides.iter().zip(index).map(|(stride, index)| stride * index);
    operand.offset + steps.sum::<u64>()
}

fn maximum(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) }
}

fn minimum(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() { f32::NAN } else { a.min(b) }
}

fn evaluate(program: &Program, operands: &[Number]) -> Number {
    match program.domain {
        Domain::Real => {
            let loaded = operands.iter().map(|it| match it {
                Number::Real(it) => *it,
                Number::Whole(it) => *it as f32,
            });
            Number::Real(run(program, &loaded.collect::<Vec<_>>(), unary_real, binary_real))
        }
        Domain::Whole => {
            let loaded = operands.iter().map(|it| match it {
                Number::Whole(it) => *it,
                Number::Real(_) => panic!("a float in a program on integers"),
            });
            Number::Whole(run(program, &loaded.collect::<Vec<_>>(), unary_whole, binary_whole))
        }
    }
}

trait Domained: Copy + PartialEq + Default {
    fn constant(instruction: Instruction) -> Self;
}

impl Domained for f32 {
    fn constant(instruction: Instruction) -> Self {
        let Instruction::Real(it) = instruction else { panic!("{instruction:?}") };
        it
    }
}

impl Domained for i64 {
    fn constant(instruction: Instruction) -> Self {
        let Instruction::Whole(it) = instruction else { panic!("{instruction:?}") };
        it.into()
    }
}

fn run<T: Domained>(
    program: &Program,
    operands: &[T],
    unary: fn(Unary, T) -> T,
    binary: fn(Binary, T, T) -> T,
) -> T {
    let mut stack: Vec<T> = Vec::new();
    for instruction in &program.instructions {
        let value = match *instruction {
            Instruction::Load(operand) => operands[usize::from(operand)],
            Instruction::Unary(it) => unary(it, stack.pop().unwrap()),
            Instruction::Binary(it) => {
                let right = stack.pop().unwrap();
                binary(it, stack.pop().unwrap(), right)
            }
            Instruction::Select => {
                let otherwise = stack.pop().unwrap();
                let then = stack.pop().unwrap();
                if stack.pop().unwrap() == T::default() { otherwise } else { then }
            }
            constant => T::constant(constant),
        };
        stack.push(value);
    }
    stack.pop().unwrap()
}

fn unary_real(unary: Unary, x: f32) -> f32 {
    match unary {
        Unary::Negate => -x,
        Unary::Absolute => x.abs(),
        Unary::Square => x * x,
        Unary::SquareRoot => x.sqrt(),
        Unary::ReciprocalSquareRoot => 1. / x.sqrt(),
        Unary::Reciprocal => 1. / x,
        Unary::Exponential => x.exp(),
        Unary::Logarithm => x.ln(),
        Unary::Tanh => x.tanh(),
        Unary::Sigmoid => 1. / (1. + (-x).exp()),
        Unary::Silu => x / (1. + (-x).exp()),
        Unary::ErrorFunction => libm::erff(x),
        Unary::Gelu => 0.5 * x * (1. + libm::erff(x * std::f32::consts::FRAC_1_SQRT_2)),
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Not => f32::from(x == 0.),
    }
}

fn unary_whole(unary: Unary, x: i64) -> i64 {
    match unary {
        Unary::Negate => x.wrapping_neg(),
        Unary::Absolute => x.wrapping_abs(),
        Unary::Square => x.wrapping_mul(x),
        Unary::Not => i64::from(x == 0),
        other => panic!("{other:?} on an integer"),
    }
}

fn binary_real(binary: Binary, x: f32, y: f32) -> f32 {
    match binary {
        Binary::Add => x + y,
        Binary::Subtract => x - y,
        Binary::Multiply => x * y,
        Binary::Divide => x / y,
        Binary::Maximum => maximum(x, y),
        Binary::Minimum => minimum(x, y),
        Binary::Power => x.powf(y),
        Binary::Equal => f32::from(x == y),
        Binary::NotEqual => f32::from(x != y),
        Binary::Less => f32::from(x < y),
        Binary::LessOrEqual => f32::from(x <= y),
        Binary::Greater => f32::from(y < x),
        Binary::GreaterOrEqual => f32::from(y <= x),
        Binary::And => f32::from(x != 0. && y != 0.),
        Binary::Or => f32::from(x != 0. || y != 0.),
    }
}

fn binary_whole(binary: Binary, x: i64, y: i64) -> i64 {
    match binary {
        Binary::Add => x.wrapping_add(y),
        Binary::Subtract => x.wrapping_sub(y),
        Binary::Multiply => x.wrapping_mul(y),
        Binary::Maximum => x.max(y),
        Binary::Minimum => x.min(y),
        Binary::Equal => i64::from(x == y),
        Binary::NotEqual => i64::from(x != y),
        Binary::Less => i64::from(x < y),
        Binary::LessOrEqual => i64::from(x <= y),
        Binary::Greater => i64::from(y < x),
        Binary::GreaterOrEqual => i64::from(y <= x),
        Binary::And => i64::from(x != 0 && y != 0),
        Binary::Or => i64::from(x != 0 || y != 0),
        Binary::Divide | Binary::Power => panic!("{binary:?} on integers"),
    }
}
