//! This crate against the emulated driver, each test in a process of its own: a driver is initialised
//! once a process, and a fault poisons it for good.

mod allocations;
mod lanes;
mod machine;
mod opening;
mod partitions;
mod products;
