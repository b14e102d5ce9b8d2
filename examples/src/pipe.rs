//! Many requests in flight over one function. Results come back in the order of the requests.

use crate::Failure;
use gpumux_shim::{Function, Outcome, Pending, Reply, Request, SubmitOptions};
use std::collections::VecDeque;

/// An open function, and what is in flight over it.
#[derive(Debug)]
pub struct Pipe {
    function: Function,
    depth: usize,
}

impl Pipe {
    /// At most `depth` requests are in flight; the function was opened with room for them.
    pub fn new(function: Function, depth: usize) -> Self {
        Self { function, depth }
    }

    /// Makes a request of each item, and a result of each reply; `read` is told the item's number.
    ///
    /// # Errors
    /// The first [`Failure`]; what is in flight is cancelled.
    pub fn run<T, R>(
        &self,
        items: &[T],
        make: impl Fn(&Function, &T) -> Result<Request, Failure>,
        mut read: impl FnMut(usize, &Reply) -> Result<R, Failure>,
    ) -> Result<Vec<R>, Failure> {
        let mut flying: VecDeque<Pending> = VecDeque::with_capacity(self.depth);
        let mut results = Vec::with_capacity(items.len());
        let mut waiting = items.iter();
        loop {
            while flying.len() < self.depth
                && let Some(item) = waiting.next()
            {
                flying.push_back(make(&self.function, item)?.submit(SubmitOptions::default())?);
            }
            let Some(pending) = flying.pop_front() else { return Ok(results) };
            let reply = pending.wait()?;
            match reply.outcome() {
                Outcome::Done => results.push(read(results.len(), &reply)?),
                Outcome::Refused(refusal) => return Err(Failure::NoResult(refusal.to_string())),
                other @ (Outcome::DeadlineMissed | Outcome::Cancelled) => {
                    return Err(Failure::NoResult(other.label().to_owned()));
                }
            }
        }
    }
}
