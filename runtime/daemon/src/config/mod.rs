//! What an operator writes: `gpumuxd.toml` for the daemon, and one folder a function, with `function.toml`
//! in it. Unknown keys, wrong values and impossible combinations are refused with the file, the line, the
//! column and what to write instead.

mod amounts;
mod bytes;
mod command_line;
mod error;
mod function;
mod keys;
mod name;
mod objective;
mod place;
#[cfg(test)]
mod reference;
mod repository;
mod settings;
mod span;
pub(crate) mod tenant;

pub(crate) use amounts::{size, span};
pub(crate) use bytes::Bytes;
pub(crate) use command_line::{CommandLine, Served, Start};
pub(crate) use error::{ConfigError, nearest};
pub(crate) use function::{FunctionConfig, Model, Padding};
pub(crate) use repository::{Function, load};
pub(crate) use settings::{Host, Settings, settings};
pub(crate) use tenant::Tenant;
