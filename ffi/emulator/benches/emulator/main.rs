//! What the emulated device costs and keeps on this machine, through the driver's ABI: the speed of
//! compiled kernels, and how speed follows the SMs. Of a GPU it says nothing.
//!
//! `cargo xtask bench emulator` builds and runs it. Arguments are names of kernels; with one, only
//! these are measured. `GPUMUX_BENCH_LIBRARY` names another build of the emulator, to compare two.
#![expect(clippy::unwrap_used, reason = "a benchmark stops where something unexpected happens")]

mod driver;
mod kernels;
mod scaling;

use std::process::ExitCode;

fn main() -> ExitCode {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    // Test runners start every target; only `cargo bench` says that it is to measure.
    if !std::env::args().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    match driver::part().as_deref() {
        Some("kernels") => kernels::run(&wanted),
        Some("scaling") => scaling::run(),
        _ => {
            // The code is measured at the host's speed, the SMs at the pace at which they are held.
            let mut good = driver::measure("kernels", "cores=1,pace=off");
            if wanted.is_empty() {
                let claim = format!("cores=1,sms={}", scaling::SMS);
                println!();
                good &= driver::measure("scaling", &claim);
            }
            return if good { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
    }
    ExitCode::SUCCESS
}
