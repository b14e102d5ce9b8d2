//! `gpumux-import`: reads an ONNX model and writes the plan and the weights that the engine runs.
//!
//! It is a process of its own because models come from tenants: what parses their files must not
//! hold anybody else's data. It is also the only place that knows tract. What it writes is checked
//! again by whoever reads it.
#![forbid(unsafe_code)]

mod builder;
mod dims;
mod elementwise;
mod lower;
mod operators;
mod patterns;
mod products;
mod rows;
mod source;
mod value;
mod weights;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use gpumux_plan::Model;

use crate::source::Wanted;
use crate::weights::Weights;

#[derive(Parser)]
#[command(about = "Lowers an ONNX model to a plan for gpumux")]
struct Arguments {
    /// The model
    model: PathBuf,
    /// Where the plan goes
    #[arg(long)]
    plan: PathBuf,
    /// Where the weights go
    #[arg(long)]
    weights: PathBuf,
    /// A batch size to make a plan for; may be given several times. Without it one plan is made
    /// for all batch sizes, which some models do not allow
    #[arg(long = "batch", value_name = "REQUESTS")]
    batches: Vec<u64>,
    /// The name that the model gives to its variable dimension
    #[arg(long, value_name = "NAME")]
    length: Option<String>,
    /// An output that is served; may be given several times. Without it all outputs are
    #[arg(long = "output", value_name = "NAME")]
    outputs: Vec<String>,
    /// Print the operations
    #[arg(long)]
    print: bool,
}

fn main() -> ExitCode {
    match import(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gpumux-import: {error}");
            ExitCode::FAILURE
        }
    }
}

fn import(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let path = arguments.model.display();
    let onnx = fs::read(&arguments.model).map_err(|error| format!("{path}: {error}"))?;
    let mut weights = Weights::default();
    let mut plans = Vec::new();
    let mut batches: Vec<_> = arguments.batches.iter().copied().map(Some).collect();
    if batches.is_empty() {
        batches.push(None);
    }
    for batch in batches {
        let (length, outputs) = (arguments.length.clone(), arguments.outputs.clone());
        let graph = source::read(&onnx, &Wanted { batch, length, outputs })
            .map_err(|error| format!("{path}: {error:#}"))?;
        let plan = lower::lower(&graph, batch, &mut weights).map_err(|refused| {
            let list: String = refused.iter().map(|it| format!("\n  {it}")).collect();
            format!("{path}: these operators cannot be served:{list}")
        })?;
        if arguments.print {
            for (index, op) in plan.ops.iter().enumerate() {
                println!("{index:4} {op:?}");
            }
        }
        plans.push(plan);
    }
    let (weights, bytes) = weights.finish();
    let weight_bytes = u64::try_from(bytes.len())?;
    let model = Model { weight_bytes, weights, plans };
    model.check()?;
    fs::write(&arguments.weights, bytes)
        .map_err(|error| format!("{}: {error}", arguments.weights.display()))?;
    fs::write(&arguments.plan, model.write())
        .map_err(|error| format!("{}: {error}", arguments.plan.display()))?;
    Ok(())
}
