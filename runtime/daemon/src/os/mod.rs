//! What only `unsafe` code can ask of the operating system. The rest of the daemon has none.

mod words;

pub(crate) use words::SharedWords;
