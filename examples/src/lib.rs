//! Peers as a function container would hold them, and what `gpumux demo` runs: one turns sentences
//! into vectors and finds neighbours, one tells the types of files.
//!
//! - [`Embedder`]: text to tokens to requests; [`Neighbours`]: which vectors lie close;
//! - [`Classifier`]: files to requests to labels; [`features`]: what the model sees of a file;
//! - [`Pipe`]: many requests in flight over one function, their results in order.

#![forbid(unsafe_code)]

mod classifier;
mod embedder;
mod failure;
mod features;
mod files;
mod neighbours;
mod pipe;
mod progress;

pub use classifier::{Classifier, Label};
pub use embedder::Embedder;
pub use failure::Failure;
pub use features::{Shape, features};
pub use files::files_of;
pub use neighbours::Neighbours;
pub use pipe::Pipe;
pub use progress::Progress;
