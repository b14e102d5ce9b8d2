//! The device that this worker owns, opened on the dispatch thread, which issues all its work.

use crate::options::{DeviceChoice, PartitionChoice};
use crate::probe::self_test_command;
use gpumux_cuda::{
    AllowList, BackendKind, Device, DeviceMemory, DeviceOptions, Driver, Lane, OpenError,
    PartitionWish, Partitioner, Proven, Wake, Wanted, prove,
};
use std::time::Duration;
use thiserror::Error;

/// How long the self-test of stream masks may say nothing.
const SELF_TEST_SILENCE: Duration = Duration::from_secs(20);
/// Of the free memory, what is reserved: the rest is the driver's own.
const RESERVED: (u64, u64) = (7, 8);

/// An open device and its one reservation.
pub(super) struct Gpu {
    // The order is that of dropping: the device goes last.
    pub(super) memory: DeviceMemory,
    partitioner: Option<Partitioner>,
    lane_sms: u32,
    pub(super) wake: Wake,
    pub(super) device: Device,
}

/// Why there is no device.
#[derive(Debug, Error)]
pub(crate) enum NoGpu {
    /// The driver or the device.
    #[error("{0}: on a machine without a GPU, ask for `--device emulated`")]
    Open(#[from] OpenError),
    /// Another driver than the one that was asked for.
    #[error(
        "{0} was found where {1} was asked for: is something else before it in the loader's path?"
    )]
    OtherDriver(String, &'static str),
    /// What the device answered when it was set up.
    #[error("the device could not be set up: {0}")]
    SetUp(String),
}

impl NoGpu {
    /// Whether the machine has no GPU at all, as opposed to one that does not work.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, Self::Open(OpenError::NoDriver { .. } | OpenError::NoDevice { .. }))
    }
}

/// Loads the driver that was asked for, and no other.
pub(crate) fn load_driver(choice: DeviceChoice) -> Result<Driver, NoGpu> {
    let driver = Driver::load()?;
    let found = || driver.library_path().display().to_string();
    match (choice, driver.is_emulated()) {
        (DeviceChoice::Emulated, false) => Err(NoGpu::OtherDriver(found(), "the emulated driver")),
        (DeviceChoice::Cuda, true) => Err(NoGpu::OtherDriver(found(), "a GPU's driver")),
        (DeviceChoice::Emulated, true) | (DeviceChoice::Cuda, false) => Ok(driver),
    }
}

/// Which device is opened, and how it is divided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Division {
    pub(super) device: DeviceChoice,
    /// Which of the driver's devices.
    pub(super) ordinal: u32,
    /// Lanes that serve.
    pub(super) lanes: u16,
    /// How they are confined.
    pub(super) partitions: PartitionChoice,
}

impl Gpu {
    /// Opens a device of the driver that was asked for, and divides it.
    pub(super) fn open(division: &Division) -> Result<Self, NoGpu> {
        let driver = load_driver(division.device)?;
        let proven = prove_masks(&driver, division)?;
        let device = Device::open(&driver, division.ordinal, DeviceOptions::default())?;
        let set_up = |error: &dyn std::fmt::Display| NoGpu::SetUp(error.to_string());
        let wake = Wake::new().map_err(|error| set_up(&error))?;
        let lane_sms = device.info().sm_count / u32::from(division.lanes);
        let partitioner = match backend(division.partitions) {
            Some(backend) if division.lanes > 1 => {
                let wish = PartitionWish {
                    backend: Some(backend),
                    lanes: division.lanes.into(),
                    atom_sms: lane_sms,
                    proven,
                    ..PartitionWish::default()
                };
                let chosen = Partitioner::choose(&device, &wake, &wish);
                Some(chosen.map_err(|error| set_up(&error))?)
            }
            Some(_) | None => None,
        };
        let bytes = device.info().memory_free_bytes / RESERVED.1 * RESERVED.0;
        let bytes = usize::try_from(bytes).map_err(|error| set_up(&error))?;
        let memory = device.reserve(bytes).map_err(|error| set_up(&error))?;
        Ok(Self { memory, partitioner, lane_sms, wake, device })
    }

    /// A lane on the whole device.
    pub(super) fn whole_lane(&self) -> Result<Lane, NoGpu> {
        self.device.lane(&self.wake).map_err(|error| NoGpu::SetUp(error.to_string()))
    }

    /// A lane that serves: with its part of the device, where that is divided.
    pub(super) fn lane(&self) -> Result<Lane, NoGpu> {
        match &self.partitioner {
            None => self.whole_lane(),
            Some(partitioner) => {
                let lane = partitioner.lease(Wanted::Sms(self.lane_sms));
                lane.map_err(|error| {
                    NoGpu::SetUp(format!(
                        "a lane of {} SMs: {error}: ask for fewer --lanes",
                        self.lane_sms
                    ))
                })
            }
        }
    }

    /// SMs that a lane which serves has at least.
    pub(super) fn lane_sm_count(&self) -> u32 {
        match &self.partitioner {
            Some(partitioner) if partitioner.backend() != BackendKind::None => self.lane_sms,
            Some(_) | None => self.device.info().sm_count,
        }
    }
}

fn backend(partitions: PartitionChoice) -> Option<BackendKind> {
    match partitions {
        PartitionChoice::Best => None,
        PartitionChoice::GreenContexts => Some(BackendKind::GreenContexts),
        PartitionChoice::StreamMasks => Some(BackendKind::StreamMasks),
        PartitionChoice::None => Some(BackendKind::None),
    }
}

/// Has another process put stream masks to the test where they are to be used, before this one has a
/// context.
fn prove_masks(driver: &Driver, division: &Division) -> Result<Option<Proven>, NoGpu> {
    if division.lanes == 1 || division.partitions != PartitionChoice::StreamMasks {
        return Ok(None);
    }
    let set_up = |error: &dyn std::fmt::Display| NoGpu::SetUp(format!("stream masks: {error}"));
    let command = self_test_command(division.device, division.ordinal);
    let mut command = command.map_err(|error| set_up(&error))?;
    let list = AllowList::PUBLISHED;
    let proven = prove(driver, division.ordinal, &list, &mut command, SELF_TEST_SILENCE);
    proven.map(Some).map_err(|error| set_up(&error))
}
