//! A request in flight.

use crate::channel::{Channel, Held};
use crate::clock;
use crate::error::WaitError;
use crate::reply::Reply;
use gpumux_wire::record::ResponseRecord;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

/// A request that the worker has. Dropping it cancels it; its room comes back when the worker is
/// done with it.
///
/// It is a future of its reply, under any executor. Where that runs outside of a tokio runtime, or
/// without this crate's feature `tokio`, a thread of the session looks for the ends of requests that
/// are awaited; it comes with the first and ends a second after the last. With the feature, and polled
/// inside a runtime, a task of that runtime does, by the runtime's own I/O driver: the runtime must
/// have one, and be driven.
///
/// One request may be waited for now in one of these ways and then in another, and threads that wait
/// go together with tasks that do.
#[derive(Debug)]
#[must_use = "dropping it cancels the request"]
pub struct Pending(Option<Held>);

impl Pending {
    pub(crate) fn new(held: Held) -> Self {
        Self(Some(held))
    }

    /// Waits for the end of the request.
    ///
    /// # Errors
    /// [`WaitError`]. That the request did not succeed is an outcome of the reply, not an error.
    pub fn wait(mut self) -> Result<Reply, WaitError> {
        let held = self.held()?;
        let response = held.channel.wait(held.slot, None)?;
        self.reply(response.expect("it waits until there is one"))
    }

    /// Waits for the end of the request, for at most so long. `None` leaves it in flight.
    ///
    /// # Errors
    /// As [`Pending::wait`].
    pub fn wait_for(&mut self, span: Duration) -> Result<Option<Reply>, WaitError> {
        let until = clock::now().checked_add(span);
        let held = self.held()?;
        match held.channel.wait(held.slot, until)? {
            Some(response) => self.reply(response).map(Some),
            None => Ok(None),
        }
    }

    /// The reply if the request has ended. It does not wait.
    ///
    /// # Errors
    /// As [`Pending::wait`].
    pub fn try_wait(&mut self) -> Result<Option<Reply>, WaitError> {
        let held = self.held()?;
        match held.channel.look(held.slot)? {
            Some(response) => self.reply(response).map(Some),
            None => Ok(None),
        }
    }

    /// Asks the worker to leave the request off. What is queued ends at once; what runs is
    /// discarded at its end; either way the outcome is still to be waited for.
    pub fn cancel(&self) {
        if let Some(held) = &self.0
            && !held.channel.control.fork.forked()
        {
            held.channel.cancel(held.slot);
        }
    }

    /// What cancels the request from elsewhere while a thread waits for it. It holds nothing.
    pub fn canceller(&self) -> Canceller {
        let whose = |held: &Held| Whose {
            channel: Arc::downgrade(&held.channel),
            slot: held.slot,
            generation: held.channel.generation(held.slot),
        };
        Canceller(self.0.as_ref().map(whose))
    }

    fn held(&self) -> Result<&Held, WaitError> {
        self.0.as_ref().ok_or(WaitError::Taken)
    }

    fn reply(&mut self, response: ResponseRecord) -> Result<Reply, WaitError> {
        Reply::new(self.0.take().ok_or(WaitError::Taken)?, response)
    }
}

/// Cancels a request that somebody else holds: see [`Pending::canceller`].
#[derive(Clone, Debug)]
pub struct Canceller(Option<Whose>);

#[derive(Clone, Debug)]
struct Whose {
    channel: Weak<Channel>,
    slot: u32,
    generation: u32,
}

impl Canceller {
    /// As [`Pending::cancel`]. It says nothing to a request that has ended.
    pub fn cancel(&self) {
        if let Some(Whose { channel, slot, generation }) = &self.0
            && let Some(channel) = channel.upgrade()
        {
            channel.cancel_generation(*slot, *generation);
        }
    }
}

impl Future for Pending {
    type Output = Result<Reply, WaitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = match self.held() {
            Ok(held) => held.channel.poll(held.slot, context),
            Err(error) => return Poll::Ready(Err(error)),
        };
        polled.map(|response| self.reply(response?))
    }
}
