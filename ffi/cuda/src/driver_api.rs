//! The functions of the driver that we call, with the types that its header gives them.

use crate::error::{Code, CudaError, Failed};
use crate::library::library_functions;
use crate::partition::{DevResource, GroupParams};
use cudarc::driver::sys::{
    CUcontext, CUdevResourceDesc, CUdevice, CUdeviceptr, CUevent, CUfunction, CUgreenCtx, CUmodule,
    CUstream,
};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr;

/// `CUhostFn`.
pub(crate) type HostFunction = extern "C" fn(*mut c_void);

/// `CU_STREAM_NON_BLOCKING`: no order with the NULL stream.
pub(crate) const STREAM_NON_BLOCKING: c_uint = 1;
/// `CU_MEMHOSTALLOC_PORTABLE`: pinned for every context.
pub(crate) const HOST_PORTABLE: c_uint = 1;
/// `CU_MEMHOSTALLOC_DEVICEMAP`: the device can address it.
pub(crate) const HOST_DEVICE_MAP: c_uint = 2;

/// `CU_EVENT_DISABLE_TIMING`: an event that only orders.
pub(crate) const EVENT_DISABLE_TIMING: c_uint = 2;

/// `CUDA_ERROR_NOT_READY`: not an error of `cuStreamQuery` but its "no".
pub(crate) const NOT_READY: u32 = 600;
/// `CUDA_ERROR_NO_DEVICE`.
pub(crate) const NO_DEVICE: u32 = 100;
/// `CUDA_ERROR_NOT_SUPPORTED`.
pub(crate) const NOT_SUPPORTED: u32 = 801;

/// Device attributes by their number in the header (`CUdevice_attribute`).
#[derive(Clone, Copy)]
pub(crate) enum Attribute {
    MultiprocessorCount = 16,
    Integrated = 18,
    ComputeMode = 20,
    ComputeCapabilityMajor = 75,
    ComputeCapabilityMinor = 76,
}

library_functions! {
    /// The driver's functions, but for `cuDriverGetVersion`, which is asked for first.
    struct DriverApi {
        fn cuInit(c_uint);
        fn cuGetErrorName(u32, *mut *const c_char);
        fn cuDeviceGetCount(*mut c_int);
        fn cuDeviceGet(*mut CUdevice, c_int);
        fn cuDeviceGetName(*mut c_char, c_int, CUdevice);
        fn cuDeviceGetAttribute(*mut c_int, c_int, CUdevice);
        fn cuDevicePrimaryCtxRetain(*mut CUcontext, CUdevice);
        fn cuDevicePrimaryCtxRelease_v2(CUdevice);
        fn cuCtxSetCurrent(CUcontext);
        fn cuModuleLoadData(*mut CUmodule, *const c_void);
        fn cuModuleUnload(CUmodule);
        fn cuModuleGetFunction(*mut CUfunction, CUmodule, *const c_char);
        fn cuMemGetInfo_v2(*mut usize, *mut usize);
        fn cuMemAlloc_v2(*mut CUdeviceptr, usize);
        fn cuMemFree_v2(CUdeviceptr);
        fn cuMemHostAlloc(*mut *mut c_void, usize, c_uint);
        fn cuMemHostGetDevicePointer_v2(*mut CUdeviceptr, *mut c_void, c_uint);
        fn cuMemFreeHost(*mut c_void);
        fn cuMemcpyHtoDAsync_v2(CUdeviceptr, *const c_void, usize, CUstream);
        fn cuMemcpyDtoHAsync_v2(*mut c_void, CUdeviceptr, usize, CUstream);
        fn cuMemsetD8Async(CUdeviceptr, u8, usize, CUstream);
        fn cuStreamCreate(*mut CUstream, c_uint);
        fn cuStreamQuery(CUstream);
        fn cuStreamSynchronize(CUstream);
        fn cuStreamDestroy_v2(CUstream);
        fn cuStreamWaitEvent(CUstream, CUevent, c_uint);
        fn cuEventCreate(*mut CUevent, c_uint);
        fn cuEventRecord(CUevent, CUstream);
        fn cuEventQuery(CUevent);
        fn cuEventDestroy_v2(CUevent);
        fn cuLaunchHostFunc(CUstream, HostFunction, *mut c_void);
        fn cuLaunchKernel(
            CUfunction, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, CUstream,
            *mut *mut c_void, *mut *mut c_void,
        );
        optional fn cuStreamWriteValue32_v2(CUstream, CUdeviceptr, u32, c_uint);
        optional fn cuDeviceGetDevResource(CUdevice, *mut DevResource, c_uint);
        optional fn cuDevSmResourceSplitByCount(
            *mut DevResource, *mut c_uint, *const DevResource, *mut DevResource, c_uint, c_uint,
        );
        optional fn cuDevSmResourceSplit(
            *mut DevResource, c_uint, *const DevResource, *mut DevResource, c_uint, *mut GroupParams,
        );
        optional fn cuDevResourceGenerateDesc(*mut CUdevResourceDesc, *mut DevResource, c_uint);
        optional fn cuGreenCtxCreate(*mut CUgreenCtx, CUdevResourceDesc, CUdevice, c_uint);
        optional fn cuGreenCtxDestroy(CUgreenCtx);
        optional fn cuGreenCtxGetDevResource(CUgreenCtx, *mut DevResource, c_uint);
        optional fn cuGreenCtxStreamCreate(*mut CUstream, CUgreenCtx, c_uint, c_int);
        optional fn cuDeviceGetUuid_v2(*mut [u8; 16], CUdevice);
        optional fn cuDeviceGetPCIBusId(*mut c_char, c_int, CUdevice);
        optional fn cuMemHostRegister_v2(*mut c_void, usize, c_uint);
        optional fn cuMemHostUnregister(*mut c_void);
    }
}

impl DriverApi {
    /// Turns what `call` answered into a result.
    pub(crate) fn check(&self, call: &'static str, number: u32) -> Result<(), CudaError> {
        match number {
            0 => Ok(()),
            number => Err(CudaError::from_driver(self.failed(call, number))),
        }
    }

    /// Names the code that `call` answered.
    pub(crate) fn failed(&self, call: &'static str, number: u32) -> Failed {
        let mut name = ptr::null();
        // SAFETY: takes any number, and writes a pointer or null to `name`.
        let answer = unsafe { (self.cuGetErrorName)(number, &raw mut name) };
        if answer != 0 || name.is_null() {
            return Failed { call, code: Code { number, name: "unnamed" } };
        }
        // SAFETY: the driver answered with a string constant of its own, and is never unloaded.
        let name = unsafe { CStr::from_ptr(name) };
        Failed { call, code: Code { number, name: name.to_str().unwrap_or("unnamed") } }
    }

    /// An attribute of a device; those that we read are never negative.
    pub(crate) fn attribute(
        &self,
        attribute: Attribute,
        device: CUdevice,
    ) -> Result<u32, CudaError> {
        let mut value = 0;
        // SAFETY: writes one int; an attribute or a device that it does not know is an error code.
        let answer =
            unsafe { (self.cuDeviceGetAttribute)(&raw mut value, attribute as c_int, device) };
        self.check("cuDeviceGetAttribute", answer)?;
        Ok(value.unsigned_abs())
    }
}
