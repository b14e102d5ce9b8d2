//! The scheduler: which requests are admitted, which batch they join, when it closes and on which
//! lane it runs.
//!
//! Everything is one value, [`Scheduler`], and one function, [`Scheduler::on`]: an event and the
//! time go in, actions come out. There is no clock, no thread, no I/O and, after start, no
//! allocation, so that the daemon's worker, the simulator and the tests drive the same code.
//!
//! - [`event`]: what happens and what must be done; [`id`], [`time`]: the names and units;
//! - [`function`]: what the scheduler knows of a function; [`policy`]: which bucket goes next;
//! - `trial`: what ran when a worker died runs again, alone;
//! - `request`, `batch`, `bucket`: tables of a fixed size; `list`, `heap`: how they are ordered.

#![forbid(unsafe_code)]

mod batch;
mod bucket;
pub mod event;
pub mod function;
mod heap;
pub mod id;
mod list;
pub mod policy;
mod request;
pub mod scheduler;
pub mod time;
mod trial;

pub use event::{Action, Arrival, Ending, Event, Past};
pub use function::{FunctionSpec, Priority, Sharing};
pub use id::{BatchId, BucketId, FunctionId, LaneId, RequestId};
pub use scheduler::{Limits, Scheduler};
pub use time::MonoTime;
