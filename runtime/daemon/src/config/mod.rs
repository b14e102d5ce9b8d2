//! What an operator writes: one folder a function, with `function.toml` in it. Unknown keys, wrong
//! values and impossible combinations are refused with the file, the line and what to write instead.

mod bytes;
mod error;
mod function;
mod name;
mod objective;
mod repository;
mod settings;
mod span;
pub(crate) mod tenant;

pub(crate) use bytes::Bytes;
pub(crate) use error::{ConfigError, nearest};
pub(crate) use function::{FunctionConfig, Model, Padding};
pub(crate) use repository::{Function, load};
pub(crate) use settings::{Host, settings};
pub(crate) use tenant::Tenant;
