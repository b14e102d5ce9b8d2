//! The worker: the process that owns one device.
//!
//! Two threads. `control` speaks with the supervisor, maps channels and reports; it may allocate, log
//! and wait. `dispatch` opens the device (`gpu`) and loads the models (`loading`, `onnx`); from then
//! on it owns scheduler, channels and lanes (`runner`) and does none of these. They meet in two
//! bounded queues (`commands`) and in atomic `counters`.

mod attendance;
mod beat;
mod channel;
mod commands;
mod completion;
mod control;
mod counters;
mod dispatch;
mod function;
mod gpu;
mod intake;
mod loading;
mod model;
mod onnx;
mod open;
mod ownership;
mod plan_model;
mod recovery;
mod report;
mod runner;
mod sleep;
mod spin;
mod startup;
mod tenant;
mod timing;

pub(crate) use control::run;
pub(crate) use gpu::{NoGpu, load_driver};
pub(crate) use ownership::Owned;
