//! cublasLt: its ABI (`lt`), what its descriptors say (`descriptor`, `layout`), and the product
//! itself (`product`), whose tiles run on the SMs of the calling stream, in stream order.

mod descriptor;
mod epilogue;
mod layout;
mod lt;
mod numeric;
mod product;
mod status;

pub(crate) use product::ProductScratch;
