//! Compiled code against exact arithmetic, and whole kernels as NVRTC compiles them.

#![expect(clippy::cast_possible_truncation, reason = "the numbers of these tests are small")]



mod device;
mod exact;
mod floats;

mod harness;
mod instructions;

mod kernels;
mod memory;
mod refusals;

