//! Reading ONNX with tract: the typed graph in its decluttered form, and the names of its ports.

use std::io::Cursor;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{TractErrorContext as _, bail, ensure};
use tract_onnx::tract_core::ops::einsum::prefix_matmul::rewrite_einsum_to_prefix_matmul;
use tract_onnx::tract_core::transform::get_transform;
use tract_onnx::tract_hir::infer::{Factoid, GenericFactoid};

use crate::dims::Symbols;

/// What is wanted of a model.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The only batch size, or `None` to keep it free.
    pub(crate) batch: Option<u64>,
    /// The name of the variable dimension, if there is one.
    pub(crate) length: Option<String>,
    /// The outputs that are served; all of them where this is empty.
    pub(crate) outputs: Vec<String>,
}

/// A model as tract understands it.
pub(crate) struct Graph {
    pub(crate) model: TypedModel,
    pub(crate) symbols: Symbols,
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
}

/// Reads the model and brings it to the form that is lowered.
pub(crate) fn read(onnx: &[u8], wanted: &Wanted) -> TractResult<Graph> {
    let mut model = tract_onnx::onnx()
        .with_ignore_value_info(true)
        .with_ignore_output_shapes(true)
        .model_for_read(&mut Cursor::new(onnx))?;
    let names = |outlets: &[OutletId], model: &InferenceModel| -> Vec<String> {
        let name = |outlet: &OutletId| {
            model.outlet_label(*outlet).unwrap_or(&model.node(outlet.node).name).to_owned()
        };
        outlets.iter().map(name).collect()
    };
    let inputs = names(&model.inputs, &model);
    let all = names(&model.outputs, &model);
    let outputs = if wanted.outputs.is_empty() { all.clone() } else { wanted.outputs.clone() };
    let mut kept = Vec::new();
    for name in &outputs {
        let place = all.iter().position(|it| it == name);
        let place = place.with_context(|| format!("no output {name:?}; there are: {all:?}"))?;
        kept.push(model.outputs[place]);
    }
    model.outputs = kept;

    let symbols = fix_inputs(&mut model, wanted)?;
    let mut model = model.into_typed()?.into_decluttered()?;
    let detect = "transformers_detect_all";
    let transform = get_transform(detect)?.with_context(|| format!("tract lacks {detect}"))?;
    transform.transform(&mut model)?;
    rewrite_einsum_to_prefix_matmul(&mut model, false)?;
    Ok(Graph { model, symbols, inputs, outputs })
}

/// Sets the batch where it is fixed, and says which symbols stay.
fn fix_inputs(model: &mut InferenceModel, wanted: &Wanted) -> TractResult<Symbols> {
    let mut symbols = Symbols { batch: None, length: None };
    for index in 0..model.inputs.len() {
        let mut fact = model.input_fact(index)?.clone();
        let mut dims: Vec<_> = fact.shape.dims().cloned().collect();
        ensure!(!dims.is_empty(), "input {index} has no dimension for the batch");
        if let Some(batch) = wanted.batch {
            dims[0] = GenericFactoid::Only(TDim::Val(i64::try_from(batch)?));
        }
        let mut known: Vec<TDim> = Vec::new();
        for dim in &dims {
            let dim = dim.concretize();
            known.push(dim.with_context(|| format!("input {index} has an unknown dimension"))?);
        }
        let datum = fact.datum_type.concretize().context("an input has no type")?;
        for (axis, dim) in known.iter().enumerate() {
            match dim {
                TDim::Val(_) => {}
                TDim::Sym(symbol) if axis == 0 => note(&mut symbols.batch, symbol)?,
                TDim::Sym(symbol) if Some(symbol.to_string()) == wanted.length => {
                    note(&mut symbols.length, symbol)?;
                }
                other => bail!(
                    "input {index} has the free dimension `{other}`: only the first may be free, \
                     and one that is named as the length"
                ),
            }
        }
        fact = InferenceFact::dt_shape(datum, &known);
        model.set_input_fact(index, fact)?;
    }
    Ok(symbols)
}

fn note(known: &mut Option<Symbol>, symbol: &Symbol) -> TractResult<()> {
    match known {
        Some(known) if known != symbol => {
            bail!("the inputs name one dimension differently: `{known}` and `{symbol}`")
        }
        _ => {
            *known = Some(symbol.clone());
            Ok(())
        }
    }
}
