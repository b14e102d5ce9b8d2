//! Kernels through the driver's ABI: launches, faults, SMs, modules.

use crate::calls::*;
use std::ffi::{CStr, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};

const TEXT: &CStr = c"
.version 8.0
.target sm_75
.address_size 64

.global .align 4 .u32 counter = 5;
.global .align 4 .b8 spare[16];

// out[i] = a[i] + b[i] for i < n
.visible .entry add(.param .u64 out, .param .u64 a, .param .u64 b, .param .u32 n)
{
    .reg .pred %p;
    .reg .b32 %r<6>;
    .reg .f32 %f<4>;
    .reg .b64 %d<10>;
    ld.param.u64 %d1, [out];
    ld.param.u64 %d2, [a];
    ld.param.u64 %d3, [b];
    ld.param.u32 %r1, [n];
    mov.u32 %r2, %ctaid.x;
    mov.u32 %r3, %ntid.x;
    mov.u32 %r4, %tid.x;
    mad.lo.s32 %r5, %r2, %r3, %r4;
    setp.ge.u32 %p, %r5, %r1;
    @%p bra DONE;
    mul.wide.u32 %d4, %r5, 4;
    add.s64 %d5, %d2, %d4;
    add.s64 %d6, %d3, %d4;
    add.s64 %d7, %d1, %d4;
    ld.global.f32 %f1, [%d5];
    ld.global.f32 %f2, [%d6];
    add.f32 %f3, %f1, %f2;
    st.global.f32 [%d7], %f3;
DONE:
    ret;
}

// out[block] = the SM that runs it
.visible .entry where(.param .u64 out)
{
    .reg .b32 %r<3>;
    .reg .b64 %d<4>;
    ld.param.u64 %d1, [out];
    mov.u32 %r1, %ctaid.x;
    mov.u32 %r2, %smid;
    mul.wide.u32 %d2, %r1, 4;
    add.s64 %d3, %d1, %d2;
    st.global.u32 [%d3], %r2;
    ret;
}

// *mine = 1, then waits until *other is 1
.visible .entry meet(.param .u64 mine, .param .u64 other)
{
    .reg .pred %p;
    .reg .b32 %r<3>;
    .reg .b64 %d<3>;
    ld.param.u64 %d1, [mine];
    ld.param.u64 %d2, [other];
    mov.u32 %r1, 1;
    st.volatile.global.u32 [%d1], %r1;
AGAIN:
    ld.volatile.global.u32 %r2, [%d2];
    setp.ne.s32 %p, %r2, 1;
    @%p bra AGAIN;
    ret;
}

// stores 7 at an address that the host chooses
.visible .entry poke(.param .u64 at)
{
    .reg .b32 %r<2>;
    .reg .b64 %d<2>;
    ld.param.u64 %d1, [at];
    mov.u32 %r1, 7;
    st.global.u32 [%d1], %r1;
    ret;
}

.visible .entry stop()
{
    trap;
}

// counter += 1, by every thread
.visible .entry count()
{
    .reg .b32 %r<2>;
    .reg .b64 %d<2>;
    mov.u64 %d1, counter;
    atom.global.add.u32 %r1, [%d1], 1;
    ret;
}

// out = dynamic shared memory of the block, whose last word it uses
.visible .entry borrow(.param .u64 out)
{
    .reg .b32 %r<5>;
    .reg .b64 %d<2>;
    ld.param.u64 %d1, [out];
    mov.u32 %r1, %dynamic_smem_size;
    st.global.u32 [%d1], %r1;
    ret;
}
";

/// A driver with a context and the module above.
pub(crate) struct Machine {
    module: CUmodule,
}

impl Machine {
    pub(crate) fn start() -> Self {
        context();
        Self::here()
    }

    /// The module alone, in the context that is current.
    pub(crate) fn here() -> Self {
        let mut module = null_mut();
        call!(cuModuleLoadData(&mut module, TEXT.as_ptr().cast()));
        Self { module }
    }

    fn function(&self, name: &CStr) -> CUfunction {
        let mut function = null_mut();
        call!(cuModuleGetFunction(&mut function, self.module, name.as_ptr()));
        function
    }

    pub(crate) fn launch(
        &self,
        name: &CStr,
        blocks: u32,
        threads: u32,
        stream: CUstream,
        values: &[u64],
    ) {
        let mut params: Vec<*mut c_void> =
            values.iter().map(|value| (&raw const *value).cast_mut().cast()).collect();
        let function = self.function(name);
        call!(cuLaunchKernel(
            function,
            blocks,
            1,
            1,
            threads,
            1,
            1,
            0,
            stream,
            params.as_mut_ptr(),
            null_mut()
        ));
    }
}

