//! The scheduler on simulated time: the same [`gpumux_core::Scheduler`] that a worker drives, driven
//! here by made-up arrivals and a model of a device, as fast as the CPU goes.
//!
//! What a simulation says is what follows from its profiles. It says nothing of how fast a device is.
//!
//! - [`profile`]: how long batches take; [`arrivals`]: when requests come and how long they are;
//! - [`device`]: what runs where, and how what runs beside slows it; [`simulation`]: the events in their
//!   order; [`history`]: what happened, for whoever looks on.
//! - [`check`]: rules that every history must keep; [`seeds`]: small random worlds to check them in.
//! - [`scenario`]: a device, functions and arrivals as a file; [`report`]: what came of a run of it;
//!   [`compare`]: policies side by side on the same arrivals.

#![forbid(unsafe_code)]

pub mod arrivals;
pub mod check;
pub mod compare;
pub mod device;
mod file;
pub mod history;
pub mod profile;
mod random;
pub mod report;
pub mod scenario;
pub mod seeds;
pub mod simulation;

pub use file::FileError;
pub use profile::Profile;
pub use report::Report;
pub use scenario::{RunOptions, Scenario};
pub use simulation::{Incident, Simulation, World};

/// The names of the policies that there are.
pub const POLICIES: &[&str] = &gpumux_core::policy::NAMES;
