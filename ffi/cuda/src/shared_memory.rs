//! Whether memory that peers share can be registered with the driver, so that transfers need no copy
//! by the CPU: tried on a memfd of our own.

use crate::context::Context;
use crate::device::Device;
use crate::driver_api::{DriverApi, HOST_DEVICE_MAP, HOST_PORTABLE};
use crate::error::CudaError;
use crate::lane::Lane;
use crate::memory::{DeviceMemory, OutOfDeviceMemory};
use gpumux_kernels::{DeviceAddress, Echo};
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::rc::Rc;
use std::slice;

/// Why shared memory cannot be used by the device.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The driver refuses this kind of memory.
    #[error("the driver does not register shared memory: {0}")]
    Refused(CudaError),
    /// The driver has no such call.
    #[error("the driver has no {0}")]
    Missing(&'static str),
    /// It was registered, and what the device read or wrote there was not what is there.
    #[error("{wrong} of {bytes} bytes came back wrong from registered memory")]
    Wrong {
        /// Bytes that differ.
        wrong: usize,
        /// Bytes in all.
        bytes: usize,
    },
    /// The kernel refused the memory.
    #[error("the memory to register: {0}")]
    Os(#[from] Errno),
    /// The device has no room for the other half of the test.
    #[error(transparent)]
    Memory(#[from] OutOfDeviceMemory),
    /// Another call failed.
    #[error(transparent)]
    Call(#[from] CudaError),
}

/// Registers a memfd's mapping, has the device copy its first half through device memory to its
/// second, and compares. For start-up and diagnosis: this may synchronise the device.
///
/// # Errors
/// [`RegisterError`].
pub fn try_registered_memory(
    device: &Device,
    lane: &mut Lane,
    memory: &DeviceMemory,
) -> Result<(), RegisterError> {
    const HALF: usize = 64 << 10;
    let mut mapping = Mapping::new(2 * HALF)?;
    for (index, byte) in mapping.bytes_mut()[..HALF].iter_mut().enumerate() {
        // A period that is no power of two, so that a page in the place of another shows.
        *byte = u8::try_from(index % 251).expect("below 251");
    }
    let block = memory.alloc(HALF as u64)?;
    let registered = Registered::new(device.context(), &mapping)?;
    let first = registered.address;
    let second = first.checked_add(HALF as u64).expect("the mapping does not wrap");
    let copy = |from: DeviceAddress, to: DeviceAddress| {
        Echo { input: from.of(), output: to.of(), bytes: HALF as u64 }.launch()
    };
    let issued = lane
        .launch(&copy(first, block.address()))
        .and_then(|()| lane.launch(&copy(block.address(), second)));
    // Whatever was issued has ended before the memory goes.
    let drained = lane.drain();
    drop(registered);
    issued.and(drained)?;
    let (sent, came) = mapping.bytes().split_at(HALF);
    let wrong = sent.iter().zip(came).filter(|(sent, came)| sent != came).count();
    if wrong > 0 { Err(RegisterError::Wrong { wrong, bytes: HALF }) } else { Ok(()) }
}

/// A memfd, mapped as a channel is.
struct Mapping {
    base: NonNull<c_void>,
    bytes: usize,
}

impl Mapping {
    fn new(bytes: usize) -> Result<Self, Errno> {
        let memfd = memfd_create(c"gpumux-registered", MFdFlags::MFD_CLOEXEC)?;
        nix::unistd::ftruncate(&memfd, i64::try_from(bytes).map_err(|_| Errno::EFBIG)?)?;
        let length = NonZeroUsize::new(bytes).ok_or(Errno::EINVAL)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at a place that the kernel chooses replaces nothing.
        let base = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, &memfd, 0) }?;
        Ok(Self { base, bytes })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: mapped and zeroed by the kernel, as long as this lives. The descriptor is closed
        // and was given to nobody, and the device writes only while it is registered.
        unsafe { slice::from_raw_parts(self.base.as_ptr().cast(), self.bytes) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; and the borrow is exclusive.
        unsafe { slice::from_raw_parts_mut(self.base.as_ptr().cast(), self.bytes) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped once in `new`, and no slice of it outlives this.
        let _ = unsafe { munmap(self.base, self.bytes) };
    }
}

/// A mapping that the device can reach.
struct Registered {
    context: Rc<Context>,
    base: *mut c_void,
    unregister: unsafe extern "C" fn(*mut c_void) -> u32,
    address: DeviceAddress,
}

impl Registered {
    fn new(context: &Rc<Context>, mapping: &Mapping) -> Result<Self, RegisterError> {
        let api = context.api();
        let register =
            api.cuMemHostRegister_v2.ok_or(RegisterError::Missing("cuMemHostRegister_v2"))?;
        let unregister =
            api.cuMemHostUnregister.ok_or(RegisterError::Missing("cuMemHostUnregister"))?;
        let base = mapping.base.as_ptr();
        // SAFETY: the mapping is whole and outlives the registration, which `Drop` ends.
        let answer = unsafe { register(base, mapping.bytes, HOST_PORTABLE | HOST_DEVICE_MAP) };
        refused(api, answer)?;
        let context = Rc::clone(context);
        let mut registered = Self { context, base, unregister, address: DeviceAddress::new(0) };
        let mut address = 0;
        let api = registered.context.api();
        // SAFETY: writes one address; the memory was registered for the device just now.
        let answer = unsafe { (api.cuMemHostGetDevicePointer_v2)(&raw mut address, base, 0) };
        api.check("cuMemHostGetDevicePointer_v2", answer)?;
        registered.address = DeviceAddress::new(address);
        Ok(registered)
    }
}

/// Tells a driver that cannot from one that fails.
fn refused(api: &DriverApi, number: u32) -> Result<(), RegisterError> {
    const CALL: &str = "cuMemHostRegister_v2";
    match api.check(CALL, number) {
        Ok(()) => Ok(()),
        Err(CudaError::DeviceLost(failed)) => {
            Err(RegisterError::Call(CudaError::DeviceLost(failed)))
        }
        Err(error) => Err(RegisterError::Refused(error)),
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // SAFETY: registered once in `new`. The caller has drained its lane; a lane that could not
        // be drained is of a lost device, on which nothing runs. A failure has nobody to tell.
        let _ = unsafe { (self.unregister)(self.base) };
    }
}