fn upload(values: &[f32]) -> CUdeviceptr {
    let address = allocate(size_of_val(values));
    call!(cuMemcpyHtoD_v2(address, values.as_ptr().cast(), size_of_val(values)));
    address
}

fn download<T: Copy + Default>(address: CUdeviceptr, count: usize) -> Vec<T> {
    let mut values = vec![T::default(); count];
    call!(cuMemcpyDtoH_v2(values.as_mut_ptr().cast(), address, size_of_val(&values[..])));
    values
}

/// A kernel that ends in `code`: every later call says so, and the process lives.
fn check_fault(name: &CStr, values: &[u64], code: CUresult) {
    let machine = Machine::start();
    let (stream, other) = (
        stream(CUstream_flags::CU_STREAM_NON_BLOCKING),
        stream(CUstream_flags::CU_STREAM_NON_BLOCKING),
    );
    machine.launch(name, 3, 32, stream, values);
    call!(cuStreamSynchronize(stream) is code);
    call!(cuStreamSynchronize(other) is code);
    call!(cuCtxSynchronize() is code);
    let mut address = 0;
    call!(cuMemAlloc_v2(&mut address, 4) is code);
    let mut function = null_mut();
    call!(cuModuleGetFunction(&mut function, machine.module, c"add".as_ptr()) is code);
    call!(cuEventCreate((&raw mut function).cast(), 0) is code);
}

