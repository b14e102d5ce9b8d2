//! `cargo xtask bench WHAT`: builds everything and measures this machine.
//!
//! What is measured lives in the binaries; here is only how they are built and started.

use crate::failure::{self, Failure, Step};
use crate::{links, test, workspace};
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
    /// From a worker's death to the first result of the next, and to the last that was under way
    Recovery {
        /// Arguments of the program that measures, such as --rounds
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// A change of what a lane may run on, and a switch between lanes, for each backend
    Grants {
        /// What the emulated device claims, as in `gpumuxd --device emulated:CLAIM`
        #[arg(default_value = "pace=off")]
        claim: String,
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
        Bench::Recovery { arguments } => Err(failure::hand_over(
            test::program("gpumux-test-drill")?.arg("recovery").args(arguments),
            "measure how long a dead worker is felt",
        )),
        Bench::Grants { claim } => {
            let scratch = tempfile::tempdir().step(|| "make a folder for links".to_owned())?;
            let links = links::make(&links::library(None)?, scratch.path())?;
            failure::run(
                Command::new(binaries.join("examples/grants"))
                    .env("LD_LIBRARY_PATH", links)
                    .env("GPUMUX_EMULATED", claim),
                "measure changes of a grant",
            )
        }
        // The same packages and profile as the build above, so only the benchmark is built.
        Bench::Emulator { kernels } => Err(failure::hand_over(
            workspace::cargo()
                .args(["bench", "--workspace", "--bench", "emulator", "--"])
                .args(kernels),
            "measure the emulated device",
        )),
    }
}
