//! The driver's result codes, their names and what they mean. Apart, because every other file
//! returns them; it knows nothing of what can go wrong.
//!
//! Numbers and names are those of `CUresult` in CUDA's headers up to 13.4; the texts are ours.

use std::ffi::CStr;

/// A `CUresult` as it crosses the ABI.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) u32);

/// What the safe core returns: a value, or the code that the caller gets.
pub(crate) type Outcome<T = ()> = Result<T, Code>;

impl Code {
    pub(crate) const SUCCESS: Code = Code(0);
    pub(crate) const INVALID_VALUE: Code = Code(1);
    pub(crate) const OUT_OF_MEMORY: Code = Code(2);
    pub(crate) const NOT_INITIALIZED: Code = Code(3);
    pub(crate) const NO_DEVICE: Code = Code(100);
    pub(crate) const INVALID_DEVICE: Code = Code(101);
    pub(crate) const INVALID_IMAGE: Code = Code(200);
    pub(crate) const INVALID_CONTEXT: Code = Code(201);
    pub(crate) const NO_BINARY_FOR_GPU: Code = Code(209);
    pub(crate) const UNSUPPORTED_LIMIT: Code = Code(215);
    pub(crate) const PEER_ACCESS_UNSUPPORTED: Code = Code(217);
    pub(crate) const INVALID_PTX: Code = Code(218);
    pub(crate) const UNSUPPORTED_EXEC_AFFINITY: Code = Code(224);
    pub(crate) const UNSUPPORTED_PTX_VERSION: Code = Code(222);
    pub(crate) const FILE_NOT_FOUND: Code = Code(301);
    pub(crate) const OPERATING_SYSTEM: Code = Code(304);
    pub(crate) const INVALID_HANDLE: Code = Code(400);
    pub(crate) const ILLEGAL_STATE: Code = Code(401);
    pub(crate) const NOT_FOUND: Code = Code(500);
    pub(crate) const NOT_READY: Code = Code(600);
    pub(crate) const ILLEGAL_ADDRESS: Code = Code(700);
    pub(crate) const LAUNCH_OUT_OF_RESOURCES: Code = Code(701);
    pub(crate) const LAUNCH_TIMEOUT: Code = Code(702);
    pub(crate) const PEER_ACCESS_ALREADY_ENABLED: Code = Code(704);
    pub(crate) const PEER_ACCESS_NOT_ENABLED: Code = Code(705);
    pub(crate) const CONTEXT_IS_DESTROYED: Code = Code(709);
    pub(crate) const ASSERT: Code = Code(710);
    pub(crate) const HOST_MEMORY_ALREADY_REGISTERED: Code = Code(712);
    pub(crate) const HOST_MEMORY_NOT_REGISTERED: Code = Code(713);
    pub(crate) const MISALIGNED_ADDRESS: Code = Code(716);
    pub(crate) const INVALID_PC: Code = Code(718);
    pub(crate) const LAUNCH_FAILED: Code = Code(719);
    pub(crate) const NOT_SUPPORTED: Code = Code(801);
    pub(crate) const CAPTURE_UNSUPPORTED: Code = Code(900);
    pub(crate) const CAPTURE_INVALIDATED: Code = Code(901);
    pub(crate) const CAPTURE_MERGE: Code = Code(902);
    pub(crate) const CAPTURE_UNMATCHED: Code = Code(903);
    pub(crate) const CAPTURE_UNJOINED: Code = Code(904);
    pub(crate) const CAPTURE_ISOLATION: Code = Code(905);
    pub(crate) const CAPTURE_IMPLICIT: Code = Code(906);
    pub(crate) const CAPTURED_EVENT: Code = Code(907);
    pub(crate) const CAPTURE_WRONG_THREAD: Code = Code(908);
    pub(crate) const INVALID_RESOURCE_TYPE: Code = Code(914);
    pub(crate) const INVALID_RESOURCE_CONFIGURATION: Code = Code(915);
    pub(crate) const STREAM_DETACHED: Code = Code(917);
    pub(crate) const UNKNOWN: Code = Code(999);

