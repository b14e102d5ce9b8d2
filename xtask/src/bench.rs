//! `cargo xtask bench WHAT`: builds everything and measures this machine.
//!
//! What is measured lives in the binaries; here is only how they are built and started.

use crate::failure::{self, Failure};
use crate::workspace;
use clap::Subcommand;
use std::process::Command;

#[derive(Subcommand)]
pub(crate) enum Bench {
    /// The path of one request through the daemon, beside a bare ping-pong
    Path {
        /// Arguments of `gpumux bench path`, such as --json
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// The emulated device: the speed of kernels, and how speed follows its SMs
    Emulator {
        /// Kernels to measure, and nothing else
        kernels: Vec<String>,
    },
}

pub(crate) fn run(bench: &Bench) -> Result<(), Failure> {
    let binaries = workspace::build()?;
    match bench {
        Bench::Path { arguments } => Err(failure::hand_over(
            Command::new(binaries.join("gpumux")).args(["bench", "path"]).args(arguments),
            "measure the path of one request",
        )),
        // The same packages and profile as the build above, so only the benchmark is built.
        Bench::Emulator { kernels } => Err(failure::hand_over(
            workspace::cargo()
                .args(["bench", "--workspace", "--bench", "emulator", "--"])
                .args(kernels),
            "measure the emulated device",
        )),
    }
}
