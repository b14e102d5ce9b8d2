//! What only `unsafe` code can ask of the operating system: the only folder of this crate that has any.

pub(crate) mod sigbus;
mod words;

pub(crate) use words::SharedWords;
