//! The bytes that a peer and the daemon share.
