//! The CUDA driver of this machine, or the emulated one in its place.

use crate::driver_api::{DriverApi, NO_DEVICE};
use crate::error::OpenError;
use crate::library::Opened;
use std::ffi::c_int;
use std::path::Path;
use std::rc::Rc;

/// The oldest driver that gpumux runs on: 525, for CUDA 12.0, as `cuDriverGetVersion` says it.
const VERSION_NEEDED: u32 = 12_000;

/// The file that is the emulated driver, whatever links lead to it.
const EMULATOR: &str = "libgpumux_emulator.so";

/// A driver that was found, is new enough, whole and initialised, and has a device.
pub struct Driver {
    api: Rc<DriverApi>,
    library: Opened,
    version: u32,
}

impl Driver {
    /// Finds the driver as the dynamic loader does and initialises it.
    ///
    /// # Errors
    /// [`OpenError::NoDriver`], [`OpenError::DriverTooOld`], [`OpenError::MissingSymbol`],
    /// [`OpenError::NoDevice`], or what `cuInit` answered.
    pub fn load() -> Result<Self, OpenError> {
        let mut library =
            Opened::first_of("cuda").map_err(|tried| OpenError::NoDriver { tried })?;
        let version = version_of(&mut library)?;
        if version < VERSION_NEEDED {
            let library = library.path().to_owned();
            return Err(OpenError::DriverTooOld {
                library,
                found: version,
                needed: VERSION_NEEDED,
            });
        }
        let api = DriverApi::resolve(&library)?;
        // SAFETY: the driver wants no flags, and cuInit may be called again and from any thread.
        match unsafe { (api.cuInit)(0) } {
            0 => {}
            NO_DEVICE => return Err(OpenError::NoDevice { library: library.path().to_owned() }),
            number => api.check("cuInit", number)?,
        }
        Ok(Self { api: Rc::new(api), library, version })
    }

    /// Its version as CUDA numbers it: 12020 is the driver of CUDA 12.2.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The file that it was loaded from, links followed.
    pub fn library_path(&self) -> &Path {
        self.library.path()
    }

    /// Whether this is gpumux's own emulated driver.
    pub fn is_emulated(&self) -> bool {
        self.library_path().file_name().is_some_and(|name| name == EMULATOR)
    }

    /// Devices that it finds.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn device_count(&self) -> Result<u32, OpenError> {
        let mut count = 0;
        // SAFETY: writes one int.
        let answer = unsafe { (self.api.cuDeviceGetCount)(&raw mut count) };
        self.api.check("cuDeviceGetCount", answer)?;
        Ok(count.unsigned_abs())
    }

    pub(crate) fn api(&self) -> &Rc<DriverApi> {
        &self.api
    }
}

/// Asks for the version alone: an old driver lacks other symbols, and the version says it better.
fn version_of(library: &mut Opened) -> Result<u32, OpenError> {
    type GetVersion = unsafe extern "C" fn(*mut c_int) -> u32;
    // SAFETY: this is the type that CUDA documents for the symbol.
    let get_version: GetVersion = unsafe { library.need("cuDriverGetVersion") }?;
    library.locate(get_version as *const _);
    let mut version = 0;
    // SAFETY: writes one int, and may be called before cuInit. A version that could not be had
    // stays 0, which is too old.
    let _ = unsafe { get_version(&raw mut version) };
    Ok(version.unsigned_abs())
}
