//! gpumuxd. One binary, three roles: the supervisor, which operators start, the worker, which the
//! supervisor starts for its device, and the probe, which looks at devices.

#![deny(unsafe_code)]

mod clock;
mod companion;
mod config;
mod descriptors;
mod ledger;
mod link;
mod log;
mod manual;
mod options;
mod os;
mod pace;
mod probe;
mod supervisor;
mod worker;

use config::{CommandLine, Start};
use options::Role;
use std::process::ExitCode;
use supervisor::{Given, SupervisorError};

fn main() -> ExitCode {
    // Before anything is opened: what is open now was given.
    let given = Given::inherit();
    let start = CommandLine::of_process().start();
    if start.options.check_config {
        return check(start);
    }
    let Start { options, wrong, .. } = start;
    if let Err(error) = log::start(options.log.log_format) {
        eprintln!("gpumuxd: {error}");
        return ExitCode::FAILURE;
    }
    if let Err(error) = descriptors::raise_limit() {
        tracing::warn!(%error, "the limit of descriptors could not be raised");
    }
    let ended = match options.role {
        Some(Role::Worker { device, ordinal, lock, options }) => {
            abort_on_panic();
            worker::run(worker::Owned { device, ordinal, lock }, options)
                .map_err(|error| error.to_string())
        }
        Some(Role::Probe(options)) => probe::run(options).map_err(|error| error.to_string()),
        Some(Role::Man { folder }) => {
            manual::write(&folder).map_err(|error| format!("{}: {error}", folder.display()))
        }
        None if !wrong.is_empty() => Err(SupervisorError::Config(wrong).to_string()),
        None => given.map_err(|error| error.to_string()).and_then(|given| {
            supervisor::run(options.supervisor, given).map_err(|it| it.to_string())
        }),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            tracing::error!("{what}");
            ExitCode::FAILURE
        }
    }
}

/// Says what is wrong with the configuration, or that nothing is.
fn check(start: Start) -> ExitCode {
    match supervisor::check(start) {
        Ok(found) => {
            println!("{found}");
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("gpumuxd: {wrong}");
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
