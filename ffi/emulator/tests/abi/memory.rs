//! Memory: device, pinned, registered, managed; copies and fills; wrong addresses.

use crate::calls::*;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::Ordering;

crate::child::in_child! {
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
        let words = std::ptr::with_exposed_provenance::<u32>(usize::try_from(address).unwrap());
        // SAFETY: managed memory of 1024 words that the device is done with.
        assert_eq!(unsafe { words.wrapping_add(1023).read() }, 9);
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

    a_fill_of_memory_that_the_program_uses_too_is_waited_for("memory=1MiB") {
        context();
        let (mut pinned, mut managed) = (null_mut(), 0);
        call!(cuMemHostAlloc(&mut pinned, 4, 0));
        call!(cuMemAllocManaged(&mut managed, 4, 1));
        for address in [pinned.addr() as u64, managed] {
            for value in 1..=100 {
                call!(cuMemsetD32_v2(address, value, 1));
                // SAFETY: four aligned bytes that nothing writes now.
                assert_eq!(unsafe { (address as *const u32).read_volatile() }, value);
            }
            let (mut start, mut bytes) = (0, 0);
            call!(cuMemGetAddressRange_v2(&mut start, &mut bytes, address + 3));
            assert_eq!((start, bytes), (address, 4));
        }
    }
}
