//! The worker: the process that owns one device.
//!
//! Two threads. `control` speaks with the supervisor, maps memory, loads models, counts and reports;
//! it may allocate, log and wait. `dispatch` owns the scheduler, the channels and the device; it
//! does none of these. They meet in two bounded queues (`commands`) and in atomic `counters`.

mod channel;
mod commands;
mod control;
mod counters;
mod dispatch;
mod function;
mod open;
mod sleep;
mod spin;

pub(crate) use control::run;
