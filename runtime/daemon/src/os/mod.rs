//! What only `unsafe` code can ask of the operating system: the only folder of this crate that has any.

#![expect(
    unsafe_code,
    reason = "mappings are reached by pointers; signal handlers and inherited descriptors have no safe form"
)]

pub(crate) mod inherited;
pub(crate) mod sigbus;
mod words;

pub(crate) use words::SharedWords;
