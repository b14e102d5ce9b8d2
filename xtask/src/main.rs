//! The project's chores, as one command: `cargo xtask CHORE`.
//!
//! A chore is a file here with its arguments and a `run`; it adds one variant and one arm below.

mod bench;
mod book;
mod cache;
mod conformance;
mod demo;
mod dist;
mod drill;
mod failure;
mod header;
mod hostile;
mod kernels;
mod links;
mod models;
mod newcomer;
mod python;
mod shim_python;
mod test;
mod tree;
mod venv;
mod workspace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(about = "The project's own chores")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Build everything and measure this machine
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Make the book's pages, to be read in a browser
    Book,
    /// Run programs of others on the emulated driver
    Conformance(conformance::Arguments),
    /// Build everything, fetch the models and serve two of them to two processes
    Demo,
    /// Build everything and pack it for Debian, and as an archive
    Dist(dist::Arguments),
    /// Build everything and kill workers, supervisors, peers and devices under load
    Drill(drill::Arguments),
    /// Make the C header from the sources of the C ABI
    Header(header::Arguments),
    /// Build everything and set hostile peers on a daemon, beside honest ones
    Hostile(hostile::Arguments),
    /// Compile the CUDA C++ sources to PTX and assemble it as a check
    Kernels(kernels::Arguments),
    /// Fetch the models that the tests and the demo serve
    Models,
    /// Do what the book has a newcomer do, on a clone of the tree, and write down what was seen
    Newcomer,
    /// Build the Python package's wheel, check its types and run its tests
    Python(shim_python::Arguments),
    /// Build everything and run every test
    Test(test::Arguments),
    /// Build everything and put it in a Python environment, to try it
    Venv(venv::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().chore {
        Chore::Bench(bench) => bench::run(&bench),
        Chore::Book => book::run(),
        Chore::Conformance(arguments) => conformance::run(&arguments),
        Chore::Demo => demo::run(),
        Chore::Dist(arguments) => dist::run(&arguments),
        Chore::Drill(arguments) => drill::run(&arguments),
        Chore::Header(arguments) => header::run(&arguments),
        Chore::Hostile(arguments) => hostile::run(&arguments),
        Chore::Kernels(arguments) => kernels::run(&arguments),
        Chore::Models => models::run(),
        Chore::Newcomer => newcomer::run(),
        Chore::Python(arguments) => shim_python::run(&arguments),
        Chore::Test(arguments) => test::run(&arguments),
        Chore::Venv(arguments) => venv::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
