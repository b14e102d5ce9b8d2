//! PTX to machine code of the host, and the running of its blocks.
//!
//! A kernel becomes one native function with the loop over its threads inside. Where threads wait for
//! each other, the function is cut at the waits: a thread stores what it needs later, and the loop
//! enters it again when an executor says that its wait is over. Threads that call functions each get a
//! small stack of their own instead, because they may wait inside of a call.
//!
//! It knows the contract in `block`, and neither the driver nor its memory.

mod barrier;
mod cache;
mod code;
mod error;
mod exchange;
mod executor;
mod frame;
mod functions;
mod helpers;
mod kernel;
mod lower;
mod program;
mod region;
mod regions;
mod scratch;
mod stacks;
mod variable;
mod wait;
mod warp;

#[cfg(test)]
mod tests;

pub(crate) use self::{
    cache::compile,
    error::CompileErrorKind,
    kernel::Kernel,
    program::{Claim, Program},
    scratch::Scratch,
};

#[cfg(test)]
use self::{lower::Form, program::compile_in_form};
