//! `gpumux doctor`: whether this node can serve, what keeps it from serving well, and what to do.
//!
//! The devices are looked at by `gpumuxd probe`, in processes of their own (`ask`); this one never
//! loads a driver. It looks at the host (`host`), asks the vendor's management library who else is on
//! the GPUs (`occupants`), and turns all of it into findings (`findings`) and a page (`page`).

mod ask;
mod findings;
mod host;
mod occupants;
mod page;

use crate::admin::AdminSocket;
use crate::failure::Failure;
use crate::socket::PeerSocket;
use clap::Args;
use gpumux_wire::doctor::{DoctorReport, Level, Verdict};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// What scripts see when the command itself failed, or was not understood.
pub(crate) const FAILED: u8 = 3;

const AFTER_HELP: &str = "\
Exit codes:
  0  all is well
  1  the node serves, and something degrades it: see the warnings
  2  the node cannot serve: see the faults
  3  the command itself failed, or was not understood

docs/doctor.md says what each line means.";

/// What to look at, and how to show it.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Options {
    /// The device, as gpumuxd has it: `cuda`, `emulated`, `emulated:CLAIM` or `auto`
    #[arg(long, env = "GPUMUX_DEVICE", default_value = "cuda")]
    device: String,
    /// Print the whole document as JSON
    #[arg(long)]
    json: bool,
    /// How long looking at the devices may take before it is ended
    #[arg(long, default_value = "2min")]
    limit: humantime::Duration,
    /// The emulated driver; beside gpumuxd when absent
    #[arg(long, env = "GPUMUX_EMULATOR")]
    emulator: Option<PathBuf>,
    #[command(flatten)]
    socket: PeerSocket,
    #[command(flatten)]
    admin_socket: AdminSocket,
    /// Where gpumuxd keeps imported models
    #[arg(long, env = "GPUMUX_STATE", default_value = "/var/lib/gpumux")]
    state: PathBuf,
}

/// Looks, prints, and returns the exit code that the help lists.
pub(crate) fn run(options: &Options) -> ExitCode {
    match examine(options).and_then(|report| print(options, &report).map(|()| report.verdict)) {
        Ok(verdict) => ExitCode::from(code(verdict)),
        Err(failure) => {
            eprintln!("gpumux: {failure}");
            ExitCode::from(FAILED)
        }
    }
}

fn examine(options: &Options) -> Result<DoctorReport, Failure> {
    let probe = ask::probe(options)?;
    // A probe that was ended by the emulated driver names none.
    let emulated = match &probe.driver {
        Some(driver) => driver.emulated,
        None => options.device.starts_with("emulated"),
    };
    let occupants = occupants::list(emulated);
    let mut all = host::findings(options, emulated);
    all.extend(findings::of_probe(&probe));
    all.extend(findings::of_occupants(&occupants, emulated));
    Ok(DoctorReport {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        verdict: verdict(all.iter().map(|finding| finding.level)),
        claims: findings::claims(&probe, &occupants),
        findings: all,
        occupants,
        probe: Some(probe),
    })
}

fn print(options: &Options, report: &DoctorReport) -> Result<(), Failure> {
    let text = if options.json {
        serde_json::to_string_pretty(report).map_err(Failure::process)?
    } else {
        page::render(report)
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

/// The worst decides.
fn verdict(levels: impl Iterator<Item = Level>) -> Verdict {
    match levels.max() {
        Some(Level::Fault) => Verdict::CannotServe,
        Some(Level::Warning) => Verdict::Degraded,
        Some(Level::Ok | Level::Note) | None => Verdict::Well,
    }
}

fn code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Well => 0,
        Verdict::Degraded => 1,
        Verdict::CannotServe => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_decides() {
        use Level::{Fault, Note, Ok, Warning};
        for (levels, expected) in
            [(&[][..], 0), (&[Ok, Note], 0), (&[Note, Warning, Ok], 1), (&[Warning, Fault, Ok], 2)]
        {
            assert_eq!(code(verdict(levels.iter().copied())), expected, "{levels:?}");
        }
    }
}
