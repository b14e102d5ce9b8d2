//! From the typed graph to a plan: walks the nodes in order and lowers each by its kind.

use std::collections::HashMap;
use std::fmt;

use gpumux_plan::{BufferIndex, Instruction, Plan, Port, Role};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::source::TypedSource;

use crate::builder::{Builder, Refusal};
use crate::dims::product;
use crate::patterns::{self, Patterns};
use crate::source::Graph;
use crate::value::Value;
use crate::weights::{Weights, element};

/// A node that cannot be lowered.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    node: String,
    op: String,
    why: Refusal,
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({}): {}", self.node, self.op, self.why)
    }
}

/// The state of one walk.
pub(crate) struct Lowering<'a> {
    pub(crate) model: &'a TypedModel,
    pub(crate) builder: Builder<'a>,
    pub(crate) patterns: Patterns,
    /// The batch size, where it is fixed.
    pub(crate) batch: Option<u64>,
    values: HashMap<OutletId, Value>,
}

/// Lowers a graph. `batch` is the only batch size that it is right for, if it is not free.
pub(crate) fn lower(
    graph: &Graph,
    batch: Option<u64>,
    weights: &mut Weights,
) -> Result<Plan, Vec<Refused>> {
    let builder =
        Builder { symbols: &graph.symbols, weights, buffers: Vec::new(), ops: Vec::new() };
    let mut lowering = Lowering {
        model: &graph.model,
        builder,
        patterns: patterns::find(&graph.model),
        batch,
        values: HashMap::new(),
    };
    let inputs = lowering.inputs(&graph.inputs).map_err(one)?;
    lowering.walk()?;
    let outputs = lowering.outputs(&graph.outputs).map_err(one)?;
    let Builder { symbols, buffers, ops, .. } = lowering.builder;
    let ops = ops.iter().map(|op| op.with_numbers(|dim| symbols.size(dim)));
    let ops = ops.collect::<Result<_, _>>().map_err(|why| one(refused("plan", "sizes", why)))?;
    Ok(Plan { batch, inputs, outputs, buffers, ops })
}

fn one(refused: Refused) -> Vec<Refused> {
    vec![refused]
}

fn refused(node: &str, op: &str, why: impl Into<Refusal>) -> Refused {
    Refused { node: node.to_owned(), op: op.to_owned(), why: why.into() }
}

