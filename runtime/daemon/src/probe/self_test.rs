//! The self-test of stream masks, in a process of its own: it stores where nobody documents that one
//! may, so that process may crash, hang, or lose its context.

use super::ProbeFailure;
use super::child::cause;
use super::look::Look;
use crate::options::DeviceChoice;
use crate::worker::load_driver;
use gpumux_cuda::{AllowList, Device, DeviceOptions, NotProven, Proven, prove, self_test};
use gpumux_wire::doctor::{SelfTest, SelfTestEnded};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// What is tested, as the document names it.
const MASKS: &str = "stream masks";

/// What came of it.
pub(super) struct Tested {
    pub(super) report: SelfTest,
    pub(super) proven: Option<Proven>,
}

/// Has another process put the masks of a device to the test. Nothing where there is nothing to test:
/// no mask is known for this driver, and the backend's report says so.
///
/// No context is to be open here: on a device in exclusive mode the other process would not get one.
pub(super) fn test(look: &Look<'_>, ordinal: u32) -> Option<Tested> {
    let mut command = match command(look.options.device.first_choice(), ordinal) {
        Ok(command) => command,
        Err(error) => return Some(failed(error.to_string())),
    };
    // It shows in the process table whose probe this is.
    command.arg("--state").arg(&look.options.state);
    let silence = *look.options.limit / 3;
    let proof = prove(look.driver, ordinal, &AllowList::PUBLISHED, &mut command, silence);
    let ended = match proof {
        Ok(proven) => {
            let bits = proven.sms_by_tpc().len();
            let what = format!("each of {bits} bits gave its own SMs alone, three times");
            let ended = SelfTestEnded::Passed { what };
            return Some(Tested { report: report(ended), proven: Some(proven) });
        }
        Err(NotProven::Refused(_)) => return None,
        Err(NotProven::Silent(limit)) => {
            let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
            SelfTestEnded::TimedOut { limit_ms }
        }
        Err(NotProven::Died { status, .. }) if status.signal().is_some() => {
            SelfTestEnded::Died { of: cause(status) }
        }
        Err(error) => SelfTestEnded::Failed { what: error.to_string() },
    };
    Some(Tested { report: report(ended), proven: None })
}

fn report(ended: SelfTestEnded) -> SelfTest {
    SelfTest { of: MASKS.to_owned(), ended }
}

fn failed(what: String) -> Tested {
    Tested { report: report(SelfTestEnded::Failed { what }), proven: None }
}

/// This program again, with the environment that this process has: its loader finds the same driver.
///
/// # Errors
/// This program's own file is not found.
pub(crate) fn command(choice: DeviceChoice, ordinal: u32) -> std::io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("probe").arg(choice.name()).args(["--self-test", "masks"]);
    command.arg("--ordinal").arg(ordinal.to_string());
    Ok(command)
}

/// What that process does.
///
/// # Errors
/// What its parent reads from its end, and whoever looks from its log.
pub(super) fn run(options: &super::ProbeOptions) -> Result<(), ProbeFailure> {
    let failed = |error: &dyn std::fmt::Display| ProbeFailure::SelfTest(error.to_string());
    let driver = load_driver(options.device.first_choice()).map_err(|error| failed(&error))?;
    let opened = Device::open(&driver, options.ordinal, DeviceOptions::default());
    let device = opened.map_err(|error| failed(&error))?;
    let mut out = std::io::stdout().lock();
    self_test(&device, &AllowList::PUBLISHED, &mut out).map_err(|error| failed(&error))
}
