//! What an operator writes: one folder a function, with `function.toml` in it. Unknown keys, wrong
//! values and impossible combinations are refused with the file, the line and what to write instead.

mod error;
mod function;
mod objective;
mod repository;
mod span;

pub(crate) use error::{ConfigError, nearest};
pub(crate) use function::{FunctionConfig, Model, Padding};
pub(crate) use repository::{Function, load};
