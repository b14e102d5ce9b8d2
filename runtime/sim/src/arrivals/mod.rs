//! When requests come and how long they are: rules as a scenario writes them, and what they draw,
//! one by one, from a seed.
//!
//! - `gaps`: the time from one arrival to the next: a file's, or a process's;
//! - `lengths`: lengths: fixed, uniform, or of a histogram in a file.

mod gaps;
mod lengths;

pub use gaps::{GapRule, Gaps};
pub use lengths::{LengthRule, Lengths};
