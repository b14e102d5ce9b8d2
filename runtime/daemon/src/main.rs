//! gpumuxd. One binary, three roles: the supervisor, which operators start, the worker, which the
//! supervisor starts for its device, and the probe, which looks at devices.

#![deny(unsafe_code)]

mod clock;
mod config;
mod descriptors;
mod ledger;
mod link;
mod options;
mod os;
mod probe;
mod supervisor;
mod worker;

use clap::Parser;
use options::{Options, Role};
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_env("GPUMUX_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(std::io::stderr)
        .init();
    let options = Options::parse();
    if let Err(error) = descriptors::raise_limit() {
        tracing::warn!(%error, "the limit of descriptors could not be raised");
    }
    let ended = match options.role {
        Some(Role::Worker { device, ordinal, options }) => {
            abort_on_panic();
            worker::run(device, ordinal, options).map_err(|error| error.to_string())
        }
        Some(Role::Probe(options)) => probe::run(options).map_err(|error| error.to_string()),
        None => supervisor::run(options.supervisor).map_err(|error| error.to_string()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            tracing::error!("{what}");
            ExitCode::FAILURE
        }
    }
}

/// A bug in one thread of a worker ends the worker: the supervisor starts a new one, and no peer
/// waits for half of a process.
fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}
