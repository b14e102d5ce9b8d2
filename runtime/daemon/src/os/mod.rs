//! What the daemon asks of the kernel by hand: the only folder of this crate with `unsafe`.

pub(crate) mod sigbus;
