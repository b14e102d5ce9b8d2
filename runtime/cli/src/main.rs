//! gpumux: what an operator and a developer type at a terminal.

#![forbid(unsafe_code)]

mod admin;
mod bench;
mod clock;
mod cores;
mod demo;
mod failure;
mod functions;
mod interrupt;
mod node;
mod npy;
mod run;
mod socket;
mod status;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Looks at and uses a node's gpumuxd.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures this machine
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Serves two models to two processes, and shows what they found
    Demo(demo::Options),
    /// Changes how functions are served
    #[command(subcommand)]
    Functions(functions::Functions),
    /// Submits one request, its tensors from and to .npy files
    Run(run::Options),
    /// Shows devices, functions and sessions at a glance
    Status(status::Options),
}

fn main() -> ExitCode {
    let ended = match Arguments::parse().command {
        Command::Bench(bench) => bench::run(&bench),
        Command::Demo(options) => demo::run(&options),
        Command::Functions(what) => functions::run(&what),
        Command::Run(options) => run::run(&options),
        Command::Status(options) => status::run(&options),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("gpumux: {failure}");
            failure.exit_code()
        }
    }
}