impl Lowering<'_> {
    fn inputs(&mut self, names: &[String]) -> Result<Vec<Port>, Refused> {
        let mut ports = Vec::new();
        for (outlet, name) in self.model.input_outlets().unwrap_or_default().iter().zip(names) {
            let fail = |why: Refusal| refused(name, "Input", why);
            let fact = self.model.outlet_fact(*outlet).map_err(|why| fail(why.to_string()))?;
            let element = element(fact.datum_type)
                .ok_or_else(|| fail(format!("its type {:?} is not served", fact.datum_type)))?;
            let extents = fact.shape.to_tvec().to_vec();
            let buffer = self.builder.buffer(Role::Input, element, &product(&extents));
            let buffer = buffer.map_err(fail)?;
            ports.push(self.port(name, buffer, &extents).map_err(fail)?);
            self.values.insert(*outlet, Value::dense(buffer, element, extents));
        }
        Ok(ports)
    }

    fn port(&self, name: &str, buffer: BufferIndex, dims: &[TDim]) -> Result<Port, Refusal> {
        let dims =
            dims.iter().map(|dim| self.builder.symbols.size(dim)).collect::<Result<_, _>>()?;
        Ok(Port { name: name.to_owned(), buffer, dims })
    }

    /// Lowers every node, and names all that it cannot, not only the first.
    fn walk(&mut self) -> Result<(), Vec<Refused>> {
        let order = self.model.eval_order();
        let order = order.map_err(|why| one(refused("graph", "order", why.to_string())))?;
        let mut all = Vec::new();
        for id in order {
            let node = self.model.node(id);
            let is_leaf = node.op_is::<Const>() || node.op_is::<TypedSource>();
            let is_known = |outlet: &OutletId| {
                self.values.contains_key(outlet) || self.model.node(outlet.node).op_is::<Const>()
            };
            if is_leaf || self.patterns.is_inside(id) {
                continue;
            }
            // What hangs on a refused node is not refused again.
            if !self.inputs_of(id).iter().all(is_known) {
                continue;
            }
            match self.node(node) {
                Ok(value) => {
                    self.values.insert(OutletId::new(id, 0), value);
                }
                Err(why) => all.push(refused(&node.name, &node.op.name(), why)),
            }
        }
        if all.is_empty() { Ok(()) } else { Err(all) }
    }

    /// Where a node's values come from; for the last node of a pattern, where the pattern's do.
    fn inputs_of(&self, id: usize) -> Vec<OutletId> {
        match self.patterns.norm(id) {
            Some(norm) => norm.inputs().to_vec(),
            None => self.model.node(id).inputs.to_vec(),
        }
    }

    fn node(&mut self, node: &TypedNode) -> Result<Value, Refusal> {
        if node.outputs.len() != 1 {
            return Err("operators with several results are not supported".to_owned());
        }
        let mut value = self.operator(node)?;
        let fact = &node.outputs[0].fact;
        let right = value.extents.as_slice() == &*fact.shape.to_tvec()
            && element(fact.datum_type) == Some(value.element);
        if !right {
            let got = format!("{:?} {:?}", value.extents, value.element);
            return Err(format!("lowered to {got}, which is not its type {fact:?}"));
        }
        if self.patterns.uses(node.id) != 1 {
            // Several readers would each compute it again.
            if value.plain().is_none() && !value.operands.is_empty() {
                value = self.builder.plain(&value)?;
            }
            value.product = None;
        }
        Ok(value)
    }

    /// The value of an input of a node.
    pub(crate) fn argument(&mut self, outlet: OutletId) -> Result<Value, Refusal> {
        if let Some(value) = self.values.get(&outlet) {
            return Ok(value.clone());
        }
        let Some(constant) = self.constant(outlet) else {
            return Err("it needs a value that was not computed".to_owned());
        };
        let extents: Vec<TDim> = constant.shape().iter().map(TDim::from).collect();
        let uniform = constant.as_uniform();
        let number = uniform.as_ref().and_then(number);
        match (number, element(constant.datum_type())) {
            (Some(number), Some(element)) => Ok(Value::number(number, element, extents)),
            _ => self.builder.weight(&constant),
        }
    }

    /// The value of an input of a node, as elements in memory.
    pub(crate) fn in_memory(&mut self, outlet: OutletId) -> Result<Value, Refusal> {
        match self.constant(outlet) {
            Some(constant) => self.builder.weight(&constant),
            None => {
                let value = self.argument(outlet)?;
                self.builder.plain(&value)
            }
        }
    }

    /// The constant that an outlet gives, if it does.
    pub(crate) fn constant(&self, outlet: OutletId) -> Option<Arc<Tensor>> {
        self.model.node(outlet.node).op_as::<Const>().map(|it| it.val().clone())
    }

    fn outputs(&mut self, names: &[String]) -> Result<Vec<Port>, Refused> {
        let mut ports: Vec<Port> = Vec::new();
        for (outlet, name) in self.model.output_outlets().unwrap_or_default().iter().zip(names) {
            let fail = |why: Refusal| refused(name, "Output", why);
            let value = self.argument(*outlet).map_err(fail)?;
            let buffer = self.output_buffer(&value, &ports).map_err(fail)?;
            ports.push(self.port(name, buffer, &value.extents).map_err(fail)?);
        }
        Ok(ports)
    }

    /// The buffer that an output is taken from: the one that it was computed in where that holds
    /// nothing else, otherwise a new one.
    fn output_buffer(&mut self, value: &Value, ports: &[Port]) -> Result<BufferIndex, Refusal> {
        if let Some(view) = value.row_major() {
            let index = usize::try_from(view.buffer.0).expect("a buffer of this plan");
            let elements = self.builder.symbols.size(&product(&value.extents))?;
            let buffer = &mut self.builder.buffers[index];
            let is_free = buffer.role == Role::Scratch && buffer.elements == elements;
            if is_free && !ports.iter().any(|port| port.buffer == view.buffer) {
                buffer.role = Role::Output;
                return Ok(view.buffer);
            }
        }
        let copy = self.builder.compute(value, Role::Output)?;
        Ok(copy.operands[0].buffer)
    }
}

/// A uniform constant as an instruction, where one can hold it.
pub(crate) fn number(uniform: &Tensor) -> Option<Instruction> {
    match uniform.datum_type() {
        DatumType::F32 => uniform.cast_to_scalar::<f32>().ok().map(Instruction::Real),
        DatumType::I64 | DatumType::I32 | DatumType::Bool => {
            let whole = uniform.cast_to_scalar::<i64>().ok()?;
            i32::try_from(whole).ok().map(Instruction::Whole)
        }
        _ => None,
    }
}
