//! What the driver tells of a device before anybody opens it: enough to name it to an operator, and to
//! say why it cannot be opened.

use crate::device::{find, name_of};
use crate::driver::Driver;
use crate::driver_api::{Attribute, DriverApi};
use crate::error::OpenError;
use cudarc::driver::sys::CUdevice;
use std::ffi::{CStr, c_char, c_int};
use std::fmt;

/// A device that nobody has opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceIdentity {
    /// Its place in the driver's order.
    pub ordinal: u32,
    /// Its name, as the driver says it.
    pub name: String,
    /// Its uuid, where the driver tells.
    pub uuid: Option<Uuid>,
    /// Where it sits on the PCI bus, where the driver tells.
    pub pci: Option<String>,
    /// Major and minor compute capability.
    pub compute_capability: (u32, u32),
    /// Streaming multiprocessors.
    pub sm_count: u32,
    /// Who may make a context, as `CUcomputemode` numbers it.
    pub compute_mode: u32,
}

/// A device's uuid. It is shown as the vendor's tools print it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Uuid([u8; 16]);

impl fmt::Display for Uuid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("GPU")?;
        for (index, byte) in self.0.iter().enumerate() {
            let dash = if matches!(index, 0 | 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(out, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl Driver {
    /// Reads what `ordinal` is. No context is made.
    ///
    /// # Errors
    /// [`OpenError::NoSuchDevice`], or what the driver answered.
    pub fn identify(&self, ordinal: u32) -> Result<DeviceIdentity, OpenError> {
        let device = find(self, ordinal)?;
        let api = self.api();
        Ok(DeviceIdentity {
            ordinal,
            name: name_of(api, device)?,
            uuid: uuid_of(api, device)?,
            pci: pci_of(api, device)?,
            compute_capability: (
                api.attribute(Attribute::ComputeCapabilityMajor, device)?,
                api.attribute(Attribute::ComputeCapabilityMinor, device)?,
            ),
            sm_count: api.attribute(Attribute::MultiprocessorCount, device)?,
            compute_mode: api.attribute(Attribute::ComputeMode, device)?,
        })
    }
}

/// The uuid; on a device of a multi-instance GPU this call names the instance.
fn uuid_of(api: &DriverApi, device: CUdevice) -> Result<Option<Uuid>, OpenError> {
    let Some(get) = api.cuDeviceGetUuid_v2 else { return Ok(None) };
    let mut bytes = [0_u8; 16];
    // SAFETY: writes sixteen bytes, which is what a `CUuuid` is.
    let answer = unsafe { get(&raw mut bytes, device) };
    api.check("cuDeviceGetUuid_v2", answer)?;
    Ok(Some(Uuid(bytes)))
}

fn pci_of(api: &DriverApi, device: CUdevice) -> Result<Option<String>, OpenError> {
    const BYTES: u8 = 32;
    let Some(get) = api.cuDeviceGetPCIBusId else { return Ok(None) };
    let mut text = [0_u8; BYTES as usize];
    let pointer = text.as_mut_ptr().cast::<c_char>();
    // SAFETY: writes at most that many bytes, the last of them zero.
    let answer = unsafe { get(pointer, c_int::from(BYTES), device) };
    api.check("cuDeviceGetPCIBusId", answer)?;
    let text = CStr::from_bytes_until_nul(&text).unwrap_or_default();
    Ok(Some(text.to_string_lossy().into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_shown_as_the_vendor_prints_it() {
        let bytes = std::array::from_fn(|index| u8::try_from(index * 17).unwrap());
        assert_eq!(Uuid(bytes).to_string(), "GPU-00112233-4455-6677-8899-aabbccddeeff");
    }
}
