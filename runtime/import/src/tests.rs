//! The lowering of small graphs, made by hand in tract's own form.

use gpumux_plan::{BindError, Domain, Model, Op, Plan, Reduction, Shape};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::array::Slice;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::change_axes::AxisOp;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};
use tract_onnx::tract_core::ops::{logic, math};

use crate::dims::Symbols;
use crate::lower::{Refused, lower};
use crate::source::Graph;
use crate::weights::Weights;

/// A graph with one input of `[batch, length, 8]` floats.
struct Sketch {
    model: TypedModel,
    symbols: Symbols,
    input: OutletId,
}

impl Sketch {
    fn new() -> Self {
        let mut model = TypedModel::default();
        let (batch, length) = (model.symbols.sym("batch"), model.symbols.sym("length"));
        let dims: TVec<TDim> = tvec![(&batch).into(), (&length).into(), TDim::Val(8)];
        let input = model.add_source("x", f32::fact(dims)).unwrap();
        let symbols = Symbols { batch: Some(batch), length: Some(length) };
        Self { model, symbols, input }
    }

    fn node(
        &mut self,
        name: &str,
        op: impl Into<Box<dyn TypedOp>>,
        inputs: &[OutletId],
    ) -> OutletId {
        self.model.wire_node(name, op, inputs).unwrap()[0]
    }

    fn lower(mut self, outputs: &[OutletId]) -> Result<(Model, Plan), Vec<Refused>> {
        self.model.select_output_outlets(outputs).unwrap();
        let names = outputs.iter().enumerate().map(|(index, _)| format!("y{index}")).collect();
        let graph = Graph {
            model: self.model,
            symbols: self.symbols,
            inputs: vec!["x".to_owned()],
            outputs: names,
        };
        let mut weights = Weights::default();
        let plan = lower(&graph, None, &mut weights)?;
        let (weights, bytes) = weights.finish();
        let weight_bytes = bytes.len().try_into().unwrap();
        let model = Model { weight_bytes, weights, plans: vec![plan.clone()] };
        model.check().unwrap();
        Ok((model, plan))
    }
}

#[test]
fn every_operator_that_cannot_be_lowered_is_named() {
    let mut sketch = Sketch::new();
    let turned = sketch.node("turn", math::cos(), &[sketch.input]);
    let after = sketch.node("after", math::exp(), &[turned]);
    let best = Reduce::new(tvec![2], Reducer::ArgMax(false));
    let best = sketch.node("best", best, &[sketch.input]);
    let refused = sketch.lower(&[after, best]).unwrap_err();
    let named: Vec<String> = refused.iter().map(Refused::to_string).collect();
    assert_eq!(named.len(), 2, "{named:?}");
    assert!(named[0].starts_with("turn (Cos):"), "{named:?}");
    assert!(named[1].starts_with("best (Reduce<ArgMax"), "{named:?}");
}

#[test]
fn a_chain_of_elementwise_operators_is_one_operation() {
    let mut sketch = Sketch::new();
    let half = sketch.model.add_const("half", tensor3(&[[[0.5f32]]])).unwrap();
    let x = sketch.input;
    let grown = sketch.node("grow", math::mul(), &[x, half]);
    let bent = sketch.node("bend", math::tanh(), &[grown]);
    let back = sketch.node("back", math::add(), &[bent, x]);
    let (_, plan) = sketch.lower(&[back]).unwrap();
    let [Op::Map(map)] = plan.ops.as_slice() else { panic!("{:?}", plan.ops) };
    assert_eq!(map.inputs.len(), 1);
    assert_eq!(map.program.instructions.len(), 6);
}

#[test]
fn a_value_with_two_readers_is_computed_once() {
    let mut sketch = Sketch::new();
    let bent = sketch.node("bend", math::tanh(), &[sketch.input]);
    let square = sketch.node("square", math::square(), &[bent]);
    let root = sketch.node("exp", math::exp(), &[bent]);
    let (_, plan) = sketch.lower(&[square, root]).unwrap();
    assert_eq!(plan.ops.len(), 3);
}

#[test]
fn a_reduction_of_the_middle_dimension_moves_nothing() {
    let mut sketch = Sketch::new();
    let sum = Reduce::new(tvec![1], Reducer::Sum);
    let sum = sketch.node("sum", sum, &[sketch.input]);
    let sum = sketch.node("flat", AxisOp::Rm(1), &[sum]);
    let (model, plan) = sketch.lower(&[sum]).unwrap();
    let [Op::Reduce(reduce)] = plan.ops.as_slice() else { panic!("{:?}", plan.ops) };
    assert_eq!(reduce.reduction, Reduction::Sum);
    let bound = plan.bind(&model, Shape { batch: 2, length: 5 }).unwrap();
    let Op::Reduce(reduce) = &bound.ops()[0] else { panic!("a reduction") };
    assert_eq!((&reduce.extents[..], &reduce.input.strides[..]), (&[2, 8, 5][..], &[40, 1, 8][..]));
}

#[test]
fn a_length_beyond_a_table_is_refused_when_it_is_bound() {
    let mut sketch = Sketch::new();
    let table: Vec<f32> = (0u16..48).map(f32::from).collect();
    let table = Tensor::from_shape(&[1, 6, 8], &table).unwrap();
    let table = sketch.model.add_const("table", table).unwrap();
    let length: TDim = sketch.symbols.length.clone().unwrap().into();
    let rows = sketch.node("rows", Slice::new(1, TDim::Val(0), length), &[table]);
    let sum = sketch.node("sum", math::add(), &[sketch.input, rows]);
    let (model, plan) = sketch.lower(&[sum]).unwrap();
    assert!(plan.bind(&model, Shape { batch: 3, length: 6 }).is_ok());
    let beyond = plan.bind(&model, Shape { batch: 3, length: 7 });
    assert!(matches!(beyond, Err(BindError::Reach(0))), "{beyond:?}");
}

#[test]
fn integers_are_compared_as_integers() {
    let mut sketch = Sketch::new();
    let dims: TVec<TDim> = sketch.model.outlet_fact(sketch.input).unwrap().shape.to_tvec();
    let whole = sketch.model.add_source("whole", i32::fact(dims)).unwrap();
    let marks = sketch.model.add_const("marks", tensor3(&[[[1i32, 2, 3, 4, 5, 6, 7, 8]]])).unwrap();
    let equal = TypedBinOp(logic::comp_eq(), None);
    let same = sketch.node("same", equal, &[whole, marks]);
    let cast = tract_onnx::tract_core::ops::cast::cast(f32::datum_type());
    let one_hot = sketch.node("float", cast, &[same]);
    let mut graph = sketch;
    graph.model.select_output_outlets(&[one_hot]).unwrap();
    let graph = Graph {
        model: graph.model,
        symbols: graph.symbols,
        inputs: vec!["x".to_owned(), "whole".to_owned()],
        outputs: vec!["y".to_owned()],
    };
    let plan = lower(&graph, None, &mut Weights::default()).unwrap();
    let [Op::Map(map)] = plan.ops.as_slice() else { panic!("{:?}", plan.ops) };
    assert_eq!(map.program.domain, Domain::Whole);
}
