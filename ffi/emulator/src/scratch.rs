//! The memory that a host thread of the SMs keeps from block to block, so that running one
//! allocates nothing.

/// Scratch of one host thread.
pub(crate) struct Scratch {
    /// For the blocks of kernels.
    pub(crate) kernel: crate::jit::Scratch,
    /// For the tiles of products.
    pub(crate) product: crate::blas::ProductScratch,
}

impl Scratch {
    /// Holds nothing until a block needs it.
    pub(crate) fn new() -> Self {
        Self { kernel: crate::jit::Scratch::new(), product: crate::blas::ProductScratch::default() }
    }
}
