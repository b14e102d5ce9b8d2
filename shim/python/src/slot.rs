//! A slot and whoever holds it in Python: the request, what waits for it, its reply, and every view of
//! its tensors. It goes back to the channel when the last of them is gone.
//!
//! In the shim a request is one value that changes its type as it proceeds. Here it changes its
//! *stage*, behind a lock, so that views made in one stage keep the memory through all of them.

use crate::room::Room;
use gpumux_shim::{
    Canceller, Function, Pending, Reply, Request, SubmitError, SubmitOptions, WaitError,
};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// See the file's head.
pub(crate) struct Slot {
    stage: Mutex<Stage>,
    /// Rung when a thread brings the request back that it waited with.
    returned: Condvar,
    listeners: Arc<Listeners>,
    room: Arc<Room>,
    /// A call that gives the slot back as it returns has it.
    passing: bool,
    /// Keeps the arena mapped for views, even of what the shim has let go of.
    pub(crate) function: Function,
}

#[expect(clippy::large_enum_variant, reason = "a box would be made and freed for every request")]
enum Stage {
    Filling(Filling),
    InFlight(Pending),
    /// A thread waits with it.
    Awaited(Canceller),
    Ended(Reply),
    /// It was not submitted, and the channel is of no use any more.
    Lost,
}

struct Filling {
    request: Request,
    /// Which inputs were handed out to be written.
    written: Vec<bool>,
}

/// Who is woken when the request may have ended. Several tasks may wait for one request.
#[derive(Default)]
struct Listeners(Mutex<Vec<Waker>>);

/// A request was asked for something that is not its to give in its stage.
#[derive(Debug)]
pub(crate) enum SlotError {
    /// It was submitted before.
    Submitted,
    /// It has not ended.
    NotEnded,
    Submit(SubmitError),
}

impl Listeners {
    fn add(&self, waker: Waker) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(waker);
    }
}

impl Wake for Listeners {
    fn wake(self: Arc<Self>) {
        let woken = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        woken.into_iter().for_each(Waker::wake);
    }
}

impl Slot {
    pub(crate) fn new(
        function: Function,
        room: Arc<Room>,
        request: Request,
        passing: bool,
    ) -> Self {
        if passing {
            room.pass();
        }
        let written = vec![false; function.inputs().len()];
        Self {
            stage: Mutex::new(Stage::Filling(Filling { request, written })),
            returned: Condvar::new(),
            listeners: Arc::default(),
            room,
            passing,
            function,
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An input's first byte, which counts as written from now on.
    pub(crate) fn input(&self, index: usize) -> Result<*mut u8, SlotError> {
        let mut stage = self.stage();
        let Stage::Filling(filling) = &mut *stage else { return Err(SlotError::Submitted) };
        let start = filling.request.input_at(index).map_err(SlotError::Submit)?.as_mut_ptr();
        filling.request.mark_written(index).map_err(SlotError::Submit)?;
        filling.written[index] = true;
        Ok(start)
    }

    /// Hands the request to the worker.
    pub(crate) fn submit(&self, options: SubmitOptions) -> Result<(), SlotError> {
        let mut stage = self.stage();
        let Stage::Filling(filling) = &*stage else { return Err(SlotError::Submitted) };
        // The shim would let go of the slot, and there may be views of it.
        if let Some(index) = filling.written.iter().position(|written| !written) {
            let name = self.function.inputs()[index].name.clone();
            return Err(SlotError::Submit(SubmitError::MissingInput { name }));
        }
        if let Stage::Filling(filling) = std::mem::replace(&mut *stage, Stage::Lost) {
            // What fails now fails because the channel is of no use: it gives the slot to nobody.
            let pending = filling.request.submit(options).map_err(SlotError::Submit)?;
            *stage = Stage::InFlight(pending);
        }
        Ok(())
    }

    /// Asks for the request to be left off.
    pub(crate) fn cancel(&self) {
        match &*self.stage() {
            Stage::InFlight(pending) => pending.cancel(),
            Stage::Awaited(canceller) => canceller.cancel(),
            Stage::Filling(_) | Stage::Ended(_) | Stage::Lost => (),
        }
    }

    /// Waits until the request has ended, for at most so long, and says whether it has. Call it
    /// without Python's lock.
    pub(crate) fn wait(&self, span: Duration) -> Result<bool, WaitError> {
        let mut stage = self.stage();
        let mut pending = match std::mem::replace(&mut *stage, Stage::Lost) {
            Stage::InFlight(pending) => pending,
            other => {
                *stage = other;
                let is_awaited = |stage: &mut Stage| matches!(stage, Stage::Awaited(_));
                let waited = self.returned.wait_timeout_while(stage, span, is_awaited);
                let (stage, _) = waited.unwrap_or_else(PoisonError::into_inner);
                return Ok(matches!(*stage, Stage::Ended(_)));
            }
        };
        *stage = Stage::Awaited(pending.canceller());
        drop(stage);
        let waited = pending.wait_for(span);
        let mut stage = self.stage();
        let ended = match waited {
            Ok(Some(reply)) => {
                *stage = Stage::Ended(reply);
                Ok(true)
            }
            Ok(None) => {
                *stage = Stage::InFlight(pending);
                Ok(false)
            }
            Err(error) => {
                *stage = Stage::InFlight(pending);
                Err(error)
            }
        };
        drop(stage);
        self.returned.notify_all();
        Arc::clone(&self.listeners).wake();
        ended
    }

    /// Says whether the request has ended, and wakes `waker` when it may have, if it has not.
    pub(crate) fn poll(&self, waker: Waker) -> Result<bool, WaitError> {
        self.listeners.add(waker);
        let mut stage = self.stage();
        let pending = match &mut *stage {
            Stage::InFlight(pending) => pending,
            other @ (Stage::Filling(_) | Stage::Awaited(_) | Stage::Ended(_) | Stage::Lost) => {
                return Ok(matches!(other, Stage::Ended(_)));
            }
        };
        let told = Waker::from(Arc::clone(&self.listeners));
        match Pin::new(pending).poll(&mut Context::from_waker(&told)) {
            Poll::Ready(reply) => {
                *stage = Stage::Ended(reply?);
                Ok(true)
            }
            Poll::Pending => Ok(false),
        }
    }

    /// Says whether the request has ended, now.
    pub(crate) fn look(&self) -> Result<bool, WaitError> {
        let mut stage = self.stage();
        if let Stage::InFlight(pending) = &mut *stage
            && let Some(reply) = pending.try_wait()?
        {
            *stage = Stage::Ended(reply);
        }
        Ok(matches!(*stage, Stage::Ended(_)))
    }

    /// Looks at the reply of a request that has ended.
    pub(crate) fn reply<T>(&self, look: impl FnOnce(&Reply) -> T) -> Result<T, SlotError> {
        match &*self.stage() {
            Stage::Ended(reply) => Ok(look(reply)),
            Stage::Filling(_) | Stage::InFlight(_) | Stage::Awaited(_) | Stage::Lost => {
                Err(SlotError::NotEnded)
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let stage = self.stage.get_mut().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(stage, Stage::Lost) {
            Stage::InFlight(pending) => self.room.adopt(pending),
            ended => drop(ended),
        }
        self.room.free(self.passing);
    }
}
