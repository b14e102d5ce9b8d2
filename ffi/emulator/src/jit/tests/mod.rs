//! Compiled code against exact arithmetic, and whole kernels as NVRTC compiles them.

mod device;
mod kernels;
