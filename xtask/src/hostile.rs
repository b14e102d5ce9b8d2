//! `cargo xtask hostile`: builds everything and sets hostile peers on a daemon, beside honest ones.
//!
//! What they do and what is checked lives in the tests' own programs.

use crate::failure::{self, Failure};
use crate::test;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Arguments of the program that drives them: --seconds, --seed, --no-latency-bound, --no-skips
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut drive = test::program("gpumux-test-hostile-drive")?;
    Err(failure::hand_over(drive.args(&arguments.arguments), "set hostile peers on a daemon"))
}
