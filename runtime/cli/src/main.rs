//! gpumux: what an operator and a developer type at a terminal.

#![forbid(unsafe_code)]

mod admin;
mod failure;
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
    /// Shows devices, functions and sessions at a glance
    Status(status::Options),
}

fn main() -> ExitCode {
    let ended = match Arguments::parse().command {
        Command::Status(options) => status::run(&options),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("gpumux: {failure}");
            ExitCode::FAILURE
        }
    }
}
