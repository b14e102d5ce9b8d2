//! One device: what it is, whether it opens, and what it then does.

use super::latency;
use super::look::Look;
use gpumux_cuda::{
    CudaError, Device, DeviceIdentity, DeviceMemory, DeviceOptions, Lane, MarkPath, OpenError,
    TransferError, Wake, try_registered_memory,
};
use gpumux_wire::doctor::{Checked, ComputeMode, DeviceReport, Form};
use thiserror::Error;

/// What the looks at one device need of its memory.
const MEMORY_BYTES: usize = 8 << 20;

/// Why a look at an open device ended early.
#[derive(Debug, Error)]
pub(super) enum LookError {
    /// The driver refused something, or the device is lost.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// A transfer was refused.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The device has no room.
    #[error(transparent)]
    Memory(#[from] gpumux_cuda::OutOfDeviceMemory),
    /// The process has no descriptor left.
    #[error(transparent)]
    Os(#[from] nix::errno::Errno),
    /// The device does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Looks at a device. One that does not work is a report that says so.
///
/// # Errors
/// The driver does not even say what it is.
pub(super) fn look_at(look: &Look<'_>, ordinal: u32) -> Result<DeviceReport, OpenError> {
    let mut report = identity(look.driver.identify(ordinal)?);
    if let Err(error) = look_into(look, &mut report) {
        report.fault = Some(error.to_string());
    }
    Ok(report)
}

fn identity(device: DeviceIdentity) -> DeviceReport {
    let (major, minor) = device.compute_capability;
    DeviceReport {
        ordinal: device.ordinal,
        name: device.name,
        uuid: device.uuid.map(|uuid| uuid.to_string()),
        pci: device.pci,
        compute_capability: format!("{major}.{minor}"),
        sms: device.sm_count,
        compute_mode: match device.compute_mode {
            0 => ComputeMode::Default,
            2 => ComputeMode::Prohibited,
            3 => ComputeMode::ExclusiveProcess,
            _ => ComputeMode::Unknown,
        },
        fault: None,
        memory_bytes: None,
        memory_free_bytes: None,
        products: None,
        marks: None,
        partitions: None,
        self_tests: Vec::new(),
        registered_memory: None,
        latencies: Vec::new(),
    }
}

/// Opens the device and fills in what shows then.
fn look_into(look: &Look<'_>, report: &mut DeviceReport) -> Result<(), LookError> {
    let device = Device::open(look.driver, report.ordinal, DeviceOptions::default())?;
    let info = device.info();
    report.memory_bytes = Some(info.memory_bytes);
    report.memory_free_bytes = Some(info.memory_free_bytes);
    report.products = Some(match device.product_library() {
        Some(library) => library.display().to_string(),
        None => "own kernel".to_owned(),
    });
    report.marks = Some(match info.marks {
        MarkPath::StreamWrite => "stream writes".to_owned(),
        MarkPath::Kernel => "kernels".to_owned(),
    });
    let memory = device.reserve(MEMORY_BYTES)?;
    let wake = Wake::new()?;
    if look.form == Form::Full {
        let mut lane = device.lane(&wake)?;
        report.registered_memory = Some(registered(&device, &mut lane, &memory));
        report.latencies = latency::measure(look.clock, &device, &mut lane, &memory)?;
    }
    Ok(())
}

fn registered(device: &Device, lane: &mut Lane, memory: &DeviceMemory) -> Checked {
    match try_registered_memory(device, lane, memory) {
        Ok(()) => Checked {
            passed: true,
            what: "a memfd's mapping was registered; the device read and wrote it".to_owned(),
        },
        Err(error) => Checked { passed: false, what: error.to_string() },
    }
}
