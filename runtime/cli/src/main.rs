//! gpumux: what an operator and a developer type at a terminal.

#![forbid(unsafe_code)]

mod admin;
mod bench;
mod clock;
mod completions;
mod cores;
mod demo;
mod doctor;
mod failure;
mod functions;
mod given;
mod interrupt;
mod manual;
mod node;
mod npy;
mod reload;
mod run;
mod sim;
mod socket;
mod status;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Looks at and uses a node's gpumuxd.
#[derive(Debug, Parser)]
#[command(name = "gpumux", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one, made once")]
enum Command {
    /// Puts a function under load and measures what its peers see
    Bench(bench::Bench),
    /// Writes a shell's completions of this program to standard output
    Completions(completions::Options),
    /// Serves two models to two processes, and shows what they found
    Demo(demo::Options),
    /// Changes how functions are served
    #[command(subcommand)]
    Functions(functions::Functions),
    /// Looks at this node's driver, devices and limits, and says what to do
    Doctor(doctor::Options),
    /// Writes the manual pages of this program to a folder
    #[command(hide = true)]
    Man(manual::Options),
    /// Has the daemon read its configuration anew, or say what is wrong with it
    Reload(reload::Options),
    /// Submits one request, its tensors from and to .npy files
    Run(run::Options),
    /// Runs the scheduler on simulated time
    #[command(subcommand)]
    Sim(sim::Sim),
    /// Shows devices, functions and sessions at a glance
    Status(status::Options),
}

fn main() -> ExitCode {
    let command = match Arguments::try_parse() {
        Ok(arguments) => arguments.command,
        Err(error) => return misused(&error),
    };
    let ended = match command {
        Command::Bench(bench) => bench::run(&bench),
        Command::Completions(options) => completions::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Functions(what) => functions::run(&what),
        Command::Doctor(options) => return doctor::run(&options),
        Command::Man(options) => manual::run(&options),
        Command::Reload(options) => reload::run(&options),
        Command::Run(options) => run::run(&options),
        Command::Sim(what) => sim::run(&what),
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

/// Says what was wrong with the command line, or what was asked of it.
fn misused(error: &clap::Error) -> ExitCode {
    let shown = error.print();
    match (error.exit_code(), shown) {
        (0, Ok(())) => ExitCode::SUCCESS,
        // Its other codes speak of the node.
        _ if std::env::args_os().nth(1).is_some_and(|command| command == "doctor") => {
            ExitCode::from(doctor::FAILED)
        }
        _ => ExitCode::from(2),
    }
}
