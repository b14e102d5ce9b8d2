//! The drill. `cargo xtask drill` builds everything and starts it.

use clap::{Args, Parser, Subcommand};
use gpumux_tests::drill::{lead, poisoner, recovery, steady};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    about = "Kills workers, supervisors, peers and devices, and sees that no request is lost"
)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    drill: Drill,
}

#[derive(Args)]
struct Drill {
    /// How long
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Replays what is killed and submitted; random when absent
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Subcommand)]
enum Role {
    /// Measures how long a dead worker is felt
    Recovery {
        /// Workers to kill
        #[arg(long, default_value_t = 20)]
        rounds: u32,
    },
    /// A peer with a steady load, until its standard input ends
    #[command(hide = true)]
    Steady { socket: PathBuf, function: String, seed: u64 },
    /// A peer whose requests kill workers, until its standard input ends
    #[command(hide = true)]
    Poisoner { socket: PathBuf, admin: PathBuf, seed: u64 },
}

fn main() -> ExitCode {
    let Arguments { role, drill } = Arguments::parse();
    let done = match role {
        Some(Role::Steady { socket, function, seed }) => {
            steady::run(&socket, &function, seed).map(|tally| println!("{tally}"))
        }
        Some(Role::Poisoner { socket, admin, seed }) => {
            poisoner::run(&socket, &admin, seed).map(|tally| println!("{tally}"))
        }
        Some(Role::Recovery { rounds }) => recovery::run(rounds),
        None => lead::run(drill.seconds, drill.seed.unwrap_or_else(rand::random)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("gpumux-test-drill: {failure}");
            ExitCode::FAILURE
        }
    }
}
