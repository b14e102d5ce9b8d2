//! The device that this worker owns, opened on the dispatch thread, which issues all its work.

use crate::options::DeviceChoice;
use gpumux_cuda::{Device, DeviceMemory, DeviceOptions, Driver, Lane, OpenError, Wake};
use thiserror::Error;

/// Of the free memory, what is reserved: the rest is the driver's own.
const RESERVED: (u64, u64) = (7, 8);

/// An open device and its one reservation.
pub(super) struct Gpu {
    // The order is that of dropping: the device goes last.
    pub(super) memory: DeviceMemory,
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

impl Gpu {
    /// Opens a device of the driver that was asked for.
    pub(super) fn open(choice: DeviceChoice, ordinal: u32) -> Result<Self, NoGpu> {
        let driver = load_driver(choice)?;
        let device = Device::open(&driver, ordinal, DeviceOptions::default())?;
        let set_up = |error: &dyn std::fmt::Display| NoGpu::SetUp(error.to_string());
        let bytes = device.info().memory_free_bytes / RESERVED.1 * RESERVED.0;
        let bytes = usize::try_from(bytes).map_err(|error| set_up(&error))?;
        let memory = device.reserve(bytes).map_err(|error| set_up(&error))?;
        let wake = Wake::new().map_err(|error| set_up(&error))?;
        Ok(Self { memory, wake, device })
    }

    /// A lane on the whole device.
    pub(super) fn lane(&self) -> Result<Lane, NoGpu> {
        self.device.lane(&self.wake).map_err(|error| NoGpu::SetUp(error.to_string()))
    }
}
