//! The driver through its ABI, as a program sees it. Each test runs in a process of its own.

mod child;

use cudarc::driver::sys::*;
use std::ffi::{CStr, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};

use CUresult::*;

/// Calls a driver function and checks its code.
macro_rules! call {
    ($name:ident($($argument:expr),* $(,)?) is $code:expr) => {{
        // SAFETY: arguments of the right kinds; wrong values are what the test is about.
        let code = unsafe { $name($($argument),*) };
        assert_eq!(code, $code, stringify!($name));
    }};
    ($name:ident($($argument:expr),* $(,)?)) => {
        call!($name($($argument),*) is CUDA_SUCCESS)
    };
}

/// A driver that is initialised and has a context current.
fn context() -> CUcontext {
    let mut context = null_mut();
    call!(cuInit(0));
    call!(cuDevicePrimaryCtxRetain(&mut context, 0));
    call!(cuCtxSetCurrent(context));
    context
}

fn stream(flags: CUstream_flags) -> CUstream {
    let mut stream = null_mut();
    call!(cuStreamCreate(&mut stream, flags as u32));
    stream
}

fn event() -> CUevent {
    let mut event = null_mut();
    call!(cuEventCreate(&mut event, 0));
    event
}

fn allocate(bytes: usize) -> CUdeviceptr {
    let mut address = 0;
    call!(cuMemAlloc_v2(&mut address, bytes));
    address
}

fn read_u32(address: CUdeviceptr, count: usize) -> Vec<u32> {
    let mut values = vec![0_u32; count];
    call!(cuMemcpyDtoH_v2(values.as_mut_ptr().cast(), address, count * 4));
    values
}

/// A word of pinned memory that both sides use.
fn pinned_word() -> &'static AtomicU32 {
    let mut memory = null_mut();
    call!(cuMemHostAlloc(&mut memory, 4, 0));
    // SAFETY: pinned memory of four bytes, zeroed, which no test frees.
    unsafe { AtomicU32::from_ptr(memory.cast()) }
}

/// Makes a stream stand still until `gate` is 1.
fn hold(stream: CUstream, gate: &AtomicU32) {
    let address = gate.as_ptr() as CUdeviceptr;
    call!(cuStreamWaitValue32_v2(stream, address, 1, 1));
}

extern "C" fn add_one(counter: *mut c_void) {
    // SAFETY: the tests pass a counter that outlives the stream's work.
    let counter = unsafe { AtomicU32::from_ptr(counter.cast()) };
    counter.fetch_add(1, Ordering::AcqRel);
}

