//! A model as data: what the importer writes and the engine binds.
//!
//! A [`Model`] is a table of weights and one or more [`Plan`]s. A plan is a list of operations over
//! buffers whose sizes are expressions in two numbers, the batch and the length. Binding a plan to
//! such a [`Shape`] evaluates every size, checks every access against its buffer, and places the
//! buffers in one block of memory.
//!
//! A plan is hostile input: it comes from a process that parsed a tenant's file. [`Model::read`]
//! and [`Plan::bind`] believe nothing, and a plan that they accept cannot read memory that it did
//! not write, nor touch a byte outside its block and its weights.
//!
//! This crate knows no device, no address, and no format of a model but its own.
#![forbid(unsafe_code)]

mod bind;
mod bound;
mod check;
mod layout;
mod model;
mod op;
mod program;
mod size;
mod tensor;
mod text;

pub use bind::BindError;
pub use bound::{Bound, Place, Run, Slot};
pub use check::PlanError;
pub use layout::ALIGNMENT;
pub use model::{Model, ReadError, Weight};
pub use op::{
    Dense, Gather, Map, Matrix, Norm, Op, Operand, Product, RANK_MAX, Reduce, Reduction, Softmax,
};
pub use program::{
    Binary, Domain, INSTRUCTIONS_MAX, Instruction, OPERANDS_MAX, Program, ProgramError, STACK_MAX,
    Unary,
};
pub use size::{Shape, Size, SizeError, Step};
pub use tensor::{Buffer, BufferIndex, Element, Plan, Port, Role};
