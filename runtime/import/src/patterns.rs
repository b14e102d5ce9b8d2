//! Groups of nodes that are one operation to us.
//!
//! tract takes ONNX's layer normalisation apart; here it is found again: a mean (sum, times a
//! constant), a difference, a root-mean-square norm, a factor and a summand.

use std::collections::{HashMap, HashSet};

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer, RmsNorm};

/// A layer normalisation over the last dimension.
#[derive(Clone, Debug)]
pub(crate) struct NormPattern {
    /// What is normalised.
    pub(crate) input: OutletId,
    /// One factor for each element of a row.
    pub(crate) weight: OutletId,
    /// One summand for each element of a row.
    pub(crate) bias: OutletId,
    /// Added to the variance.
    pub(crate) epsilon: f32,
}

impl NormPattern {
    pub(crate) fn inputs(&self) -> [OutletId; 3] {
        [self.input, self.weight, self.bias]
    }
}

/// What was found in a graph.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    /// By the last node of each.
    norms: HashMap<usize, NormPattern>,
    /// All their nodes but the last.
    inside: HashSet<usize>,
    /// Readers of each node's value, a pattern counted as one, an output of the graph as one.
    uses: Vec<usize>,
}

impl Patterns {
    /// The pattern that ends with this node.
    pub(crate) fn norm(&self, node: usize) -> Option<&NormPattern> {
        self.norms.get(&node)
    }

    /// Whether a pattern computes this node on the way.
    pub(crate) fn is_inside(&self, node: usize) -> bool {
        self.inside.contains(&node)
    }

    /// How many read the node's value.
    pub(crate) fn uses(&self, node: usize) -> usize {
        self.uses.get(node).copied().unwrap_or_default()
    }
}

/// Finds all patterns.
pub(crate) fn find(model: &TypedModel) -> Patterns {
    let mut patterns = Patterns::default();
    for node in model.nodes() {
        if let Some((last, inside, norm)) = find_norm(model, node) {
            patterns.norms.insert(last, norm);
            patterns.inside.extend(inside);
        }
    }
    patterns.uses = vec![0; model.nodes().len()];
    for node in model.nodes().iter().filter(|node| !patterns.inside.contains(&node.id)) {
        let inputs = match patterns.norms.get(&node.id) {
            Some(norm) => norm.inputs().to_vec(),
            None => node.inputs.to_vec(),
        };
        for input in inputs {
            patterns.uses[input.node] += 1;
        }
    }
    for output in model.output_outlets().unwrap_or_default() {
        patterns.uses[output.node] += 1;
    }
    patterns
}

fn find_norm(model: &TypedModel, node: &TypedNode) -> Option<(usize, Vec<usize>, NormPattern)> {
    let norm = node.op_as::<RmsNorm>()?;
    let facts = model.node_input_facts(node.id).ok()?;
    let axis = facts[0].rank().checked_sub(1)?;
    let width = facts[0].shape[axis].to_i64().ok()?;
    if norm.axis != axis {
        return None;
    }
    let difference = binary(model, node.inputs[0].node, "Sub")?;
    let [input, mean] = difference.inputs[..] else { return None };
    let mean = binary(model, mean.node, "Mul")?;
    let (sum, share) = with_constant(model, mean)?;
    let share = share.as_uniform()?.cast_to_scalar::<f32>().ok()?;
    let sum = model.node(sum.node);
    let reduce = sum.op_as::<Reduce>()?;
    let is_mean = reduce.reducer == Reducer::Sum
        && reduce.axes.as_slice() == [axis]
        && sum.inputs[0] == input
        && share == (1. / as_real(width)?);

    let product = binary(model, only_reader(model, node)?, "Mul")?;
    let last = binary(model, only_reader(model, product)?, "Add")?;
    let weight = constant_input(model, product)?;
    let bias = constant_input(model, last)?;
    let is_row = |outlet: OutletId| {
        let constant = model.node(outlet.node).op_as::<Const>();
        constant.is_some_and(|it| i64::try_from(it.val().len()) == Ok(width))
    };
    let steps = [difference, mean, sum];
    let is_closed = steps.iter().all(|step| only_reader(model, step).is_some());
    if !(is_mean && is_closed && is_row(weight) && is_row(bias)) {
        return None;
    }
    let epsilon = norm.eps.cast_to_scalar::<f32>().ok()?;
    let inside = vec![sum.id, mean.id, difference.id, node.id, product.id];
    Some((last.id, inside, NormPattern { input, weight, bias, epsilon }))
}

/// A width that a float holds exactly.
fn as_real(width: i64) -> Option<f32> {
    u16::try_from(width).ok().map(f32::from)
}

fn binary<'a>(model: &'a TypedModel, node: usize, name: &str) -> Option<&'a TypedNode> {
    let node = model.node(node);
    let op = node.op_as::<TypedBinOp>()?;
    (op.0.name() == name).then_some(node)
}

/// The one node that reads a value, where no output does.
fn only_reader(model: &TypedModel, node: &TypedNode) -> Option<usize> {
    let is_output = model.output_outlets().ok()?.iter().any(|outlet| outlet.node == node.id);
    match node.outputs[0].successors.as_slice() {
        [reader] if !is_output => Some(reader.node),
        _ => None,
    }
}

fn constant_input(model: &TypedModel, node: &TypedNode) -> Option<OutletId> {
    node.inputs.iter().copied().find(|outlet| model.node(outlet.node).op_is::<Const>())
}

/// The input of a node that is computed, and the one that is constant.
fn with_constant(model: &TypedModel, node: &TypedNode) -> Option<(OutletId, Arc<Tensor>)> {
    let constant = constant_input(model, node)?;
    let computed = node.inputs.iter().copied().find(|outlet| *outlet != constant)?;
    let value = model.node(constant.node).op_as::<Const>()?.val().clone();
    Some((computed, value))
}
