//! One device: what it is, whether it opens, and what it then does.

use super::look::Look;
use super::{latency, partitions, self_test};
use gpumux_cuda::{
    BackendKind, ChooseError, CudaError, Device, DeviceIdentity, DeviceMemory, DeviceOptions, Lane,
    LeaseError, MarkPath, OpenError, Partitioner, Proven, TransferError, Wake,
    try_registered_memory,
};
use gpumux_wire::doctor::{Checked, ComputeMode, DeviceReport, Form};
use thiserror::Error;

/// What the looks at one device need of its memory.
const MEMORY_BYTES: usize = 8 << 20;

/// The version from which drivers have green contexts with streams of their own.
const GREEN_CONTEXTS_SINCE: u32 = 12_050;

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
    /// Lanes could not be made.
    #[error("lanes could not be made: {0}")]
    Choose(#[from] ChooseError),
    /// A lane could not be leased.
    #[error("a lane could not be leased: {0}")]
    Lease(#[from] LeaseError),
    /// What a lane does could not be seen.
    #[error("what a lane does could not be seen: {0}")]
    Probe(#[from] gpumux_cuda::ProbeError),
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

/// An open device and what its lanes come from.
struct Opened {
    // The order is that of dropping: the device goes last.
    partitioner: Partitioner,
    wake: Wake,
    device: Device,
}

fn open(look: &Look<'_>, ordinal: u32, proven: Option<Proven>) -> Result<Opened, LookError> {
    let device = Device::open(look.driver, ordinal, DeviceOptions::default())?;
    let wake = Wake::new()?;
    let partitioner = partitions::choose(look.form, &device, &wake, proven)?;
    Ok(Opened { partitioner, wake, device })
}

/// Puts the masks to their self-test where they matter, and notes what came of it.
fn test_masks(look: &Look<'_>, report: &mut DeviceReport) -> Option<Proven> {
    let tested = self_test::test(look, report.ordinal)?;
    report.self_tests.push(tested.report);
    tested.proven
}

/// Opens the device and fills in what shows then.
fn look_into(look: &Look<'_>, report: &mut DeviceReport) -> Result<(), LookError> {
    // The short form tests masks where nothing better is to be expected, or turns out not to work.
    let tested = look.form == Form::Full || look.driver.version() < GREEN_CONTEXTS_SINCE;
    let proven = if tested { test_masks(look, report) } else { None };
    let mut opened = open(look, report.ordinal, proven)?;
    if opened.partitioner.backend() == BackendKind::None && !tested {
        // A device in exclusive mode has one context at a time.
        drop(opened);
        let proven = test_masks(look, report);
        opened = open(look, report.ordinal, proven)?;
    }
    let Opened { partitioner, wake, device } = &opened;
    describe(device, report);
    let memory = device.reserve(MEMORY_BYTES)?;
    report.partitions = Some(partitions::look_at(look, device, &memory, partitioner)?);
    if look.form == Form::Full {
        let mut lane = device.lane(wake)?;
        report.registered_memory = Some(registered(device, &mut lane, &memory));
        report.latencies = latency::measure(look.clock, device, &mut lane, &memory)?;
    }
    Ok(())
}

fn describe(device: &Device, report: &mut DeviceReport) {
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
