//! The strict mode. On a real device some calls may wait for everything that runs, whatever lane it
//! is in; here, where they never have to, a program that makes them while it serves would look
//! better than it is. In this mode each of them does wait for all lanes, holds back what comes after,
//! and is noted in the report.

use crate::code::Outcome;
use crate::context;
use crate::device::Device;
use crate::machine;
use crate::schedule::SCHEDULE;
use crate::stream::Stream;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

/// Calls that may synchronise a device, by what they do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    /// Allocates device memory, or host memory that devices may touch.
    Allocate,
    /// Frees it.
    Free,
    /// Lets devices touch memory of the program, or no longer.
    Register,
    /// Loads or unloads a module.
    LoadModule,
    /// The first launch of a kernel where modules are loaded lazily.
    LoadFunction,
    /// Waits for a context, or ends it.
    Context,
    /// Copies or fills in the legacy stream.
    Copy,
}

/// To be made before such a call, with a context current: in strict mode all lanes of its device
/// meet here.
///
/// # Errors
/// None current (201), destroyed (709), or the device's sticky error.
pub(crate) fn synchronise(call: Call) -> Outcome {
    if !machine::claim()?.strict {
        return Ok(());
    }
    synchronise_device(call, context::current()?.device());
    Ok(())
}

/// The same for a copy or a fill, where its stream is the legacy one.
pub(crate) fn synchronise_copy(stream: &Stream) {
    let device = stream.context.device();
    if device.claim().strict && stream.is_legacy() {
        synchronise_device(Call::Copy, device);
    }
}

/// The same for the lanes of a given device.
pub(crate) fn synchronise_device(call: Call, device: &Device) {
    if !device.claim().strict {
        return;
    }
    note(call, device);
    for point in SCHEDULE.join_streams(device) {
        SCHEDULE.wait(point);
    }
}

/// Appends a line to the report: the process, the device, the call, the thread.
fn note(call: Call, device: &Device) {
    static REPORT: OnceLock<Option<File>> = OnceLock::new();
    let Some(path) = &device.claim().report else { return };
    let open = || open_report(path);
    if let Some(mut report) = REPORT.get_or_init(open).as_ref() {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("-");
        // One write a line, so that the lines of several threads and processes do not mix.
        let line = format!("{} {} {call:?} {name}\n", std::process::id(), device.ordinal());
        if let Err(why) = report.write_all(line.as_bytes()) {
            eprintln!("gpumux emulator: cannot write the report: {why}");
        }
    }
}

fn open_report(path: &Path) -> Option<File> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.map_err(|why| eprintln!("gpumux emulator: no report in {}: {why}", path.display())).ok()
}
