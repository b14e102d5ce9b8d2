//! The primary context of a device: retained while anything that lives in it does.

use crate::driver_api::DriverApi;
use crate::error::CudaError;
use cudarc::driver::sys::{CUcontext, CUdevice};
use std::ptr;
use std::rc::Rc;

/// A retained primary context, current on the thread that opened it. `Rc` keeps it, and all that
/// holds one, on that thread.
pub(crate) struct Context {
    api: Rc<DriverApi>,
    device: CUdevice,
}

impl Context {
    /// Retains the primary context of `device` and makes it current.
    pub(crate) fn open(api: &Rc<DriverApi>, device: CUdevice) -> Result<Rc<Self>, CudaError> {
        let mut handle: CUcontext = ptr::null_mut();
        // SAFETY: writes one handle; the device was given by this driver.
        let answer = unsafe { (api.cuDevicePrimaryCtxRetain)(&raw mut handle, device) };
        api.check("cuDevicePrimaryCtxRetain", answer)?;
        // From here on, dropping it releases what was retained.
        let context = Rc::new(Self { api: Rc::clone(api), device });
        // SAFETY: the handle was given just now.
        let answer = unsafe { (api.cuCtxSetCurrent)(handle) };
        api.check("cuCtxSetCurrent", answer)?;
        Ok(context)
    }

    /// The driver that it belongs to.
    pub(crate) fn api(&self) -> &DriverApi {
        &self.api
    }

    /// The device that it is of.
    pub(crate) fn device(&self) -> CUdevice {
        self.device
    }

    /// Free and total bytes of the device.
    pub(crate) fn memory_info(&self) -> Result<(u64, u64), CudaError> {
        let (mut free, mut total) = (0, 0);
        // SAFETY: writes two sizes; the context is current on this thread, which it cannot leave.
        let answer = unsafe { (self.api.cuMemGetInfo_v2)(&raw mut free, &raw mut total) };
        self.api.check("cuMemGetInfo_v2", answer)?;
        Ok((free as u64, total as u64))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained once in `open`, and all that lives in it holds an `Rc` of it, so it is
        // gone. A failure has nobody to tell: the context is not used again.
        let _ = unsafe { (self.api.cuDevicePrimaryCtxRelease_v2)(self.device) };
    }
}
