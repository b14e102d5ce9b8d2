//! `gpumux-import`: reads an ONNX model and writes the plan and the weights that the engine runs.
//!
//! It is a process of its own because models come from tenants: what parses their files must not
//! hold anybody else's data, and is confined before it reads the first byte. It is also the only
//! place that knows tract. What it writes is checked again by whoever reads it.
#![forbid(unsafe_code)]

mod builder;
mod confine;
mod dims;
mod elementwise;
mod ending;
mod lower;
mod operators;
mod patterns;
mod products;
mod rows;
mod source;
#[cfg(test)]
mod tests;
mod value;
mod weights;

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use gpumux_plan::Model;

use crate::confine::{Limits, confine};
use crate::ending::{Failure, answer_signals, guarded};
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
    /// The most memory that the import may take
    #[arg(long, value_name = "MIB", default_value_t = 8192)]
    memory_mib: u64,
    /// The most processor time that the import may take
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    cpu_seconds: u64,
}

fn main() -> ExitCode {
    match import(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("gpumux-import: {failure}");
            failure.into()
        }
    }
}

fn import(arguments: &Arguments) -> Result<(), Failure> {
    let path = arguments.model.display();
    // All files are open before anything is read: afterwards none can be opened.
    let mut onnx = open(&arguments.model, OpenOptions::new().read(true))?;
    let create = || OpenOptions::new().write(true).create(true).truncate(true).clone();
    let mut plan_file = open(&arguments.plan, &create())?;
    let mut weights_file = open(&arguments.weights, &create())?;
    let memory_bytes = arguments.memory_mib.checked_mul(1 << 20);
    let memory_bytes = memory_bytes.ok_or_else(|| Failure::Host("too much memory".to_owned()))?;
    answer_signals()?;
    confine(Limits { memory_bytes, cpu_seconds: arguments.cpu_seconds })
        .map_err(|error| Failure::Host(error.to_string()))?;

    let mut bytes = Vec::new();
    onnx.read_to_end(&mut bytes).map_err(|error| match error.kind() {
        ErrorKind::OutOfMemory => Failure::Memory(format!("{path}: {error}")),
        _ => Failure::Host(format!("{path}: {error}")),
    })?;
    let (model, weights) = guarded(|| lower(arguments, &bytes))?;
    weights_file.write_all(&weights).map_err(say(&arguments.weights))?;
    plan_file.write_all(&model.write()).map_err(say(&arguments.plan))
}

fn open(path: &Path, how: &OpenOptions) -> Result<File, Failure> {
    how.open(path).map_err(say(path))
}

fn say(path: &Path) -> impl FnOnce(std::io::Error) -> Failure {
    move |error| Failure::Host(format!("{}: {error}", path.display()))
}

/// The model and the bytes of its weights.
fn lower(arguments: &Arguments, onnx: &[u8]) -> Result<(Model, Vec<u8>), Failure> {
    let path = arguments.model.display();
    let mut weights = Weights::default();
    let mut plans = Vec::new();
    let mut batches: Vec<_> = arguments.batches.iter().copied().map(Some).collect();
    if batches.is_empty() {
        batches.push(None);
    }
    for batch in batches {
        let (length, outputs) = (arguments.length.clone(), arguments.outputs.clone());
        let graph = source::read(onnx, &Wanted { batch, length, outputs })
            .map_err(|error| Failure::Refused(format!("{path}: {error:#}")))?;
        let plan = lower::lower(&graph, batch, &mut weights).map_err(|refused| {
            let list: String = refused.iter().map(|it| format!("\n  {it}")).collect();
            Failure::Refused(format!("{path}: these operators cannot be served:{list}"))
        })?;
        if arguments.print {
            for (index, op) in plan.ops.iter().enumerate() {
                println!("{index:4} {op}");
            }
        }
        plans.push(plan);
    }
    let (weights, bytes) = weights.finish();
    let weight_bytes = u64::try_from(bytes.len());
    let weight_bytes = weight_bytes.map_err(|error| Failure::Host(error.to_string()))?;
    let model = Model { weight_bytes, weights, plans };
    model.check().map_err(|error| Failure::Refused(format!("{path}: its plan: {error}")))?;
    Ok((model, bytes))
}
