//! cublasLt and cuBLAS: their ABIs (`lt`; `library`, `gemm`, `grouped`, `gemv`, `asum`), what
//! cublasLt's descriptors say (`descriptor`, `layout`), and the product itself (`product`), whose
//! tiles run on the SMs of the calling stream, in stream order.

mod asum;
mod descriptor;
mod epilogue;
mod gemm;
mod gemv;
mod grouped;
mod layout;
mod library;
mod lt;
mod numeric;
mod product;
mod status;

pub(crate) use product::ProductScratch;
