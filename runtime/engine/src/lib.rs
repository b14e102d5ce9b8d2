//! The engine: a plan on a device.
//!
//! A [`Resident`] is a model whose weights lie in device memory. [`Resident::prepare`] binds its
//! plan to a shape and chooses how to multiply; [`Prepared::place`] gives that a block of memory.
//! Both allocate and may take milliseconds, so they are done ahead. What is left for the dispatch
//! path is [`Placed::issue`], which puts one segment on a lane and allocates nothing.
//!
//! The engine knows what operations mean to kernels. It does not know when something should run:
//! that is the core's, and the worker's who asks it.
#![forbid(unsafe_code)]

mod address;
mod coalesce;
mod maps;
mod outcome;
mod padding;
mod placed;
mod prepared;
mod products;
mod resident;
mod rows;
mod segments;
pub mod staging;
mod trial;
mod upload;

pub use outcome::{Verdict, Verdicts};
pub use padding::{Padding, PaddingError};
pub use placed::Placed;
pub use prepared::{PrepareError, PrepareOptions, Prepared};
pub use resident::{LoadError, Resident};
pub use staging::Fill;
pub use trial::{Trial, TrialError};
pub use upload::{Chunk, Upload};
