//! The project's chores, as one command: `cargo xtask CHORE`.

use clap::Parser;

#[derive(Parser)]
#[command(about = "The project's own chores")]
struct Arguments {}

fn main() {
    Arguments::parse();
}
