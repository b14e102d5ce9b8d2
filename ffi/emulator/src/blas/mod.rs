//! cublasLt.

/// Scratch.
#[derive(Default)]
pub(crate) struct ProductScratch;
