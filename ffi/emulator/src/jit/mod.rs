//! PTX to machine code of the host, and the running of its blocks.
//!
//! A kernel becomes one native function with the loop over its threads inside. Threads that wait for
//! each other, or that call functions, each get a small stack of their own instead, and an executor
//! decides whose turn it is: so barriers, shuffles in divergent code, calls and recursion need nothing
//! special from the code generator.
//!
//! It knows the contract in `block`, and neither the driver nor its memory.

mod barrier;
mod code;
mod error;
mod executor;
mod frame;
mod functions;
mod helpers;
mod kernel;
mod lower;
mod program;
mod region;
mod scratch;
mod variable;
mod wait;
mod warp;

#[cfg(test)]
mod tests;

pub(crate) use self::{
    error::CompileErrorKind,
    kernel::Kernel,
    program::{Claim, Program, compile},
    scratch::Scratch,
};
