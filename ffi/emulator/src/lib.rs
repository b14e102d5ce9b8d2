//! A CUDA driver for a machine without a GPU.

mod block;
#[allow(dead_code, reason = "the driver side, which uses it, lands after it")]
mod jit;
mod ptx;