crate::child::in_child! {
    a_kernel_adds("sms=4,memory=16MiB") {
        let machine = Machine::start();
        let a: Vec<f32> = (0..10_000_u16).map(f32::from).collect();
        let b: Vec<f32> = a.iter().map(|value| value * 0.5).collect();
        let (on_a, on_b, out) = (upload(&a), upload(&b), allocate(40_000));
        machine.launch(c"add", 100, 128, null_mut(), &[out, on_a, on_b, 10_000]);
        let expected: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        assert_eq!(download::<f32>(out, 10_000), expected);
    }

    launches_and_copies_of_a_stream_keep_their_order("sms=4,cores=2,memory=16MiB") {
        let machine = Machine::start();
        let stream = stream(CUstream_flags::CU_STREAM_NON_BLOCKING);
        let (one, sum) = (allocate(4096), allocate(4096));
        call!(cuMemsetD32Async(one, 1.0_f32.to_bits(), 1024, stream));
        call!(cuMemsetD32Async(sum, 0, 1024, stream));
        for _ in 0..500 {
            machine.launch(c"add", 8, 128, stream, &[sum, sum, one, 1024]);
        }
        call!(cuStreamSynchronize(stream));
        assert_eq!(download::<f32>(sum, 1024), [500.0; 1024]);
    }

    blocks_go_round_the_sms("sms=6,cores=2,memory=16MiB") {
        let machine = Machine::start();
        let out = allocate(400);
        machine.launch(c"where", 100, 1, null_mut(), &[out]);
        let expected: Vec<u32> = (0..100).map(|block| block % 6).collect();
        assert_eq!(download::<u32>(out, 100), expected);
    }

    streams_run_at_the_same_time("sms=2,cores=1,memory=16MiB") {
        let machine = Machine::start();
        let (one, other) = (allocate(4), allocate(4));
        // Each waits for the other: this ends only if both run at once.
        machine.launch(c"meet", 1, 1, stream(CUstream_flags::CU_STREAM_NON_BLOCKING), &[one, other]);
        machine.launch(c"meet", 1, 1, stream(CUstream_flags::CU_STREAM_NON_BLOCKING), &[other, one]);
        call!(cuCtxSynchronize());
    }

    a_kernel_sees_what_the_host_writes("sms=2,memory=16MiB") {
        let machine = Machine::start();
        let (mine, other) = (pinned_word(), pinned_word());
        let stream = stream(CUstream_flags::CU_STREAM_NON_BLOCKING);
        let addresses = [mine, other].map(|word| word.as_ptr() as u64);
        machine.launch(c"meet", 1, 1, stream, &addresses);
        while mine.load(Ordering::Acquire) != 1 {
            std::hint::spin_loop();
        }
        call!(cuStreamQuery(stream) is CUDA_ERROR_NOT_READY);
        other.store(1, Ordering::Release);
        call!(cuStreamSynchronize(stream));
    }

    a_module_has_its_variables("sms=4,memory=16MiB") {
        let machine = Machine::start();
        let (mut address, mut bytes) = (0, 0);
        let name = c"counter".as_ptr();
        call!(cuModuleGetGlobal_v2(&mut address, &mut bytes, machine.module, name));
        assert_eq!((download::<u32>(address, 1), bytes), (vec![5], 4));
        machine.launch(c"count", 10, 64, null_mut(), &[]);
        assert_eq!(download::<u32>(address, 1), [645]);
        let none = c"none".as_ptr();
        call!(cuModuleGetGlobal_v2(&mut address, &mut bytes, machine.module, none)
            is CUDA_ERROR_NOT_FOUND);
        let function = machine.function(c"count");
        call!(cuModuleUnload(machine.module));
        call!(cuModuleUnload(machine.module) is CUDA_ERROR_INVALID_HANDLE);
        call!(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, null_mut(), null_mut(), null_mut())
            is CUDA_ERROR_INVALID_HANDLE);
        let (mut free, mut total) = (0, 0);
        call!(cuMemGetInfo_v2(&mut free, &mut total));
        assert_eq!(free, total);
    }

    parameters_come_in_a_buffer_as_well("sms=1,memory=16MiB") {
        let machine = Machine::start();
        let (function, out) = (machine.function(c"poke"), allocate(4));
        for (bytes, code) in [(8_usize, CUDA_SUCCESS), (4, CUDA_ERROR_INVALID_VALUE)] {
            // CU_LAUNCH_PARAM_BUFFER_POINTER, CU_LAUNCH_PARAM_BUFFER_SIZE, CU_LAUNCH_PARAM_END.
            let mut extra: [*mut c_void; 5] = [
                std::ptr::without_provenance_mut(1),
                (&raw const out).cast_mut().cast(),
                std::ptr::without_provenance_mut(2),
                (&raw const bytes).cast_mut().cast(),
                null_mut(),
            ];
            let extra = extra.as_mut_ptr();
            call!(cuLaunchKernel(
                function, 1, 1, 1, 1, 1, 1, 0, null_mut(), null_mut(), extra
            ) is code);
        }
        assert_eq!(download::<u32>(out, 1), [7]);
    }

    launches_that_do_not_fit_are_refused("sms=1,memory=16MiB") {
        let machine = Machine::start();
        let function = machine.function(c"stop");
        for (grid, block) in [(0, 1), (1, 0), (1, 1025), (1 << 31, 1)] {
            call!(cuLaunchKernel(
                function, grid, 1, 1, block, 1, 1, 0, null_mut(), null_mut(), null_mut()
            ) is CUDA_ERROR_INVALID_VALUE);
        }
        call!(cuLaunchKernel(function, 1, 65536, 1, 1, 1, 1, 0, null_mut(), null_mut(), null_mut())
            is CUDA_ERROR_INVALID_VALUE);
        call!(cuLaunchKernel(function, 1, 1, 1, 64, 64, 1, 0, null_mut(), null_mut(), null_mut())
            is CUDA_ERROR_INVALID_VALUE);
        let poke = machine.function(c"poke");
        call!(cuLaunchKernel(poke, 1, 1, 1, 1, 1, 1, 0, null_mut(), null_mut(), null_mut())
            is CUDA_ERROR_INVALID_VALUE);
        call!(cuCtxSynchronize());
    }

    shared_memory_beyond_48_kib_is_asked_for("sms=1,memory=16MiB") {
        let machine = Machine::start();
        let (function, out) = (machine.function(c"borrow"), allocate(4));
        let mut params: [*mut c_void; 1] = [(&raw const out).cast_mut().cast()];
        let params = params.as_mut_ptr();
        let (most, more) = (48 << 10, 64 << 10);
        call!(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, most, null_mut(), params, null_mut()));
        call!(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, more, null_mut(), params, null_mut())
            is CUDA_ERROR_INVALID_VALUE);
        let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        call!(cuFuncSetAttribute(function, attribute, 1 << 20) is CUDA_ERROR_INVALID_VALUE);
        call!(cuFuncSetAttribute(function, attribute, 64 << 10));
        call!(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, more, null_mut(), params, null_mut()));
        assert_eq!(download::<u32>(out, 1), [64 << 10]);
    }

    an_illegal_address_is_sticky("sms=2,memory=16MiB") {
        check_fault(c"poke", &[4096], CUDA_ERROR_ILLEGAL_ADDRESS);
    }

    a_store_aimed_at_the_host_changes_nothing("sms=2,memory=16MiB") {
        let own = AtomicU32::new(1);
        check_fault(c"poke", &[own.as_ptr() as u64], CUDA_ERROR_ILLEGAL_ADDRESS);
        assert_eq!(own.load(Ordering::Relaxed), 1);
    }

    freed_memory_is_an_illegal_address("sms=2,memory=16MiB") {
        let machine = Machine::start();
        let address = allocate(4);
        call!(cuMemFree_v2(address));
        machine.launch(c"poke", 1, 1, null_mut(), &[address]);
        call!(cuCtxSynchronize() is CUDA_ERROR_ILLEGAL_ADDRESS);
    }

    a_misaligned_address_is_sticky("sms=2,memory=16MiB") {
        let machine = Machine::start();
        let address = allocate(64);
        machine.launch(c"poke", 1, 1, null_mut(), &[address + 2]);
        call!(cuCtxSynchronize() is CUDA_ERROR_MISALIGNED_ADDRESS);
        call!(cuCtxSynchronize() is CUDA_ERROR_MISALIGNED_ADDRESS);
    }

    a_trap_is_sticky("sms=2,memory=16MiB") {
        check_fault(c"stop", &[], CUDA_ERROR_LAUNCH_FAILED);
    }

    an_endless_kernel_ends_with_its_time_limit("sms=2,memory=16MiB,limit=20ms") {
        let machine = Machine::start();
        let (one, other) = (allocate(4), allocate(4));
        machine.launch(c"meet", 1, 1, null_mut(), &[one, other]);
        call!(cuCtxSynchronize() is CUDA_ERROR_LAUNCH_TIMEOUT);
    }

    an_endless_kernel_ends_with_its_context("sms=2,cores=1,memory=16MiB") {
        call!(cuInit(0));
        let (mut context, mut module) = (null_mut(), null_mut());
        call!(cuCtxCreate_v4(&mut context, null_mut(), 0, 0));
        call!(cuModuleLoadData(&mut module, TEXT.as_ptr().cast()));
        let (one, other) = (allocate(4), allocate(4));
        Machine { module }.launch(c"meet", 1, 1, null_mut(), &[one, other]);
        call!(cuCtxDestroy_v2(context));
        // The SM is free again.
        let machine = Machine::start();
        let out = allocate(4);
        machine.launch(c"poke", 1, 1, null_mut(), &[out]);
        assert_eq!(download::<u32>(out, 1), [7]);
    }

    texts_that_cannot_run_are_refused_with_a_reason("driver=12.0,cc=7.5,memory=16MiB") {
        Machine::start();
        let mut module = null_mut();
        let text = |version: &str, target: &str, body: &str| {
            std::ffi::CString::new(format!(
                ".version {version}\n.target {target}\n.address_size 64\n{body}\n"
            )).unwrap()
        };
        for (text, code) in [
            (text("8.1", "sm_75", ""), CUDA_ERROR_UNSUPPORTED_PTX_VERSION),
            (text("8.0", "sm_80", ""), CUDA_ERROR_NO_BINARY_FOR_GPU),
            (text("8.0", "sm_75", ".entry x() { frobnicate.u32; }"), CUDA_ERROR_INVALID_PTX),
            (c"\x7fELF".to_owned(), CUDA_ERROR_NO_BINARY_FOR_GPU),
            (c"".to_owned(), CUDA_ERROR_INVALID_IMAGE),
        ] {
            call!(cuModuleLoadData(&mut module, text.as_ptr().cast()) is code);
        }
        let text = text("8.0", "sm_75", ".visible .entry x()\n{\n    frobnicate.u32;\n}");
        let mut log = [0_u8; 200];
        let mut options = [
            CUjit_option::CU_JIT_ERROR_LOG_BUFFER,
            CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
        ];
        let mut values: [*mut c_void; 2] = [log.as_mut_ptr().cast(), 200_usize as *mut c_void];
        let (options, values) = (options.as_mut_ptr(), values.as_mut_ptr());
        call!(cuModuleLoadDataEx(&mut module, text.as_ptr().cast(), 2, options, values)
            is CUDA_ERROR_INVALID_PTX);
        let log = CStr::from_bytes_until_nul(&log).unwrap().to_str().unwrap();
        assert!(log.contains("frobnicate") && log.contains('6'), "the log says: {log}");
    }

    cudarc_launches_kernels("sms=4,cores=2,memory=64MiB") {
        use cudarc::driver::{CudaContext, LaunchConfig, PushKernelArg};
        let context = CudaContext::new(0).unwrap();
        let module =
            context.load_module(cudarc::nvrtc::Ptx::from_src(TEXT.to_str().unwrap())).unwrap();
        let add = module.load_function("add").unwrap();
        let stream = context.new_stream().unwrap();
        let values: Vec<f32> = (0..1000_u16).map(f32::from).collect();
        let (a, mut out) =
            (stream.clone_htod(&values).unwrap(), stream.alloc_zeros::<f32>(1000).unwrap());
        let count = 1000_u32;
        let mut launch = stream.launch_builder(&add);
        launch.arg(&mut out).arg(&a).arg(&a).arg(&count);
        // SAFETY: the arguments are those of the kernel.
        unsafe { launch.launch(LaunchConfig::for_num_elems(1000)) }.unwrap();
        let expected: Vec<f32> = values.iter().map(|value| value * 2.0).collect();
        assert_eq!(stream.clone_dtoh(&out).unwrap(), expected);
    }
}
