//! What the engine's tests share: the models' plans, the reference results, the comparison.

pub(crate) mod emulated;
pub(crate) mod golden;
pub(crate) mod interpreter;
pub(crate) mod models;
