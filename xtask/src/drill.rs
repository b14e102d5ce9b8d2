//! `cargo xtask drill`: builds everything and kills workers, supervisors, peers and devices under load.
//!
//! What is killed and what must hold lives in the tests' own program.

use crate::failure::{self, Failure};
use crate::test;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Arguments of the program that leads it: --seconds, --seed
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut drill = test::program("gpumux-test-drill")?;
    Err(failure::hand_over(drill.args(&arguments.arguments), "lead the drill"))
}
