//! `cargo xtask conformance`: programs of others on the emulated driver, as a judge of it.
//!
//! The programs come by name, version and hash, and nothing of them is in the tree; what is in the
//! tree is which of their tests may fail, and why.

mod cudarc;
mod cudarc_run;
mod no_device;
mod numba;
mod numba_list;
mod ptx;

use crate::failure::Failure;
use crate::links;
use std::path::PathBuf;

/// The machine that the tests of others run on: two devices, for those that want several, whose SMs
/// are not held to their share of the host, as results are judged here and not times.
const CLAIM: &str = "devices=2,pace=off";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to run; all of it where nothing is named
    #[command(subcommand)]
    suite: Option<Suite>,
    /// The emulator to judge instead of the one that is built here
    #[arg(long, global = true)]
    library: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum Suite {
    /// The tests of the cudarc crate
    Cudarc,
    /// The tests that numba-cuda ships
    Numba(numba::Arguments),
    /// The corpus of CUDA C++ from three versions of NVRTC
    Ptx,
    /// NVIDIA's own driver without a device against the emulator without one
    NoDevice,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let library = links::library(arguments.library.as_deref())?;
    match &arguments.suite {
        Some(Suite::Cudarc) => cudarc::run(&library),
        Some(Suite::Numba(arguments)) => numba::run(arguments, &library),
        Some(Suite::Ptx) => ptx::run(),
        Some(Suite::NoDevice) => no_device::run(&library),
        None => {
            no_device::run(&library)?;
            ptx::run()?;
            cudarc::run(&library)?;
            numba::run(&numba::Arguments::default(), &library)
        }
    }
}

/// The executable that cargo's messages name last.
fn executable(messages: &str) -> Option<PathBuf> {
    let named = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message.get("executable")?.as_str().map(PathBuf::from)
    };
    messages.lines().filter_map(named).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_executable_is_the_one() {
        let text = "{\"executable\":null}\n{\"a\":1,\"executable\":\"/x/cudarc-1\",\"b\":2}\n";
        assert_eq!(executable(text), Some("/x/cudarc-1".into()));
    }
}
