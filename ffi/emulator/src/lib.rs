//! A CUDA driver and a BLAS for a machine without a GPU.
//!
//! `driver` and `blas` are the two ABIs; below them is a safe core that knows neither. From the
//! bottom up: `space`, `window` and `host` make `memory`; `sm` and `engine` run work; `schedule`
//! orders it; `context` and `stream` are what the program holds.

mod blas;
mod block;
mod claim;
mod clock;
mod code;
mod context;
mod device;
mod driver;
mod engine;
mod fault;
mod handle;
mod host;
mod jit;
mod machine;
mod memory;
mod module;
mod schedule;
mod scratch;
mod sm;
mod space;
mod stream;
mod transfer;
mod window;
