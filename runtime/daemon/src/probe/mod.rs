//! `gpumuxd probe`: looks at the devices of a node and writes what it saw as one JSON document.
//!
//! Three processes, because each may be ended by what it looks at. The *outer* one knows where the
//! driver is to be found and touches none: it is the command, or the supervisor. It starts the *inner*
//! one, which opens the driver (`look`) and each device (`device`, `partitions`, `isolation`,
//! `latency`). That one starts itself again for a self-test that may crash (`self_test`). A process
//! that dies, or hangs and is killed (`child`), is a finding of the one above it.

mod child;
mod device;
mod isolation;
mod latency;
mod look;
mod partitions;
mod self_test;

pub(crate) use child::{ChildError, run_limited};
pub(crate) use self_test::command as self_test_command;

use crate::options::DeviceRequest;
use crate::supervisor::{self, DriverPlace};
use clap::{Args, ValueEnum};
use gpumux_wire::doctor::{Form, ProbeReport, Unusable};
use std::io::Write;
use std::path::PathBuf;
use thiserror::Error;

/// How the probe is run.
#[derive(Clone, Debug, Args)]
pub(crate) struct ProbeOptions {
    /// The device: `cuda`, `emulated`, `emulated:CLAIM` or `auto`, as gpumuxd has it
    device: DeviceRequest,
    /// How much to look at
    #[arg(long, value_enum, default_value_t = FormChoice::Full)]
    form: FormChoice,
    /// How long it may take before it is ended; a self-test may take a third of that
    #[arg(long, default_value = "2min")]
    limit: humantime::Duration,
    /// Where the links to the emulated driver are kept
    #[arg(long, env = "GPUMUX_STATE", default_value = "/var/lib/gpumux")]
    state: PathBuf,
    /// The emulated driver; beside gpumuxd when absent
    #[arg(long, env = "GPUMUX_EMULATOR")]
    emulator: Option<PathBuf>,
    /// The loader finds the driver that is asked for: open it in this process
    #[arg(long)]
    inner: bool,
    /// Put this to its self-test in this process, and say what is seen
    #[arg(long, value_enum)]
    self_test: Option<SelfTestChoice>,
    /// The device of the self-test, in the driver's order
    #[arg(long, default_value_t = 0)]
    ordinal: u32,
}

/// [`Form`] as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormChoice {
    /// Devices, backends, self-tests, lanes.
    Short,
    /// Also handshake, isolation, latencies, registered memory.
    Full,
}

/// What has a self-test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SelfTestChoice {
    /// Stream masks.
    Masks,
}

impl From<FormChoice> for Form {
    fn from(choice: FormChoice) -> Self {
        match choice {
            FormChoice::Short => Self::Short,
            FormChoice::Full => Self::Full,
        }
    }
}

/// Why there is no document. What is wrong with a device is in the document.
#[derive(Debug, Error)]
pub(crate) enum ProbeFailure {
    /// Nowhere to write to.
    #[error("the document could not be written: {0}")]
    Write(#[from] std::io::Error),
    /// A self-test did not pass. Its parent reads that from this process's end.
    #[error("the self-test: {0}")]
    SelfTest(String),
    /// It could not be put into words: a bug.
    #[error("the document could not be made: {0}")]
    Format(#[from] serde_json::Error),
}

/// Looks, and writes the document to standard output.
///
/// # Errors
/// [`ProbeFailure`].
pub(crate) fn run(options: ProbeOptions) -> Result<(), ProbeFailure> {
    if let Some(SelfTestChoice::Masks) = options.self_test {
        child::end_with_parent().map_err(std::io::Error::from)?;
        return self_test::run(&options);
    }
    let form = options.form.into();
    let report = if options.inner {
        child::end_with_parent().map_err(std::io::Error::from)?;
        look::look(&options, form)
    } else {
        outer(options, form)?
    };
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &report)?;
    writeln!(out)?;
    Ok(())
}

/// Starts the inner process. One that died is a finding: no device can be used.
#[tokio::main(flavor = "current_thread")]
async fn outer(options: ProbeOptions, form: Form) -> Result<ProbeReport, ProbeFailure> {
    let ProbeOptions { device, limit, state, emulator, .. } = options;
    let place = DriverPlace { device, state, emulator };
    let probed = supervisor::probe(&place, form, *limit).await;
    Ok(probed.unwrap_or_else(|error| unusable(form, &error)))
}

fn unusable(form: Form, why: &impl std::fmt::Display) -> ProbeReport {
    ProbeReport {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        form,
        took_us: 0,
        driver: None,
        unusable: Some(Unusable { what: why.to_string(), absent: false }),
        devices: Vec::new(),
    }
}
