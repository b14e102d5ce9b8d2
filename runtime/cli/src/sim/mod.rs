//! `gpumux sim`: the scheduler on simulated time. The crate `gpumux-sim` does the work; here is what is
//! typed and what is shown.
//!
//! - `run`: one scenario; `compare`: policies side by side; `check`: the scheduler's rules in random
//!   worlds; `page`: tables.

mod check;
mod compare;
mod page;
mod run;

use crate::failure::Failure;
use clap::{Args, Subcommand};
use gpumux_sim::scenario::{RunError, write_example};
use indicatif::{ProgressBar, ProgressStyle};
use schemars::JsonSchema;
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;

/// What to simulate.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Sim {
    /// Checks the scheduler's rules in small random worlds, each from a seed
    Check(check::Options),
    /// Runs policies side by side on the same arrivals
    Compare(compare::Options),
    /// Writes an example scenario and its profiles to a folder
    Example(ExampleOptions),
    /// Runs one scenario and says what came of it
    Run(run::Options),
}

/// What is other than in the scenario.
#[derive(Clone, Debug, Args)]
struct Change {
    /// How many requests arrive, instead of what the scenario, or a file of arrivals, says
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// The latency that every function is to keep, instead of what the scenario says, as in `50ms`
    #[arg(long, value_name = "LATENCY")]
    slo: Option<humantime::Duration>,
}

/// How figures are shown.
#[derive(Clone, Debug, Args)]
struct Shown {
    /// Print the figures as JSON, whose names carry their units
    #[arg(long)]
    json: bool,
    /// Print the JSON schema of the document instead; nothing is run
    #[arg(long)]
    schema: bool,
}

/// Where to write the example.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExampleOptions {
    /// The folder; made where it is not there, and no file in it is written over
    folder: PathBuf,
}

/// Simulates.
///
/// # Errors
/// [`Failure`]: a scenario that is none, or a rule that was broken.
pub(crate) fn run(what: &Sim) -> Result<(), Failure> {
    match what {
        Sim::Check(options) => check::run(options),
        Sim::Compare(options) => compare::run(options),
        Sim::Example(options) => {
            write_example(&options.folder).map_err(Failure::arguments)?;
            eprintln!(
                "run it with: gpumux sim run --scenario {}/scenario.toml",
                options.folder.display()
            );
            Ok(())
        }
        Sim::Run(options) => run::run(options),
    }
}

/// What is wrong with what was given.
fn unusable(error: RunError) -> Failure {
    Failure::arguments(error)
}

/// A bar on standard error, where that is a terminal.
fn bar(total: Option<u64>) -> ProgressBar {
    let style = "{bar:40} {human_pos} of {human_len} requests, {eta}";
    match (total, ProgressStyle::with_template(style)) {
        (Some(total), Ok(style)) => ProgressBar::new(total).with_style(style),
        _ => ProgressBar::new_spinner(),
    }
}

fn show(page: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{page}").and_then(|()| stdout.flush()) {
        // Whoever closes the pipe has read enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

fn json(document: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(document).map_err(Failure::process)
}

/// The schema of a document.
fn schema<T: JsonSchema>() -> Result<String, Failure> {
    // As it is written: every field is there.
    let settings = schemars::generate::SchemaSettings::default().for_serialize();
    json(&settings.into_generator().into_root_schema_for::<T>())
}

/// A seed of its own for a run that was given none.
fn any_seed() -> u64 {
    // Short enough to be typed again.
    u64::from(rand::random::<u32>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpumux_sim::Report;
    use gpumux_sim::compare::Comparison;
    use std::path::Path;

    /// With `GPUMUX_WRITE_REFERENCE=1` the files are written instead of compared.
    #[test]
    fn the_references_are_of_these_documents() {
        for (name, schema) in
            [("sim-run", schema::<Report>()), ("sim-compare", schema::<Comparison>())]
        {
            let path = format!("../../docs/reference/{name}.schema.json");
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
            let schema = schema.unwrap() + "\n";
            if std::env::var_os("GPUMUX_WRITE_REFERENCE").is_some() {
                std::fs::write(&path, &schema).unwrap();
            }
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(committed, schema, "{name}: run this test with GPUMUX_WRITE_REFERENCE=1");
        }
    }
}
