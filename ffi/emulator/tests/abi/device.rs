//! What the machine says it is, and how a program finds its way in.

use crate::calls::*;
use std::ffi::CStr;
use std::ptr::null_mut;

crate::child::in_child! {
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

    a_name_is_the_function_that_a_programs_version_means("driver=12.4") {
        let find = |name: &CStr, version| {
            let mut found = null_mut();
            let mut status = CUdriverProcAddressQueryResult::CU_GET_PROC_ADDRESS_SUCCESS;
            call!(cuGetProcAddress_v2(name.as_ptr(), &mut found, version, 0, &mut status));
            found
        };
        let name = c"cuStreamGetCaptureInfo";
        assert_eq!(find(name, 12020), find(c"cuStreamGetCaptureInfo_v2", 12020));
        assert_eq!(find(name, 12030), find(c"cuStreamGetCaptureInfo_v3", 12030));
        assert_ne!(find(name, 12020), find(name, 12030));
        assert!(!find(c"cuMemAdvise", 12020).is_null());
        // The older one takes other arguments, and is not offered.
        assert!(find(c"cuMemAdvise", 12010).is_null());
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
