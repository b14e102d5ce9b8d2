//! Who else is on the GPUs, as the vendor's management library tells. It comes with the driver, is
//! loaded at run time, and need not be there.

use gpumux_wire::doctor::{Occupant, Occupants};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use std::collections::HashSet;

/// The daemon's own processes, by the name that the kernel has for them.
const OURS: &str = "gpumuxd";

/// Lists the foreign processes on all GPUs.
pub(super) fn list(emulated: bool) -> Occupants {
    if emulated {
        let why = "an emulated device has no management library, and no other process reaches it";
        return Occupants::Unknown { why: why.to_owned() };
    }
    match ask() {
        Ok(processes) => Occupants::Listed { processes },
        Err(error) => Occupants::Unknown {
            why: format!("the management library (libnvidia-ml.so.1) does not tell: {error}"),
        },
    }
}

fn ask() -> Result<Vec<Occupant>, NvmlError> {
    let library = Nvml::init()?;
    let mut occupants = Vec::new();
    for index in 0..library.device_count()? {
        occupants.extend(of_device(&library.device_by_index(index)?)?);
    }
    Ok(occupants)
}

fn of_device(device: &Device<'_>) -> Result<Vec<Occupant>, NvmlError> {
    let uuid = device.uuid()?;
    let mut processes = device.running_compute_processes()?;
    processes.extend(device.running_graphics_processes()?);
    // One that computes and draws stands in both lists.
    let mut seen = HashSet::new();
    let mut occupants = Vec::new();
    for process in processes.into_iter().filter(|process| seen.insert(process.pid)) {
        let command = command_of(process.pid);
        if command.as_deref() == Some(OURS) {
            continue;
        }
        let memory_bytes = match process.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        };
        occupants.push(Occupant { device: uuid.clone(), pid: process.pid, command, memory_bytes });
    }
    Ok(occupants)
}

/// The command of a process; none when it is of another process namespace, or has ended.
fn command_of(pid: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}
