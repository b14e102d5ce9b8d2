//! Lanes confined to SMs: each way of doing it against one suite, what happens where a way is not
//! there, and what becomes of a wrong offset.

mod conformance;
mod handshakes;
mod leases;
mod load;
mod refusals;
mod rig;
mod self_tests;
