//! Libraries, their kernels, and the linker.

use crate::calls::*;
use std::ffi::{CStr, CString, c_void};
use std::ptr::{null, null_mut};

const HEAD: &str = ".version 8.0\n.target sm_75\n.address_size 64\n";

// *to = value of the variable; the variable is 3 at first and 4 after that.
const TEXT: &CStr = c"
.version 8.0
.target sm_75
.address_size 64
.global .align 4 .u32 value = 3;
.visible .entry take(.param .u64 to)
{
    .reg .b32 %r<3>;
    .reg .b64 %d<2>;
    ld.param.u64 %d1, [to];
    ld.global.u32 %r1, [value];
    st.global.u32 [%d1], %r1;
    mov.u32 %r2, 4;
    st.global.u32 [value], %r2;
    ret;
}
";

fn load(text: &CStr) -> CUlibrary {
    let mut library = null_mut();
    let none = (null_mut(), null_mut(), 0);
    call!(cuLibraryLoadData(
        &mut library,
        text.as_ptr().cast(),
        none.0,
        none.1,
        none.2,
        null_mut(),
        null_mut(),
        0
    ));
    library
}

fn kernel(library: CUlibrary, name: &CStr) -> CUkernel {
    let mut kernel = null_mut();
    call!(cuLibraryGetKernel(&mut kernel, library, name.as_ptr()));
    kernel
}

fn launch(function: CUfunction, address: CUdeviceptr) {
    let mut address = address;
    let mut params: [*mut c_void; 1] = [(&raw mut address).cast()];
    let stream = null_mut();
    call!(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, stream, params.as_mut_ptr(), null_mut()));
}

crate::child::in_child! {
    each_context_has_its_own_module_of_a_library("devices=2,memory=1MiB") {
        // Loaded without a context.
        call!(cuInit(0));
        let library = load(TEXT);
        let kernel = kernel(library, c"take");
        let contexts = [0, 1].map(|device| {
            let mut context = null_mut();
            call!(cuDevicePrimaryCtxRetain(&mut context, device));
            context
        });
        for context in contexts {
            call!(cuCtxSetCurrent(context));
            let address = allocate(4);
            // A kernel may be launched as it is, or as the context's function.
            launch(kernel.cast(), address);
            assert_eq!(read_u32(address, 1), [3]);
            let mut function = null_mut();
            call!(cuKernelGetFunction(&mut function, kernel));
            launch(function, address);
            assert_eq!(read_u32(address, 1), [4]);
            let (mut global, mut bytes) = (0, 0);
            call!(cuLibraryGetGlobal(&mut global, &mut bytes, library, c"value".as_ptr()));
            assert_eq!((bytes, read_u32(global, 1)), (4, vec![4]));
        }
        call!(cuLibraryUnload(library));
        call!(cuLibraryUnload(library) is CUDA_ERROR_INVALID_HANDLE);
        let mut function = null_mut();
        call!(cuKernelGetFunction(&mut function, kernel) is CUDA_ERROR_INVALID_HANDLE);
    }

    a_text_that_is_refused_makes_no_library("memory=1MiB") {
        context();
        let mut library = null_mut();
        for (text, expected) in [
            (c".version 8.0\n.target sm_75\n.address_size 64\n.visible .entry k() { no.such; }", CUDA_ERROR_INVALID_PTX),
            (c"\x7fELF", CUDA_ERROR_NO_BINARY_FOR_GPU),
        ] {
            let image = text.as_ptr().cast();
            call!(cuLibraryLoadData(
                &mut library, image, null_mut(), null_mut(), 0, null_mut(), null_mut(), 0
            ) is expected);
        }
    }

    what_is_linked_loads_and_calls_across_texts("memory=1MiB") {
        context();
        let main = format!(
            "{HEAD}.extern .func (.param .b32 r) twice(.param .b32 x);
            .visible .entry run(.param .u64 to) {{
                .reg .b32 %r<3>; .reg .b64 %d<2>;
                ld.param.u64 %d1, [to];
                mov.u32 %r1, 21;
                {{
                    .param .b32 x; .param .b32 r;
                    st.param.b32 [x], %r1;
                    call.uni (r), twice, (x);
                    ld.param.b32 %r2, [r];
                }}
                st.global.u32 [%d1], %r2;
                ret;
            }}\n"
        );
        let other = format!(
            "{HEAD}.visible .func (.param .b32 out) twice(.param .b32 in) {{
                .reg .b32 %r<3>;
                ld.param.b32 %r1, [in];
                add.s32 %r2, %r1, %r1;
                st.param.b32 [out], %r2;
                ret;
            }}\n"
        );
        let mut linker = null_mut();
        call!(cuLinkCreate_v2(0, null_mut(), null_mut(), &mut linker));
        for text in [main, other] {
            let text = CString::new(text).unwrap();
            call!(cuLinkAddData_v2(
                linker,
                CUjitInputType::CU_JIT_INPUT_PTX,
                text.as_ptr().cast_mut().cast(),
                text.as_bytes_with_nul().len(),
                null(),
                0,
                null_mut(),
                null_mut()
            ));
        }
        let elf = c"\x7fELF";
        call!(cuLinkAddData_v2(
            linker,
            CUjitInputType::CU_JIT_INPUT_CUBIN,
            elf.as_ptr().cast_mut().cast(),
            4,
            null(),
            0,
            null_mut(),
            null_mut()
        ) is CUDA_ERROR_NO_BINARY_FOR_GPU);
        let (mut image, mut bytes) = (null_mut(), 0);
        call!(cuLinkComplete(linker, &mut image, &mut bytes));
        let (mut module, mut function) = (null_mut(), null_mut());
        call!(cuModuleLoadData(&mut module, image));
        call!(cuLinkDestroy(linker));
        call!(cuModuleGetFunction(&mut function, module, c"run".as_ptr()));
        let address = allocate(4);
        launch(function, address);
        assert_eq!(read_u32(address, 1), [42]);
    }

    constants_are_counted("memory=1MiB") {
        context();
        let text = CString::new(format!(
            "{HEAD}.const .align 4 .b8 table[260];\n.visible .entry k() {{ ret; }}\n"
        )).unwrap();
        let (mut module, mut function, mut bytes) = (null_mut(), null_mut(), 0);
        call!(cuModuleLoadData(&mut module, text.as_ptr().cast()));
        call!(cuModuleGetFunction(&mut function, module, c"k".as_ptr()));
        let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES;
        call!(cuFuncGetAttribute(&mut bytes, attribute, function));
        assert_eq!(bytes, 260);
    }
}
