//! The project's chores, as one command: `cargo xtask CHORE`.

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "The project's own chores")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {}

fn main() {
    match Arguments::parse().chore {}
}
