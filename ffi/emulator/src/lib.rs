//! A CUDA driver for a machine without a GPU.

#[expect(dead_code, reason = "the contract lands before the two sides that meet in it")]
mod block;
#[allow(dead_code)]
mod jit;
#[allow(dead_code)]
mod ptx;