    /// The code's name in the headers, or `None` where no such code exists.
    pub(crate) fn name(self) -> Option<&'static CStr> {
        self.entry().map(|(_, name, _)| name)
    }

    /// What the code means, in words.
    pub(crate) fn text(self) -> Option<&'static CStr> {
        self.entry().map(|(_, _, text)| text)
    }

    fn entry(self) -> Option<(u32, &'static CStr, &'static CStr)> {
        let at = TABLE.binary_search_by_key(&self.0, |(code, _, _)| *code).ok()?;
        Some(TABLE[at])
    }
}

/// Every code, in order.
#[rustfmt::skip]
const TABLE: &[(u32, &CStr, &CStr)] = &[
    (0, c"CUDA_SUCCESS", c"no error"),
    (1, c"CUDA_ERROR_INVALID_VALUE", c"invalid argument"),
    (2, c"CUDA_ERROR_OUT_OF_MEMORY", c"out of memory"),
    (3, c"CUDA_ERROR_NOT_INITIALIZED", c"the driver was not initialised"),
    (4, c"CUDA_ERROR_DEINITIALIZED", c"the driver is shutting down"),
    (5, c"CUDA_ERROR_PROFILER_DISABLED", c"the profiler is disabled in this run"),
    (6, c"CUDA_ERROR_PROFILER_NOT_INITIALIZED", c"the profiler was not initialised"),
    (7, c"CUDA_ERROR_PROFILER_ALREADY_STARTED", c"the profiler runs already"),
    (8, c"CUDA_ERROR_PROFILER_ALREADY_STOPPED", c"the profiler was stopped already"),
    (34, c"CUDA_ERROR_STUB_LIBRARY", c"this library is a stub, not a driver"),
    (36, c"CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER", c"the call needs a newer driver"),
    (46, c"CUDA_ERROR_DEVICE_UNAVAILABLE", c"the device is busy or unavailable"),
    (47, c"CUDA_ERROR_MULTICAST_RESOURCE_FULL", c"no multicast resource is left"),
    (100, c"CUDA_ERROR_NO_DEVICE", c"no CUDA-capable device is detected"),
    (101, c"CUDA_ERROR_INVALID_DEVICE", c"invalid device ordinal"),
    (102, c"CUDA_ERROR_DEVICE_NOT_LICENSED", c"the device has no licence for this use"),
    (200, c"CUDA_ERROR_INVALID_IMAGE", c"the device kernel image is invalid"),
    (201, c"CUDA_ERROR_INVALID_CONTEXT", c"invalid device context"),
    (202, c"CUDA_ERROR_CONTEXT_ALREADY_CURRENT", c"the context is current already"),
    (205, c"CUDA_ERROR_MAP_FAILED", c"mapping failed"),
    (206, c"CUDA_ERROR_UNMAP_FAILED", c"unmapping failed"),
    (207, c"CUDA_ERROR_ARRAY_IS_MAPPED", c"the array is mapped"),
    (208, c"CUDA_ERROR_ALREADY_MAPPED", c"the resource is mapped already"),
    (209, c"CUDA_ERROR_NO_BINARY_FOR_GPU", c"no kernel image fits the device"),
    (210, c"CUDA_ERROR_ALREADY_ACQUIRED", c"the resource was acquired already"),
    (211, c"CUDA_ERROR_NOT_MAPPED", c"the resource is not mapped"),
    (212, c"CUDA_ERROR_NOT_MAPPED_AS_ARRAY", c"the resource is not mapped as an array"),
    (213, c"CUDA_ERROR_NOT_MAPPED_AS_POINTER", c"the resource is not mapped as a pointer"),
    (214, c"CUDA_ERROR_ECC_UNCORRECTABLE", c"an uncorrectable memory error"),
    (215, c"CUDA_ERROR_UNSUPPORTED_LIMIT", c"the device does not know this limit"),
    (216, c"CUDA_ERROR_CONTEXT_ALREADY_IN_USE", c"another thread uses the context exclusively"),
    (217, c"CUDA_ERROR_PEER_ACCESS_UNSUPPORTED", c"no peer access between these two devices"),
    (218, c"CUDA_ERROR_INVALID_PTX", c"the PTX was refused by the compiler"),
    (219, c"CUDA_ERROR_INVALID_GRAPHICS_CONTEXT", c"invalid graphics context"),
    (220, c"CUDA_ERROR_NVLINK_UNCORRECTABLE", c"an uncorrectable NVLink error"),
    (221, c"CUDA_ERROR_JIT_COMPILER_NOT_FOUND", c"the PTX compiler was not found"),
    (222, c"CUDA_ERROR_UNSUPPORTED_PTX_VERSION", c"the PTX is newer than the driver"),
    (223, c"CUDA_ERROR_JIT_COMPILATION_DISABLED", c"PTX compilation is disabled"),
    (224, c"CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY", c"the device does not know this execution affinity"),
    (225, c"CUDA_ERROR_UNSUPPORTED_DEVSIDE_SYNC", c"the code synchronises on the device in an unsupported way"),
    (226, c"CUDA_ERROR_CONTAINED", c"a contained device exception"),
    (227, c"CUDA_ERROR_INSUFFICIENT_LOADER_VERSION", c"the loader is too old"),
    (300, c"CUDA_ERROR_INVALID_SOURCE", c"the kernel source is invalid"),
    (301, c"CUDA_ERROR_FILE_NOT_FOUND", c"file not found"),
    (302, c"CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND", c"a symbol of a shared object was not found"),
    (303, c"CUDA_ERROR_SHARED_OBJECT_INIT_FAILED", c"a shared object failed to initialise"),
    (304, c"CUDA_ERROR_OPERATING_SYSTEM", c"the operating system refused a call"),
    (400, c"CUDA_ERROR_INVALID_HANDLE", c"invalid resource handle"),
    (401, c"CUDA_ERROR_ILLEGAL_STATE", c"a resource is in the wrong state"),
    (402, c"CUDA_ERROR_LOSSY_QUERY", c"the query would lose information"),
    (500, c"CUDA_ERROR_NOT_FOUND", c"named symbol not found"),
    (600, c"CUDA_ERROR_NOT_READY", c"the device has not finished"),
    (700, c"CUDA_ERROR_ILLEGAL_ADDRESS", c"an illegal memory access was encountered"),
    (701, c"CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", c"too many resources were asked for the launch"),
    (702, c"CUDA_ERROR_LAUNCH_TIMEOUT", c"the launch ran past its time limit"),
    (703, c"CUDA_ERROR_LAUNCH_INCOMPATIBLE_TEXTURING", c"the launch uses an incompatible texturing mode"),
    (704, c"CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED", c"peer access is enabled already"),
    (705, c"CUDA_ERROR_PEER_ACCESS_NOT_ENABLED", c"peer access is not enabled"),
    (708, c"CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE", c"the primary context is active already"),
    (709, c"CUDA_ERROR_CONTEXT_IS_DESTROYED", c"the context was destroyed"),
    (710, c"CUDA_ERROR_ASSERT", c"a device-side assert failed"),
    (711, c"CUDA_ERROR_TOO_MANY_PEERS", c"no peer slot is left"),
    (712, c"CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED", c"part or all of the memory is registered already"),
    (713, c"CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED", c"the pointer does not name registered memory"),
    (714, c"CUDA_ERROR_HARDWARE_STACK_ERROR", c"the call stack of a kernel is broken"),
    (715, c"CUDA_ERROR_ILLEGAL_INSTRUCTION", c"an illegal instruction was encountered"),
    (716, c"CUDA_ERROR_MISALIGNED_ADDRESS", c"a misaligned address was accessed"),
    (717, c"CUDA_ERROR_INVALID_ADDRESS_SPACE", c"an operation was used on the wrong kind of address"),
    (718, c"CUDA_ERROR_INVALID_PC", c"the program counter is invalid"),
    (719, c"CUDA_ERROR_LAUNCH_FAILED", c"the launch failed"),
    (720, c"CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE", c"a cooperative launch has more blocks than fit at once"),
    (721, c"CUDA_ERROR_TENSOR_MEMORY_LEAK", c"a kernel left tensor memory allocated"),
    (800, c"CUDA_ERROR_NOT_PERMITTED", c"the operation is not permitted"),
    (801, c"CUDA_ERROR_NOT_SUPPORTED", c"the operation is not supported"),
    (802, c"CUDA_ERROR_SYSTEM_NOT_READY", c"the system is not ready"),
    (803, c"CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", c"display driver and CUDA driver do not match"),
    (804, c"CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE", c"forward compatibility is not supported on this device"),
    (805, c"CUDA_ERROR_MPS_CONNECTION_FAILED", c"no connection to the MPS server"),
    (806, c"CUDA_ERROR_MPS_RPC_FAILURE", c"a call to the MPS server failed"),
    (807, c"CUDA_ERROR_MPS_SERVER_NOT_READY", c"the MPS server is not ready"),
    (808, c"CUDA_ERROR_MPS_MAX_CLIENTS_REACHED", c"the MPS server takes no more processes"),
    (809, c"CUDA_ERROR_MPS_MAX_CONNECTIONS_REACHED", c"the MPS server takes no more connections"),
    (810, c"CUDA_ERROR_MPS_CLIENT_TERMINATED", c"the MPS server ended this process's work"),
    (811, c"CUDA_ERROR_CDP_NOT_SUPPORTED", c"dynamic parallelism is not supported"),
    (812, c"CUDA_ERROR_CDP_VERSION_MISMATCH", c"versions of dynamic parallelism are mixed"),
    (900, c"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", c"not permitted while a stream is captured"),
    (901, c"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", c"an earlier error invalidated the capture"),
    (902, c"CUDA_ERROR_STREAM_CAPTURE_MERGE", c"the call would merge two captures"),
    (903, c"CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", c"the capture began elsewhere"),
    (904, c"CUDA_ERROR_STREAM_CAPTURE_UNJOINED", c"the capture has unjoined work"),
    (905, c"CUDA_ERROR_STREAM_CAPTURE_ISOLATION", c"the call crosses the border of a capture"),
    (906, c"CUDA_ERROR_STREAM_CAPTURE_IMPLICIT", c"the call depends on the legacy stream while it is captured"),
    (907, c"CUDA_ERROR_CAPTURED_EVENT", c"the event was last recorded in a capture"),
    (908, c"CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD", c"the capture belongs to another thread"),
    (909, c"CUDA_ERROR_TIMEOUT", c"the wait timed out"),
    (910, c"CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE", c"the graph cannot be updated in this way"),
    (911, c"CUDA_ERROR_EXTERNAL_DEVICE", c"an external device failed"),
    (912, c"CUDA_ERROR_INVALID_CLUSTER_SIZE", c"invalid cluster size"),
    (913, c"CUDA_ERROR_FUNCTION_NOT_LOADED", c"the function is not loaded"),
    (914, c"CUDA_ERROR_INVALID_RESOURCE_TYPE", c"invalid resource type"),
    (915, c"CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION", c"invalid resource configuration"),
    (916, c"CUDA_ERROR_KEY_ROTATION", c"a key rotation was in progress"),
    (917, c"CUDA_ERROR_STREAM_DETACHED", c"the stream is detached from its context"),
    (918, c"CUDA_ERROR_GRAPH_RECAPTURE_FAILURE", c"the graph cannot be captured again"),
    (919, c"CUDA_ERROR_FABRIC_NOT_READY", c"the fabric is not ready"),
    (999, c"CUDA_ERROR_UNKNOWN", c"unknown error"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_number() {
        for (code, name, text) in TABLE {
            assert_eq!(Code(*code).name(), Some(*name));
            assert_eq!(Code(*code).text(), Some(*text));
        }
        assert_eq!(Code(998).name(), None);
    }
}
