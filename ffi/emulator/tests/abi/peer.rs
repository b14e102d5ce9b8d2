//! Two devices: copies between them, kernels that use the other's memory, pools, and processes.

use crate::calls::*;
use std::ffi::{CStr, c_void};
use std::ptr::null_mut;

// *to = 5
const STORE: &CStr = c"
.version 8.0
.target sm_75
.address_size 64
.visible .entry put(.param .u64 to)
{
    .reg .b32 %r<2>;
    .reg .b64 %d<2>;
    ld.param.u64 %d1, [to];
    mov.u32 %r1, 5;
    st.global.u32 [%d1], %r1;
    ret;
}
";

fn retain(device: CUdevice) -> CUcontext {
    let mut context = null_mut();
    call!(cuDevicePrimaryCtxRetain(&mut context, device));
    context
}

/// The contexts of both devices; the first is current.
fn contexts() -> [CUcontext; 2] {
    call!(cuInit(0));
    let contexts = [retain(0), retain(1)];
    call!(cuCtxSetCurrent(contexts[0]));
    contexts
}

/// Stores to an address from a kernel of the current context; returns how that ended.
fn store(address: CUdeviceptr) -> CUresult {
    let (mut module, mut function) = (null_mut(), null_mut());
    call!(cuModuleLoadData(&mut module, STORE.as_ptr().cast()));
    call!(cuModuleGetFunction(&mut function, module, c"put".as_ptr()));
    let mut address = address;
    let mut params: [*mut c_void; 1] = [(&raw mut address).cast()];
    let stream = null_mut();
    call!(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, stream, params.as_mut_ptr(), null_mut()));
    // SAFETY: no arguments.
    unsafe { cuCtxSynchronize() }
}

/// A pool of a device.
fn pool(device: CUdevice, bytes_max: usize) -> CUmemoryPool {
    // SAFETY: zeroes are the defaults of this struct.
    let mut props: CUmemPoolProps = unsafe { std::mem::zeroed() };
    props.allocType = CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED;
    props.location = at(device);
    props.maxSize = bytes_max;
    let mut pool = null_mut();
    call!(cuMemPoolCreate(&mut pool, &props));
    pool
}

fn at(device: CUdevice) -> CUmemLocation {
    // SAFETY: zeroes are valid for this struct.
    let mut location: CUmemLocation = unsafe { std::mem::zeroed() };
    location.type_ = CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE;
    location.__bindgen_anon_1.id = device;
    location
}

fn long(pool: CUmemoryPool, attribute: CUmemPool_attribute) -> u64 {
    let mut value = 0_u64;
    call!(cuMemPoolGetAttribute(pool, attribute, (&raw mut value).cast()));
    value
}

