//! `cargo xtask newcomer`: what `docs/first-function.md` has a newcomer do, from an empty folder, with
//! nothing but the address of the repository given; writes what was seen to
//! `docs/first-function-transcript.md`. The test of the same name does it on what is built already.

use crate::failure::{self, Failure};
use crate::workspace;

pub(crate) fn run() -> Result<(), Failure> {
    let mut test = workspace::cargo();
    test.args(["test", "--release", "--workspace", "--test", "book", "--"]);
    test.args(["--exact", "newcomer::a_newcomer_serves_a_function_of_their_own"]);
    failure::run(test.env("GPUMUX_NEWCOMER", "whole"), "do as the newcomer does")
}
