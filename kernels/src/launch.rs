//! A launch as plain data, and what the catalogue says about each kernel.

use crate::argument::Shape;
use crate::catalog::{Kernel, KernelId};
use crate::grid::Grid;

/// Parameter bytes that a launch can hold. CUDA allows 4 KiB; a launch stays small enough to copy.
pub const PARAM_BYTES_MAX: usize = 256;

/// Parameters that a kernel can have, so that whoever issues a launch needs no allocation.
pub const PARAM_COUNT_MAX: usize = 32;

/// The bytes of a kernel's arguments, each at the offset that its [`Signature`] gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct ParamBuffer(pub(crate) [u8; PARAM_BYTES_MAX]);

impl ParamBuffer {
    /// All of them; those that no parameter covers are zero.
    pub const fn bytes(&self) -> &[u8; PARAM_BYTES_MAX] {
        &self.0
    }
}

/// One kernel, its geometry and its arguments: everything that a lane needs to run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    kernel: KernelId,
    grid: Grid,
    params: ParamBuffer,
}

impl Launch {
    /// Packs the arguments of `kernel`.
    pub fn new<K: Kernel>(grid: Grid, kernel: K) -> Self {
        let mut params = ParamBuffer([0; PARAM_BYTES_MAX]);
        kernel.pack(&mut params);
        Self { kernel: K::ID, grid, params }
    }

    /// Which kernel.
    pub const fn kernel(&self) -> KernelId {
        self.kernel
    }

    /// On how many threads.
    pub const fn grid(&self) -> Grid {
        self.grid
    }

    /// With which arguments.
    pub const fn params(&self) -> &ParamBuffer {
        &self.params
    }
}

/// A PTX module and the kernels in it.
#[derive(Debug)]
pub struct Module {
    /// The stem of its files: `src/cuda/NAME.cu` and `ptx/NAME.ptx`.
    pub name: &'static str,
    /// Its text.
    pub ptx: &'static str,
    /// The kernels that it defines, all of them.
    pub kernels: &'static [KernelId],
}

/// What a kernel is called in PTX and what it takes.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    /// The name of its entry.
    pub entry: &'static str,
    /// Its parameters, in order.
    pub params: &'static [Param],
}

/// One parameter of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name, the same in Rust and in CUDA C++.
    pub name: &'static str,
    /// Its layout.
    pub shape: Shape,
    /// Where it lies in the [`ParamBuffer`].
    pub offset: usize,
}