child::in_child! {
    memory_round_trips("memory=16MiB") {
        context();
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let (one, other) = (allocate(bytes.len()), allocate(bytes.len()));
        call!(cuMemcpyHtoD_v2(one, bytes.as_ptr().cast(), bytes.len()));
        call!(cuMemcpyDtoD_v2(other, one, bytes.len()));
        let mut back = vec![0_u8; bytes.len()];
        call!(cuMemcpyDtoH_v2(back.as_mut_ptr().cast(), other, bytes.len()));
        assert_eq!(back, bytes);
        call!(cuMemsetD16_v2(other, 0x1234, 2));
        call!(cuMemsetD32_v2(other + 4, 0xdead_beef, 1));
        call!(cuMemsetD8_v2(other + 8, 7, 4));
        assert_eq!(read_u32(other, 3), [0x1234_1234, 0xdead_beef, 0x0707_0707]);
    }

    freed_memory_comes_back_empty("memory=1MiB") {
        context();
        for _ in 0..3 {
            let address = allocate(1 << 20);
            assert!(read_u32(address, 1 << 18).iter().all(|word| *word == 0));
            call!(cuMemsetD32_v2(address, 0x5555_5555, 1 << 18));
            call!(cuMemFree_v2(address));
        }
    }

    memory_that_is_not_there_is_refused("memory=1MiB") {
        context();
        let mut address = 0;
        call!(cuMemAlloc_v2(&mut address, 0) is CUDA_ERROR_INVALID_VALUE);
        call!(cuMemAlloc_v2(null_mut(), 1) is CUDA_ERROR_INVALID_VALUE);
        let (mut free, mut total) = (0, 0);
        for _ in 0..1000 {
            call!(cuMemAlloc_v2(&mut address, (1 << 20) + 1) is CUDA_ERROR_OUT_OF_MEMORY);
            call!(cuMemAlloc_v2(&mut address, usize::MAX) is CUDA_ERROR_OUT_OF_MEMORY);
        }
        call!(cuMemGetInfo_v2(&mut free, &mut total));
        assert_eq!((free, total), (1 << 20, 1 << 20));
        let address = allocate(1 << 20);
        call!(cuMemFree_v2(address));
    }

    wrong_addresses_are_refused("memory=1MiB") {
        context();
        let address = allocate(1000);
        let mut bytes = [0_u8; 4096];
        let to = bytes.as_mut_ptr().cast::<c_void>();
        for (from, count) in [(address, 1001), (address + 1000, 1), (0, 1), (1 << 20, 8),
            (address, usize::MAX), (u64::MAX - 4, 8)] {
            call!(cuMemcpyDtoH_v2(to, from, count) is CUDA_ERROR_INVALID_VALUE);
            call!(cuMemcpyHtoD_v2(from, to, count) is CUDA_ERROR_INVALID_VALUE);
            call!(cuMemsetD8_v2(from, 0, count) is CUDA_ERROR_INVALID_VALUE);
        }
        call!(cuMemsetD32_v2(address + 2, 0, 1) is CUDA_ERROR_INVALID_VALUE);
        call!(cuMemcpyDtoH_v2(null_mut(), address, 1) is CUDA_ERROR_INVALID_VALUE);
        call!(cuMemFree_v2(address + 8) is CUDA_ERROR_INVALID_VALUE);
        call!(cuMemFree_v2(bytes.as_ptr() as u64) is CUDA_ERROR_INVALID_VALUE);
        call!(cuMemFree_v2(address));
        call!(cuMemFree_v2(address) is CUDA_ERROR_INVALID_VALUE);
        call!(cuMemFreeAsync(address, null_mut()) is CUDA_ERROR_INVALID_VALUE);
        call!(cuMemFree_v2(0));
        call!(cuCtxSynchronize());
    }

    wrong_handles_are_refused("memory=1MiB") {
        let context = context();
        let (stream, event) = (stream(CUstream_flags::CU_STREAM_DEFAULT), event());
        call!(cuStreamSynchronize(event.cast()) is CUDA_ERROR_INVALID_HANDLE);
        call!(cuEventRecord(stream.cast(), stream) is CUDA_ERROR_INVALID_HANDLE);
        call!(cuEventQuery(null_mut()) is CUDA_ERROR_INVALID_HANDLE);
        call!(cuStreamQuery(0xdead_0000_usize as CUstream) is CUDA_ERROR_INVALID_HANDLE);
        call!(cuCtxSetCurrent(stream.cast()) is CUDA_ERROR_INVALID_CONTEXT);
        call!(cuStreamDestroy_v2(stream));
        call!(cuStreamDestroy_v2(stream) is CUDA_ERROR_INVALID_HANDLE);
        call!(cuEventDestroy_v2(event));
        call!(cuEventDestroy_v2(event) is CUDA_ERROR_INVALID_HANDLE);
        call!(cuStreamDestroy_v2(null_mut()) is CUDA_ERROR_INVALID_HANDLE);
        // Destroying the primary context that way is an error, and does nothing.
        call!(cuCtxDestroy_v2(context) is CUDA_ERROR_INVALID_CONTEXT);
        call!(cuCtxSynchronize());
    }

    contexts_take_what_they_own_with_them("memory=1MiB") {
        call!(cuInit(0));
        let mut context = null_mut();
        call!(cuCtxCreate_v4(&mut context, null_mut(), 0, 0));
        let address = allocate(1 << 20);
        let stream = stream(CUstream_flags::CU_STREAM_DEFAULT);
        let gate = pinned_word();
        hold(stream, gate);
        call!(cuMemsetD8Async(address, 1, 16, stream));
        call!(cuCtxDestroy_v2(context));
        call!(cuCtxDestroy_v2(context) is CUDA_ERROR_INVALID_CONTEXT);
        call!(cuCtxSynchronize() is CUDA_ERROR_INVALID_CONTEXT);
        call!(cuStreamSynchronize(stream) is CUDA_ERROR_INVALID_HANDLE);
        self::context();
        allocate(1 << 20);
    }

    a_context_that_is_destroyed_elsewhere_is_no_longer_usable("memory=1MiB") {
        call!(cuInit(0));
        let mut context = null_mut();
        call!(cuCtxCreate_v4(&mut context, null_mut(), 0, 0));
        let handle = context as usize;
        std::thread::spawn(move || call!(cuCtxDestroy_v2(handle as CUcontext))).join().unwrap();
        call!(cuCtxSynchronize() is CUDA_ERROR_CONTEXT_IS_DESTROYED);
        let mut top = null_mut();
        call!(cuCtxGetCurrent(&mut top));
        assert_eq!(top, context);
        call!(cuCtxSetCurrent(null_mut()));
        call!(cuCtxSynchronize() is CUDA_ERROR_INVALID_CONTEXT);
    }

    the_primary_context_is_counted("memory=1MiB") {
        call!(cuInit(0));
        call!(cuDevicePrimaryCtxRelease_v2(0) is CUDA_ERROR_INVALID_CONTEXT);
        let (mut one, mut other) = (null_mut(), null_mut());
        call!(cuDevicePrimaryCtxRetain(&mut one, 0));
        call!(cuDevicePrimaryCtxRetain(&mut other, 0));
        assert_eq!(one, other);
        call!(cuDevicePrimaryCtxRelease_v2(0));
        let (mut flags, mut active) = (9, 9);
        call!(cuDevicePrimaryCtxGetState(0, &mut flags, &mut active));
        assert_eq!((flags, active), (0, 1));
        call!(cuDevicePrimaryCtxRelease_v2(0));
        call!(cuDevicePrimaryCtxGetState(0, &mut flags, &mut active));
        assert_eq!((flags, active), (0, 0));
        call!(cuDevicePrimaryCtxRetain(&mut one, 1) is CUDA_ERROR_INVALID_DEVICE);
    }

    the_stack_of_contexts_is_a_threads_own("memory=1MiB") {
        let primary = context();
        let (mut made, mut top) = (null_mut(), null_mut());
        call!(cuCtxCreate_v4(&mut made, null_mut(), 0, 0));
        call!(cuCtxGetCurrent(&mut top));
        assert_eq!(top, made);
        std::thread::spawn(|| {
            let mut top = null_mut();
            call!(cuCtxGetCurrent(&mut top));
            assert!(top.is_null());
            call!(cuCtxPopCurrent_v2(&mut top) is CUDA_ERROR_INVALID_CONTEXT);
        })
        .join()
        .unwrap();
        call!(cuCtxPopCurrent_v2(&mut top));
        assert_eq!(top, made);
        call!(cuCtxGetCurrent(&mut top));
        assert_eq!(top, primary);
    }

    a_stream_keeps_its_order_and_the_caller_does_not_wait("memory=1MiB") {
        context();
        let stream = stream(CUstream_flags::CU_STREAM_NON_BLOCKING);
        let (gate, flag, address) = (pinned_word(), pinned_word(), allocate(64));
        let counter = AtomicU32::new(0);
        hold(stream, gate);
        for n in 1..=100 {
            call!(cuMemsetD32Async(address, n, 16, stream));
        }
        call!(cuLaunchHostFunc(stream, Some(add_one), counter.as_ptr().cast()));
        call!(cuStreamWriteValue32_v2(stream, flag.as_ptr() as u64, 77, 0));
        call!(cuStreamQuery(stream) is CUDA_ERROR_NOT_READY);
        assert_eq!((counter.load(Ordering::Acquire), flag.load(Ordering::Acquire)), (0, 0));
        gate.store(1, Ordering::Release);
        while flag.load(Ordering::Acquire) != 77 {
            std::hint::spin_loop();
        }
        assert_eq!(counter.load(Ordering::Acquire), 1);
        call!(cuStreamSynchronize(stream));
        call!(cuStreamQuery(stream));
        assert_eq!(read_u32(address, 16), [100; 16]);
    }

    events_order_streams("memory=1MiB") {
        context();
        let [one, other] = [(); 2].map(|()| stream(CUstream_flags::CU_STREAM_NON_BLOCKING));
        let (gate, address, event) = (pinned_word(), allocate(4), event());
        // Never recorded: reached, and nothing to wait for.
        call!(cuEventQuery(event));
        call!(cuEventSynchronize(event));
        call!(cuStreamWaitEvent(other, event, 0));
        hold(one, gate);
        call!(cuMemsetD32Async(address, 1, 1, one));
        call!(cuEventRecord(event, one));
        call!(cuStreamWaitEvent(other, event, 0));
        call!(cuMemsetD32Async(address, 2, 1, other));
        call!(cuEventQuery(event) is CUDA_ERROR_NOT_READY);
        call!(cuStreamQuery(other) is CUDA_ERROR_NOT_READY);
        // The stream may go before its work.
        call!(cuStreamDestroy_v2(one));
        gate.store(1, Ordering::Release);
        call!(cuEventSynchronize(event));
        call!(cuStreamSynchronize(other));
        assert_eq!(read_u32(address, 1), [2]);
    }

    events_tell_time("memory=1MiB") {
        context();
        let stream = stream(CUstream_flags::CU_STREAM_DEFAULT);
        let (start, end, gate, mut millis) = (event(), event(), pinned_word(), 0.0);
        call!(cuEventElapsedTime_v2(&mut millis, start, end) is CUDA_ERROR_INVALID_HANDLE);
        call!(cuEventRecord(start, stream));
        hold(stream, gate);
        call!(cuEventRecord(end, stream));
        call!(cuEventElapsedTime_v2(&mut millis, start, end) is CUDA_ERROR_NOT_READY);
        gate.store(1, Ordering::Release);
        call!(cuEventSynchronize(end));
        call!(cuEventElapsedTime_v2(&mut millis, start, end));
        assert!(0.0 < millis);
        let mut untimed = null_mut();
        call!(cuEventCreate(&mut untimed, 2));
        call!(cuEventRecord(untimed, stream));
        call!(cuEventElapsedTime_v2(&mut millis, start, untimed) is CUDA_ERROR_INVALID_HANDLE);
    }

    the_null_stream_and_blocking_streams_wait_for_each_other("memory=1MiB") {
        context();
        let blocking = stream(CUstream_flags::CU_STREAM_DEFAULT);
        let free = stream(CUstream_flags::CU_STREAM_NON_BLOCKING);
        let (gate, seen) = (pinned_word(), pinned_word());
        hold(blocking, gate);
        call!(cuStreamWriteValue32_v2(null_mut(), seen.as_ptr() as u64, 1, 0));
        let later = stream(CUstream_flags::CU_STREAM_DEFAULT);
        let after = pinned_word();
        call!(cuStreamWriteValue32_v2(later, after.as_ptr() as u64, 1, 0));
        // A stream that is not blocking passes both.
        let passed = pinned_word();
        call!(cuStreamWriteValue32_v2(free, passed.as_ptr() as u64, 1, 0));
        call!(cuStreamSynchronize(free));
        assert_eq!(passed.load(Ordering::Acquire), 1);
        call!(cuStreamQuery(null_mut()) is CUDA_ERROR_NOT_READY);
        call!(cuStreamQuery(later) is CUDA_ERROR_NOT_READY);
        assert_eq!((seen.load(Ordering::Acquire), after.load(Ordering::Acquire)), (0, 0));
        gate.store(1, Ordering::Release);
        call!(cuStreamSynchronize(later));
        assert_eq!((seen.load(Ordering::Acquire), after.load(Ordering::Acquire)), (1, 1));
    }

    each_thread_has_a_default_stream_of_its_own("memory=1MiB") {
        let context = context() as usize;
        let gate = pinned_word();
        let per_thread = 2_usize as CUstream;
        hold(per_thread, gate);
        std::thread::spawn(move || {
            call!(cuCtxSetCurrent(context as CUcontext));
            call!(cuStreamQuery(2_usize as CUstream));
        })
        .join()
        .unwrap();
        call!(cuStreamQuery(per_thread) is CUDA_ERROR_NOT_READY);
        gate.store(1, Ordering::Release);
        call!(cuStreamSynchronize(per_thread));
    }

    pageable_memory_may_be_reused_after_an_async_copy("memory=1MiB") {
        context();
        let stream = stream(CUstream_flags::CU_STREAM_NON_BLOCKING);
        let (gate, address) = (pinned_word(), allocate(4096));
        let mut bytes = vec![1_u32; 1024];
        hold(stream, gate);
        call!(cuMemcpyHtoDAsync_v2(address, bytes.as_ptr().cast(), 4096, stream));
        bytes.fill(2);
        gate.store(1, Ordering::Release);
        // To pageable memory the call returns when the bytes are there.
        call!(cuMemcpyDtoHAsync_v2(bytes.as_mut_ptr().cast(), address, 4096, stream));
        assert_eq!(bytes, [1; 1024]);
    }

    waits_for_values_know_their_conditions("memory=1MiB") {
        context();
        let stream = stream(CUstream_flags::CU_STREAM_NON_BLOCKING);
        // (condition, awaited, a word that is not enough, one that is)
        for (flags, awaited, short, enough) in [
            (0, 5, 4, 6), (0, 2, u32::MAX, 3), (1, 5, 6, 5), (2, 0b100, 0b011, 0b110),
            (3, 0b1, u32::MAX - 1, 0x7fff_ffff),
        ] {
            let word = pinned_word();
            word.store(short, Ordering::Release);
            call!(cuStreamWaitValue32_v2(stream, word.as_ptr() as u64, awaited, flags));
            call!(cuStreamQuery(stream) is CUDA_ERROR_NOT_READY);
            word.store(enough, Ordering::Release);
            call!(cuStreamSynchronize(stream));
        }
        let word = pinned_word();
        let address = word.as_ptr() as u64;
        call!(cuStreamWriteValue32_v2(stream, address + 2, 1, 0) is CUDA_ERROR_INVALID_VALUE);
        call!(cuStreamWriteValue64_v2(stream, address, 1, 0) is CUDA_ERROR_INVALID_VALUE);
        call!(cuStreamWaitValue32_v2(stream, address, 1, 9) is CUDA_ERROR_INVALID_VALUE);
        call!(cuStreamWriteValue32_v2(stream, 4096, 1, 0) is CUDA_ERROR_INVALID_VALUE);
    }

    host_memory_is_pinned_and_registered("memory=1MiB") {
        context();
        let mut own = vec![0_u8; 5000];
        let pointer = own.as_mut_ptr().cast::<c_void>();
        let (mut device, mut flags) = (0, 0);
        call!(cuMemHostGetDevicePointer_v2(&mut device, pointer, 0) is CUDA_ERROR_INVALID_VALUE);
        call!(cuMemHostRegister_v2(pointer, 5000, 3));
        call!(cuMemHostRegister_v2(pointer, 1, 0) is CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
        call!(cuMemHostGetDevicePointer_v2(&mut device, pointer, 0));
        call!(cuMemsetD8_v2(device, 9, 5000));
        call!(cuMemFreeHost(pointer) is CUDA_ERROR_INVALID_VALUE);
        call!(cuMemHostUnregister(pointer));
        call!(cuMemHostUnregister(pointer) is CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
        assert_eq!(own, [9; 5000]);
        let mut pinned = null_mut();
        call!(cuMemHostAlloc(&mut pinned, 64, 2));
        call!(cuMemHostGetFlags(&mut flags, pinned));
        assert_eq!(flags, 2);
        call!(cuMemHostUnregister(pinned) is CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
        call!(cuMemFreeHost(pinned));
        call!(cuMemFreeHost(pinned) is CUDA_ERROR_INVALID_VALUE);
    }

    managed_memory_has_one_address("memory=1MiB") {
        context();
        let (mut address, mut managed) = (0, false);
        call!(cuMemAllocManaged(&mut address, 4096, 3) is CUDA_ERROR_INVALID_VALUE);
        call!(cuMemAllocManaged(&mut address, 4096, 1));
        call!(cuMemsetD32_v2(address, 9, 1024));
        call!(cuCtxSynchronize());
        let words = std::ptr::with_exposed_provenance::<u32>(address as usize);
        // SAFETY: managed memory of 1024 words that the device is done with.
        assert_eq!(unsafe { words.add(1023).read() }, 9);
        let attribute = CUpointer_attribute::CU_POINTER_ATTRIBUTE_IS_MANAGED;
        call!(cuPointerGetAttribute((&raw mut managed).cast(), attribute, address));
        assert!(managed);
        call!(cuStreamAttachMemAsync(null_mut(), address, 0, 1));
        let other = allocate(4096);
        call!(cuStreamAttachMemAsync(null_mut(), other, 0, 1) is CUDA_ERROR_INVALID_VALUE);
        call!(cuMemFree_v2(address));
    }

    memory_freed_in_stream_order_stays_until_its_turn("memory=1MiB") {
        context();
        let stream = stream(CUstream_flags::CU_STREAM_NON_BLOCKING);
        let (gate, mut address) = (pinned_word(), 0);
        call!(cuMemAllocAsync(&mut address, 1 << 20, stream));
        hold(stream, gate);
        call!(cuMemsetD32Async(address, 3, 1, stream));
        call!(cuMemFreeAsync(address, stream));
        call!(cuMemFreeAsync(address, stream) is CUDA_ERROR_INVALID_VALUE);
        let mut other = 0;
        call!(cuMemAlloc_v2(&mut other, 1) is CUDA_ERROR_OUT_OF_MEMORY);
        gate.store(1, Ordering::Release);
        // In the stream's own order the memory is free again.
        for _ in 0..100 {
            call!(cuMemAllocAsync(&mut address, 1 << 20, stream));
            call!(cuMemFreeAsync(address, stream));
        }
        call!(cuStreamSynchronize(stream));
        allocate(1 << 20);
    }

    a_copy_that_meets_freed_memory_is_a_sticky_fault("memory=1MiB") {
        let context = context();
        let one = stream(CUstream_flags::CU_STREAM_NON_BLOCKING);
        let other = stream(CUstream_flags::CU_STREAM_NON_BLOCKING);
        let (gate, event, mut address) = (pinned_word(), event(), 0);
        call!(cuMemAllocAsync(&mut address, 64, other));
        hold(one, gate);
        call!(cuMemsetD8Async(address, 1, 64, one));
        call!(cuEventRecord(event, one));
        call!(cuMemFreeAsync(address, other));
        call!(cuStreamSynchronize(other));
        gate.store(1, Ordering::Release);
        call!(cuStreamSynchronize(one) is CUDA_ERROR_ILLEGAL_ADDRESS);
        call!(cuStreamQuery(other) is CUDA_ERROR_ILLEGAL_ADDRESS);
        call!(cuEventQuery(event) is CUDA_ERROR_ILLEGAL_ADDRESS);
        call!(cuCtxSynchronize() is CUDA_ERROR_ILLEGAL_ADDRESS);
        call!(cuMemAlloc_v2(&mut address, 64) is CUDA_ERROR_ILLEGAL_ADDRESS);
        let mut again = null_mut();
        call!(cuDevicePrimaryCtxRetain(&mut again, 0) is CUDA_ERROR_ILLEGAL_ADDRESS);
        let mut top = null_mut();
        call!(cuCtxGetCurrent(&mut top));
        assert_eq!(top, context);
        call!(cuDevicePrimaryCtxRelease_v2(0));
    }

    attributes_are_those_of_the_claim("sms=16,driver=12.8,cc=8.6,devices=2,memory=64MiB") {
        let (mut version, mut count, mut value, mut bytes) = (0, 0, 0, 0);
        call!(cuDriverGetVersion(&mut version));
        call!(cuDeviceGetCount(&mut count) is CUDA_ERROR_NOT_INITIALIZED);
        call!(cuInit(0));
        call!(cuDeviceGetCount(&mut count));
        assert_eq!((version, count), (12080, 2));
        use CUdevice_attribute as A;
        for (attribute, expected) in [
            (A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 16),
            (A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 8),
            (A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 6),
            (A::CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32),
            (A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 99 << 10),
        ] {
            call!(cuDeviceGetAttribute(&mut value, attribute, 1));
            assert_eq!(value, expected, "{attribute:?}");
        }
        call!(cuDeviceTotalMem_v2(&mut bytes, 0));
        assert_eq!(bytes, 64 << 20);
        let mut device = 0;
        call!(cuDeviceGet(&mut device, 2) is CUDA_ERROR_INVALID_DEVICE);
        call!(cuDeviceGet(&mut device, -1) is CUDA_ERROR_INVALID_DEVICE);
        let mut name = [0_u8; 8];
        call!(cuDeviceGetName(name.as_mut_ptr().cast(), 8, 0));
        assert_eq!(&name, b"gpumux \0");
    }

    a_machine_without_a_device_says_so("devices=0") {
        let mut count = 0;
        call!(cuInit(0) is CUDA_ERROR_NO_DEVICE);
        call!(cuDeviceGetCount(&mut count) is CUDA_ERROR_NOT_INITIALIZED);
        let failed = cudarc::driver::CudaContext::new(0).expect_err("there is no device");
        assert_eq!(failed.0, CUDA_ERROR_NO_DEVICE);
    }

    a_claim_that_is_not_understood_fails("sms=16,speed=9") {
        call!(cuInit(0) is CUDA_ERROR_UNKNOWN);
    }

    codes_have_names("memory=1MiB") {
        let mut text = std::ptr::null();
        call!(cuGetErrorName(CUDA_ERROR_NO_DEVICE, &mut text));
        // SAFETY: the driver's own text, which it never frees.
        assert_eq!(unsafe { CStr::from_ptr(text) }, c"CUDA_ERROR_NO_DEVICE");
        call!(cuGetErrorString(CUDA_ERROR_NO_DEVICE, &mut text));
        // SAFETY: as above.
        let text = unsafe { CStr::from_ptr(text) };
        assert_eq!(text, c"no CUDA-capable device is detected");
    }

    functions_are_found_by_name("driver=12.4") {
        let mut found = null_mut();
        let mut status = CUdriverProcAddressQueryResult::CU_GET_PROC_ADDRESS_SUCCESS;
        call!(cuGetProcAddress_v2(c"cuMemAlloc".as_ptr(), &mut found, 12000, 0, &mut status));
        assert!(!found.is_null());
        call!(cuGetProcAddress_v2(c"cuNoSuch".as_ptr(), &mut found, 12000, 0, &mut status));
        assert!(found.is_null());
        assert_eq!(status as u32, 1);
        call!(cuGetProcAddress_v2(c"cuMemAlloc".as_ptr(), &mut found, 12050, 0, &mut status));
        assert_eq!(status as u32, 2);
        call!(cuGetProcAddress_v2(c"memcpy".as_ptr(), &mut found, 12000, 0, &mut status));
        assert!(found.is_null(), "not a function of the driver");
    }

    pointers_tell_what_they_are("devices=2,memory=1MiB") {
        let context = context();
        let address = allocate(100);
        use CUpointer_attribute as A;
        let (mut owner, mut ordinal, mut size) = (null_mut::<c_void>(), 9_i32, 0_usize);
        let mut attributes = [
            A::CU_POINTER_ATTRIBUTE_CONTEXT,
            A::CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
            A::CU_POINTER_ATTRIBUTE_RANGE_SIZE,
        ];
        let mut data: [*mut c_void; 3] = [
            (&raw mut owner).cast(), (&raw mut ordinal).cast(), (&raw mut size).cast(),
        ];
        call!(cuPointerGetAttributes(3, attributes.as_mut_ptr(), data.as_mut_ptr(), address + 9));
        assert_eq!((owner, ordinal, size), (context.cast(), 0, 100));
        call!(cuPointerGetAttributes(3, attributes.as_mut_ptr(), data.as_mut_ptr(), 4096));
        assert_eq!((owner, ordinal, size), (null_mut(), -2, 0));
        call!(cuPointerGetAttribute(data[0], A::CU_POINTER_ATTRIBUTE_CONTEXT, 4096)
            is CUDA_ERROR_INVALID_VALUE);
    }

    cudarc_works_on_it("memory=64MiB") {
        let context = cudarc::driver::CudaContext::new(0).unwrap();
        let stream = context.new_stream().unwrap();
        let values: Vec<f32> = (0..1000_u16).map(f32::from).collect();
        let on_device = stream.clone_htod(&values).unwrap();
        let mut copy = stream.alloc_zeros::<f32>(1000).unwrap();
        let other = stream.fork().unwrap();
        other.memcpy_dtod(&on_device, &mut copy).unwrap();
        assert_eq!(other.clone_dtoh(&copy).unwrap(), values);
        assert_eq!(context.name().unwrap(), "gpumux emulated GPU");
        drop((on_device, copy));
        context.synchronize().unwrap();
        let (free, total) = context.mem_get_info().unwrap();
        assert_eq!(free, total);
    }
}
