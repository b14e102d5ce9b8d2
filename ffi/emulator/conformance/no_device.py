"""Prints what a CUDA driver without a device answers: no_device.py LIBRARY"""

import ctypes
import sys

driver = ctypes.CDLL(sys.argv[1])
number = ctypes.c_int(-1)
handle = ctypes.c_void_p()
text = ctypes.c_char_p()


def say(name, *arguments):
    code = getattr(driver, name)(*arguments)
    print(name, code, number.value)
    return code


say("cuDriverGetVersion", ctypes.byref(number))
number.value = -1
say("cuDeviceGetCount", ctypes.byref(number))
code = say("cuInit", 0)
for name in ("cuGetErrorName", "cuGetErrorString"):
    getattr(driver, name)(code, ctypes.byref(text))
    print(name, text.value.decode())
say("cuInit", 1)
say("cuDeviceGetCount", ctypes.byref(number))
say("cuDeviceGet", ctypes.byref(number), 0)
say("cuDevicePrimaryCtxRetain", ctypes.byref(handle), 0)
say("cuCtxGetCurrent", ctypes.byref(handle))
say("cuCtxSynchronize")
say("cuMemAlloc_v2", ctypes.byref(handle), ctypes.c_size_t(1))
say("cuStreamCreate", ctypes.byref(handle), 0)
say("cuDriverGetVersion", ctypes.byref(number))
room = ctypes.create_string_buffer(64)
for name in (
    "cuCtxGetDevice cuCtxGetFlags cuCtxPopCurrent_v2 cuCtxGetLimit cuCtxSetLimit "
    "cuCtxGetStreamPriorityRange cuDeviceGetName cuDeviceTotalMem_v2 cuDeviceGetAttribute "
    "cuDeviceGetUuid_v2 cuDeviceCanAccessPeer cuDevicePrimaryCtxRelease_v2 "
    "cuDevicePrimaryCtxGetState cuMemFree_v2 cuMemGetInfo_v2 cuMemHostAlloc cuMemFreeHost "
    "cuMemcpyHtoD_v2 cuMemsetD8_v2 cuMemPoolCreate cuModuleLoadData cuModuleUnload "
    "cuModuleGetFunction cuLibraryLoadData cuLibraryUnload cuLinkCreate_v2 cuFuncGetAttribute "
    "cuEventCreate cuGraphCreate cuCtxEnablePeerAccess"
).split():
    # Arguments of no meaning: a driver that was not initialised looks at none of them.
    say(name, *[room] * 3, *[None] * 8)
for name in (
    "cuCtxSetCurrent cuCtxPushCurrent_v2 cuMemAllocAsync cuMemFreeAsync cuMemPoolDestroy "
    "cuStreamSynchronize cuStreamQuery cuStreamBeginCapture_v2 cuEventRecord cuGraphDestroy "
    "cuGraphLaunch"
).split():
    # Nor at whether a handle is null. (Of some others the real driver does ask that first.)
    say(name, *[None] * 11)
