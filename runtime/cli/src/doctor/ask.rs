//! Has `gpumuxd probe` look at the devices.

use super::Options;
use crate::failure::Failure;
use crate::node::beside;
use gpumux_wire::doctor::ProbeReport;
use std::process::{Command, Stdio};

/// What the probe saw. One that found no device, or was ended by one, says so in its report.
///
/// # Errors
/// It could not be run, or did not understand what it was asked.
pub(super) fn probe(options: &Options) -> Result<ProbeReport, Failure> {
    // The links to an emulated driver go with the command: no folder of the daemon's is touched.
    let folder = tempfile::Builder::new().prefix("gpumux-doctor-").tempdir()?;
    let mut command = Command::new(beside("gpumuxd")?);
    command
        .arg("probe")
        .arg(&options.device)
        .arg("--limit")
        .arg(options.limit.to_string().replace(' ', ""))
        .arg("--state")
        .arg(folder.path())
        .stdin(Stdio::null());
    if let Some(emulator) = &options.emulator {
        command.arg("--emulator").arg(emulator);
    }
    let output = command.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim_end();
        return Err(Failure::process(format!("gpumuxd probe ({}): {said}", output.status)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| Failure::BadAnswer(error.to_string()))
}
