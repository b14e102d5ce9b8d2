//! Lanes confined to SMs: the ways to do it, which of them this machine has and why, and who holds
//! what.
//!
//! A [`Partitioner`] is chosen once, at start. It keeps what each way ([`BackendKind`]) came to, leases
//! lanes whose SMs were *measured* ([`Probe`]), refuses leases that would meet, and changes what a
//! lane may run on while it has work. What is granted, the stream and the number of SMs that
//! products are to be prepared for belong together ([`Grant`]). A lane is confined in one way, never in
//! two.

mod allow_list;
mod book;
mod choice;
mod grant;
mod green;
mod mask;
mod partitioner;
mod probe;
mod proof;
mod report;
mod resource;
mod self_test;
mod split;

pub use allow_list::AllowList;
pub use choice::{ChooseError, PartitionWish};
pub(crate) use grant::Seat;
pub use grant::{Grant, Grants, LeaseError, Wanted};
pub(crate) use green::GreenContext;
pub use partitioner::Partitioner;
pub use probe::{Handshake, Measured, Probe, ProbeError};
pub use proof::{NotProven, Proven, prove};
pub use report::{Abilities, BackendKind, BackendReport, LiveChange, Refusal, Verdict};
pub(crate) use resource::{DevResource, GroupParams};
pub use self_test::{Flaw, SelfTestError, self_test};
