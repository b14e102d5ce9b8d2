//! The emulated driver where the loader finds it: a folder of links with the names that programs ask
//! for, set before everything else in the path of one process that opens a device.

use crate::companion;
use crate::options::{DeviceChoice, DeviceRequest, SupervisorOptions};
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// The file that is the driver and the BLAS.
const LIBRARY: &str = "libgpumux_emulator.so";
/// Names by which it is asked for. The loader of cudarc tries `libcuda.so` first, so a system's
/// would be found before an emulated `libcuda.so.1` alone.
const NAMES: [&str; 6] = [
    "libcuda.so",
    "libcuda.so.1",
    "libcublasLt.so",
    "libcublasLt.so.11",
    "libcublasLt.so.12",
    "libcublasLt.so.13",
];

/// Which driver is asked for, and where an emulated one lies.
#[derive(Clone, Debug)]
pub(crate) struct DriverPlace {
    /// What is asked for.
    pub(crate) device: DeviceRequest,
    /// Where the folder of links is made.
    pub(crate) state: PathBuf,
    /// The emulated driver; this program's own when absent.
    pub(crate) emulator: Option<PathBuf>,
}

impl From<&SupervisorOptions> for DriverPlace {
    fn from(options: &SupervisorOptions) -> Self {
        let SupervisorOptions { device, state, emulator, .. } = options;
        Self { device: device.clone(), state: state.clone(), emulator: emulator.clone() }
    }
}

impl DriverPlace {
    /// The command of a process of `program` that opens a device: its loader finds the driver of
    /// that choice, which finds what it reads when it is initialised. Arguments are the caller's.
    ///
    /// # Errors
    /// The emulated driver is not there, or its links cannot be made.
    pub(crate) fn command(&self, program: &Path, choice: DeviceChoice) -> io::Result<Command> {
        let mut command = Command::new(program);
        // The driver reads both when it is initialised: no kernel is loaded lazily between requests,
        // and streams do not wait for each other's hardware queues.
        command.env("CUDA_MODULE_LOADING", "EAGER").env("CUDA_DEVICE_MAX_CONNECTIONS", "32");
        if let Some(format) = crate::log::format() {
            command.env(crate::log::FORMAT, format);
        }
        if choice == DeviceChoice::Emulated {
            let path = loader_path(&self.state, self.emulator.as_deref())?;
            command.env("LD_LIBRARY_PATH", path);
            if let DeviceRequest::Emulated(Some(claim)) = &self.device {
                command.env("GPUMUX_EMULATED", claim);
            }
        }
        Ok(command)
    }
}

/// Makes the folder of links and returns the worker's loader path.
///
/// # Errors
/// The library is not there, or the folder cannot be made.
fn loader_path(state: &Path, library: Option<&Path>) -> io::Result<OsString> {
    let library = match library {
        Some(path) => path.to_owned(),
        None => companion::find(LIBRARY)?,
    };
    // The worker tells the emulated driver by this file's own name.
    let library = library.canonicalize().map_err(|error| missing(&library, &error))?;
    let folder = state.join("emulated-driver");
    std::fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    for name in NAMES {
        let link = folder.join(name);
        // Made aside and moved into place, so that a worker that starts now finds one or the other.
        let aside = folder.join(format!(".{name}.{}", std::process::id()));
        let _left_over = std::fs::remove_file(&aside);
        symlink(&library, &aside)?;
        std::fs::rename(&aside, &link)?;
    }
    let mut path = OsString::from(folder);
    if let Some(rest) = std::env::var_os("LD_LIBRARY_PATH").filter(|rest| !rest.is_empty()) {
        path.push(":");
        path.push(rest);
    }
    Ok(path)
}

fn missing(library: &Path, error: &io::Error) -> io::Error {
    let library = library.display();
    let what = format!("the emulated driver {library}: {error}: install it, or give --emulator");
    io::Error::new(error.kind(), what)
}
