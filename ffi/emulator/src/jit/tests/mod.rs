//! Compiled code against exact arithmetic, and whole kernels as NVRTC compiles them.

#![expect(clippy::cast_possible_truncation, reason = "the numbers of these tests are small")]

mod comparisons;
mod conversions;
mod coverage;
mod device;
mod divergence;
mod exact;
mod floats;
mod halves;
mod harness;
mod integers;
mod kernels;
mod machine;
mod memory;
mod refusals;
