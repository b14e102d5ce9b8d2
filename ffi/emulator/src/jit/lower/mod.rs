//! PTX instructions to Cranelift instructions, one family a file. A function of the text becomes one
//! native function; a kernel's also has the loop over the threads that it is asked to run. A kernel
//! whose threads wait is lowered twice: what the first pass does with its registers (`flow`) says how
//! the second is cut at the waits (`plan`, `suspend`), and what is made anew there (`rebuild`).
//!
//! Each family reads an instruction's modifiers to the last, so that what it does not know is refused
//! and never ignored.

mod atomic;
mod bits;
mod body;
mod call;
mod compare;
mod control;
mod convert;
mod dispatch;
mod float;
mod flow;
mod function;
mod half;
mod integer;
mod memory;
mod modifiers;
mod movement;
mod names;
mod opcodes;
mod operands;
mod plan;
mod pointer;
mod rebuild;
mod simd;
mod suspend;
mod sync;
mod system;
mod threads;
mod unit;

pub(super) use function::{Form, Outcome, lower_function};
#[cfg(test)]
pub(super) use opcodes::OPCODES;
pub(super) use plan::Cuts;
pub(super) use unit::Unit;

/// A value, or why the instruction is refused; the caller knows its line and text.
type Lowered<T> = Result<T, String>;
