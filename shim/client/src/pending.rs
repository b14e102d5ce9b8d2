//! A request in flight.

use crate::channel::Held;
use crate::error::WaitError;
use crate::reply::Reply;

/// A request that the worker has. Dropping it cancels it; its room comes back when the worker is
/// done with it.
#[derive(Debug)]
pub struct Pending(Held);

impl Pending {
    pub(crate) fn new(held: Held) -> Self {
        Self(held)
    }

    /// Waits for the end of the request.
    ///
    /// # Errors
    /// [`WaitError`]. That the request did not succeed is an outcome of the reply, not an error.
    pub fn wait(self) -> Result<Reply, WaitError> {
        let response = self.0.channel.wait(self.0.slot)?;
        Reply::new(self.0, response)
    }

    /// The reply if the request has ended, else the request again.
    ///
    /// # Errors
    /// As [`Pending::wait`].
    pub fn poll(self) -> Result<Result<Reply, Pending>, WaitError> {
        match self.0.channel.poll(self.0.slot)? {
            Some(response) => Reply::new(self.0, response).map(Ok),
            None => Ok(Err(self)),
        }
    }

    /// Asks the worker to leave the request off. What is queued ends at once; what runs is
    /// discarded at its end; either way the outcome is still to be waited for.
    pub fn cancel(&self) {
        if !self.0.channel.control.fork.forked() {
            self.0.channel.cancel(self.0.slot);
        }
    }
}
