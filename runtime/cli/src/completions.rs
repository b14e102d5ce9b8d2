//! `gpumux completions SHELL`: what a shell needs to complete the command line.

use crate::Arguments;
use crate::failure::Failure;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::io::Write;

/// How it is run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes them to standard output.
///
/// # Errors
/// [`Failure`]: nobody reads them.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    // The generator takes it for a bug that it cannot write, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Arguments::command(), "gpumux", &mut script);
    std::io::stdout().write_all(&script).map_err(Failure::Io)
}
