//! What a driver and a device are, exactly. Details that no manual states hold for one build of the
//! driver on one kind of machine, so they are looked up by this.

use crate::device::find;
use crate::driver::Driver;
use crate::driver_api::Attribute;
use crate::error::OpenError;
use std::env::consts::ARCH;
use std::fmt;
use std::path::Path;

/// Which build of the driver it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Build {
    /// NVIDIA's, by the version in the name of its file: `570.124.06` of `libcuda.so.570.124.06`.
    Named(String),
    /// gpumux's own emulated driver, which is what its CUDA version says.
    Emulated,
    /// The file's name says no version.
    Unnamed,
}

impl fmt::Display for Build {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(version) => out.write_str(version),
            Self::Emulated => out.write_str("emulated"),
            Self::Unnamed => out.write_str("unnamed"),
        }
    }
}

/// A driver and a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverKey {
    /// The driver's build.
    pub build: Build,
    /// Its CUDA version: 12080 is 12.8.
    pub cuda: u32,
    /// The processor architecture that it was built for, which is this program's.
    pub architecture: &'static str,
    /// Whether the device is part of the host's chip and shares its memory.
    pub is_integrated: bool,
    /// Major and minor compute capability.
    pub compute_capability: (u32, u32),
}

impl DriverKey {
    /// Reads it. No context is needed, and none is made.
    ///
    /// # Errors
    /// When there is no such device, or what the driver answered.
    pub fn of(driver: &Driver, ordinal: u32) -> Result<Self, OpenError> {
        let (api, device) = (driver.api(), find(driver, ordinal)?);
        let build =
            if driver.is_emulated() { Build::Emulated } else { build_of(driver.library_path()) };
        Ok(Self {
            build,
            cuda: driver.version(),
            architecture: ARCH,
            is_integrated: api.attribute(Attribute::Integrated, device)? != 0,
            compute_capability: (
                api.attribute(Attribute::ComputeCapabilityMajor, device)?,
                api.attribute(Attribute::ComputeCapabilityMinor, device)?,
            ),
        })
    }
}

impl fmt::Display for DriverKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.compute_capability;
        let place = if self.is_integrated { "integrated" } else { "discrete" };
        let (whole, part) = (self.cuda / 1000, self.cuda % 1000 / 10);
        let (build, architecture) = (&self.build, self.architecture);
        write!(out, "driver {build} (CUDA {whole}.{part}), {architecture}, {place} {major}.{minor}")
    }
}

/// The version in the name of the driver's file, links followed.
fn build_of(library: &Path) -> Build {
    let name = library.file_name().and_then(|name| name.to_str());
    let version = name.and_then(|name| name.strip_prefix("libcuda.so."));
    // `libcuda.so.1` names the interface, not the build.
    match version.filter(|version| version.contains('.')) {
        Some(version) => Build::Named(version.to_owned()),
        None => Build::Unnamed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_read_from_the_files_name() {
        for (path, build) in [
            ("/usr/lib/libcuda.so.570.124.06", Build::Named("570.124.06".to_owned())),
            ("/usr/lib/libcuda.so.1", Build::Unnamed),
            ("/usr/lib/libcuda.so", Build::Unnamed),
            ("/usr/lib/other.so.570.124.06", Build::Unnamed),
        ] {
            assert_eq!(build_of(Path::new(path)), build, "{path}");
        }
    }
}
