//! Which SMs a stream's blocks run on: the kernel says it itself (`%smid`).

use crate::calls::*;
use std::collections::BTreeSet;
use std::ffi::{CStr, c_void};
use std::ptr::null_mut;

const TEXT: &CStr = c"
.version 7.0
.target sm_75
.address_size 64

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

// waits until *gate is 1
.visible .entry wait(.param .u64 gate)
{
    .reg .pred %p;
    .reg .b32 %r<2>;
    .reg .b64 %d<2>;
    ld.param.u64 %d1, [gate];
AGAIN:
    ld.volatile.global.u32 %r1, [%d1];
    setp.ne.s32 %p, %r1, 1;
    @%p bra AGAIN;
    ret;
}
";

/// Several blocks for each SM of the largest device that a test claims.
const BLOCKS: u32 = 528;

/// The kernels above, loaded in the current context.
pub(crate) struct Probe {
    module: CUmodule,
    out: CUdeviceptr,
}

impl Probe {
    pub(crate) fn load() -> Self {
        let mut module = null_mut();
        call!(cuModuleLoadData(&mut module, TEXT.as_ptr().cast()));
        Self { module, out: allocate(4 * BLOCKS as usize) }
    }

    fn launch(&self, name: &CStr, blocks: u32, stream: CUstream, value: u64) -> CUresult {
        let mut function = null_mut();
        call!(cuModuleGetFunction(&mut function, self.module, name.as_ptr()));
        let mut params: [*mut c_void; 1] = [(&raw const value).cast_mut().cast()];
        let params = params.as_mut_ptr();
        // SAFETY: a function of the module, and a value of the kind that it takes.
        unsafe { cuLaunchKernel(function, blocks, 1, 1, 1, 1, 1, 0, stream, params, null_mut()) }
    }

    /// Enqueues a launch of which only the code matters.
    pub(crate) fn try_launch(&self, stream: CUstream) -> CUresult {
        self.launch(c"where", 1, stream, self.out)
    }

    /// Enqueues a launch with a block on each of the stream's first `blocks` SMs that ends once
    /// `gate` is 1.
    pub(crate) fn occupy(&self, stream: CUstream, blocks: u32, gate: u64) {
        assert_eq!(self.launch(c"wait", blocks, stream, gate), CUDA_SUCCESS);
    }

    /// Enqueues the launch whose answer `answer` reads.
    pub(crate) fn ask(&self, stream: CUstream) {
        assert_eq!(self.launch(c"where", BLOCKS, stream, self.out), CUDA_SUCCESS);
    }

    /// Where the blocks of the latest launch ran, once its stream has ended.
    pub(crate) fn answer(&self, stream: CUstream) -> BTreeSet<u32> {
        call!(cuStreamSynchronize(stream));
        let mut seen = vec![u32::MAX; BLOCKS as usize];
        call!(cuMemcpyDtoH_v2(seen.as_mut_ptr().cast(), self.out, 4 * BLOCKS as usize));
        seen.into_iter().collect()
    }

    /// Where blocks of a stream run now.
    pub(crate) fn sms(&self, stream: CUstream) -> BTreeSet<u32> {
        self.ask(stream);
        self.answer(stream)
    }
}
