//! The bytes that a peer and the daemon share.
//!
//! A *channel* is one sealed memfd that a peer made and the worker mapped: two rings of 64-bit
//! entries, a request and a response record for each slot, and an arena for tensors. Either side may
//! be killed at any instant and the peer may write anything at any time, so everything here is a
//! fixed layout read by atomic loads, once a word, and believed only after a check of the copy.
//!
//! - [`geometry`]: where things lie in a channel; [`memfd`]: making and vetting the memory;
//! - [`ring`]: the algorithm, generic over the words it stands on, so that a model checker runs it;
//! - [`record`]: the fixed layouts; [`request`]: `RawRequest` → [`request::Request`];
//! - [`channel`]: one side's view of mapped memory, the only file with `unsafe`;
//! - [`control`]: the messages of the control socket; [`packet`]: how they and descriptors travel;
//! - [`wake`]: the byte that ends a sleep; [`outcome`], [`signature`]: the words both sides use;
//! - [`status`]: what the admin socket tells an operator; [`doctor`]: what is found when devices are
//!   looked at.

pub mod channel;
pub mod control;
pub mod doctor;
pub mod geometry;
pub mod memfd;
pub mod outcome;
pub mod packet;
pub mod record;
pub mod reload;
pub mod request;
pub mod ring;
pub mod signature;
pub mod status;
pub mod wake;

/// The version of everything in this crate. A daemon serves exactly one; the hello carries it.
pub const PROTOCOL_VERSION: u32 = 2;
