//! Looking at the devices before they are served: in a process of its own, because what is looked at
//! may end it.

use super::emulated::DriverPlace;
use crate::options::{DeviceChoice, DeviceRequest};
use crate::probe::{ChildError, run_limited};
use gpumux_wire::doctor::{Form, ProbeReport};
use std::time::Duration;
use thiserror::Error;
use tracing::warn;

/// Why the devices could not be looked at. The daemon goes on without: it then claims no partition.
#[derive(Debug, Error)]
pub(crate) enum ProbeError {
    /// The process could not be prepared.
    #[error("the probe of the devices could not be prepared: {0}")]
    Prepare(#[from] std::io::Error),
    /// The process died, or hung.
    #[error(
        "the probe of the devices: {0}: the driver or a device does not work; look at the kernel's log"
    )]
    Child(#[from] ChildError),
    /// What it wrote is not the document: a bug, or a binary of another release.
    #[error("the probe's answer could not be understood: {0}")]
    BadAnswer(#[from] serde_json::Error),
}

/// Looks at the devices that are asked for. `auto` looks for a GPU first, and at the emulated device
/// where the machine has none.
///
/// A device that does not work, a backend that is not there and a self-test that crashes are in the
/// report; an error says that there is no report. Nothing here ends the caller.
///
/// # Errors
/// [`ProbeError`].
pub(crate) async fn probe(
    place: &DriverPlace,
    form: Form,
    limit: Duration,
) -> Result<ProbeReport, ProbeError> {
    let first = place.device.first_choice();
    let report = look(place, first, form, limit).await?;
    let is_absent = report.unusable.as_ref().is_some_and(|unusable| unusable.absent);
    if is_absent && place.device == DeviceRequest::Auto {
        warn!("no GPU here: the emulated device is looked at, as `auto` asks for");
        return look(place, DeviceChoice::Emulated, form, limit).await;
    }
    Ok(report)
}

async fn look(
    place: &DriverPlace,
    choice: DeviceChoice,
    form: Form,
    limit: Duration,
) -> Result<ProbeReport, ProbeError> {
    let mut command = place.command(&std::env::current_exe()?, choice)?;
    command
        .arg("probe")
        .arg(choice.name())
        .arg("--inner")
        .arg("--form")
        .arg(match form {
            Form::Short => "short",
            Form::Full => "full",
        })
        .arg("--limit")
        .arg(humantime::format_duration(limit).to_string().replace(' ', ""))
        // It shows in the process table whose probe this is.
        .arg("--state")
        .arg(&place.state);
    let answer = run_limited(command, limit).await?;
    Ok(serde_json::from_slice(&answer)?)
}
