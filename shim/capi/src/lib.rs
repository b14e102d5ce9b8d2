//! libgpumux: the C ABI of the shim.
