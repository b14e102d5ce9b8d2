//! The driver and cublasLt through their ABI, as a program sees them. Each test runs in a process of
//! its own.
#![expect(clippy::unwrap_used, reason = "a test stops where something unexpected happens")]

mod blas;
mod calls;
mod child;
mod context;
mod corpus;
mod device;
mod fault;
mod graph;
mod green;
mod hostile;
mod kernel;
mod library;
mod mask;
mod memory;
mod misbehaviour;
mod order;
mod peer;
mod product;
mod smid;
mod split;
mod stream;
mod strict;