crate::child::in_child! {
    a_kernel_reaches_a_peers_memory_only_when_it_may("devices=2,memory=1MiB") {
        let [one, other] = contexts();
        let mut can = 0;
        for (peer, expected) in [(0, 0), (1, 1)] {
            call!(cuDeviceCanAccessPeer(&mut can, 0, peer));
            assert_eq!(can, expected);
        }
        call!(cuCtxSetCurrent(other));
        let address = allocate(4);
        call!(cuCtxSetCurrent(one));
        call!(cuCtxEnablePeerAccess(one, 0) is CUDA_ERROR_INVALID_CONTEXT);
        call!(cuCtxDisablePeerAccess(other) is CUDA_ERROR_PEER_ACCESS_NOT_ENABLED);
        call!(cuCtxEnablePeerAccess(other, 1) is CUDA_ERROR_INVALID_VALUE);
        call!(cuCtxEnablePeerAccess(other, 0));
        call!(cuCtxEnablePeerAccess(other, 0) is CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
        assert_eq!(store(address), CUDA_SUCCESS);
        assert_eq!(read_u32(address, 1), [5]);
        call!(cuCtxDisablePeerAccess(other));
        assert_eq!(store(address), CUDA_ERROR_ILLEGAL_ADDRESS);
        // The fault is the one device's.
        call!(cuCtxSetCurrent(other));
        assert_eq!(store(address), CUDA_SUCCESS);
    }

    copies_between_devices_need_no_permission("devices=2,memory=1MiB") {
        let [one, other] = contexts();
        let from = allocate(4);
        call!(cuMemsetD32_v2(from, 9, 1));
        call!(cuCtxSetCurrent(other));
        let to = allocate(4);
        call!(cuMemcpyPeer(to, other, from, one, 4));
        assert_eq!(read_u32(to, 1), [9]);
        call!(cuMemcpyPeer(to, null_mut(), from, one, 4) is CUDA_ERROR_INVALID_CONTEXT);
    }

    a_pools_memory_is_its_devices_unless_it_is_opened("devices=2,memory=1MiB") {
        let [one, other] = contexts();
        let pool = pool(1, 0);
        call!(cuCtxSetCurrent(other));
        let mut address = 0;
        call!(cuMemAllocFromPoolAsync(&mut address, 4, pool, null_mut()));
        call!(cuCtxSetCurrent(one));
        // SAFETY: zeroes are valid for this struct.
        let mut access: CUmemAccessDesc = unsafe { std::mem::zeroed() };
        access.location = at(0);
        access.flags = CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
        call!(cuMemPoolSetAccess(pool, &access, 1));
        let mut flags = CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_NONE;
        call!(cuMemPoolGetAccess(&mut flags, pool, &mut at(0)));
        assert_eq!(flags, CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
        assert_eq!(store(address), CUDA_SUCCESS);
        // Peer access opens what no pool has, and this is a pool's.
        access.flags = CUmemAccess_flags::CU_MEM_ACCESS_FLAGS_PROT_NONE;
        call!(cuMemPoolSetAccess(pool, &access, 1));
        call!(cuCtxEnablePeerAccess(other, 0));
        assert_eq!(store(address), CUDA_ERROR_ILLEGAL_ADDRESS);
    }

    pools_count_what_is_allocated_from_them("memory=1MiB") {
        use CUmemPool_attribute::*;
        context();
        let pool = pool(0, 4096);
        let stream = null_mut();
        let [mut first, mut second] = [0; 2];
        call!(cuMemAllocFromPoolAsync(&mut first, 1024, pool, stream));
        call!(cuMemAllocFromPoolAsync(&mut second, 2048, pool, stream));
        assert_eq!(long(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT), 3072);
        let mut third = 0;
        call!(cuMemAllocFromPoolAsync(&mut third, 2048, pool, stream) is CUDA_ERROR_OUT_OF_MEMORY);
        call!(cuMemFreeAsync(second, stream));
        call!(cuStreamSynchronize(stream));
        assert_eq!(long(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT), 1024);
        assert_eq!(long(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH), 3072);
        let mut zero = 0_u64;
        call!(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH, (&raw mut zero).cast()));
        assert_eq!(long(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH), 1024);
        call!(cuMemPoolTrimTo(pool, 0));
        call!(cuMemPoolDestroy(pool));
        call!(cuMemPoolTrimTo(pool, 0) is CUDA_ERROR_INVALID_VALUE);
        // What was allocated stays.
        call!(cuMemsetD32_v2(first, 1, 1));
        assert_eq!(read_u32(first, 1), [1]);
    }

    a_device_allocates_from_the_pool_that_is_set("devices=2,memory=1MiB") {
        use CUmemPool_attribute::*;
        contexts();
        let (mine, foreign) = (pool(0, 0), pool(1, 0));
        let [mut default, mut current] = [null_mut(); 2];
        call!(cuDeviceGetDefaultMemPool(&mut default, 0));
        call!(cuDeviceGetMemPool(&mut current, 0));
        assert_eq!(default, current);
        call!(cuDeviceSetMemPool(0, foreign) is CUDA_ERROR_INVALID_VALUE);
        call!(cuDeviceSetMemPool(0, mine));
        let mut address = 0;
        call!(cuMemAllocAsync(&mut address, 512, null_mut()));
        assert_eq!(long(mine, CU_MEMPOOL_ATTR_USED_MEM_CURRENT), 512);
        call!(cuMemPoolDestroy(default) is CUDA_ERROR_INVALID_VALUE);
        call!(cuMemPoolDestroy(mine));
        call!(cuDeviceGetMemPool(&mut current, 0));
        assert_eq!(default, current);
    }

    other_processes_are_refused("memory=1MiB") {
        context();
        let address = allocate(4);
        // SAFETY: zeroes are valid for this struct.
        let mut handle: CUipcMemHandle = unsafe { std::mem::zeroed() };
        call!(cuIpcGetMemHandle(&mut handle, address) is CUDA_ERROR_NOT_SUPPORTED);
        let mut opened = 0;
        call!(cuIpcOpenMemHandle_v2(&mut opened, handle, 0) is CUDA_ERROR_NOT_SUPPORTED);
    }

    a_forked_process_has_no_driver("memory=1MiB") {
        context();
        // SAFETY: the child makes calls that only read a flag, and leaves without destructors.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: no flags.
            let init = unsafe { cuInit(0) };
            // SAFETY: no arguments.
            let codes = [init, unsafe { cuCtxSynchronize() }];
            let told = codes == [CUDA_ERROR_NOT_INITIALIZED; 2];
            // SAFETY: ends this process.
            unsafe { libc::_exit(i32::from(!told)) };
        }
        let mut status = -1;
        // SAFETY: a child of ours, and a place for its status.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0);
        call!(cuCtxSynchronize());
    }
}
