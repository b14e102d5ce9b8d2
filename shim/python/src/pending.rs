//! A request in flight, as a Python object.

use crate::bell::Bell;
use crate::errors;
use crate::reply::Reply;
use crate::session::seconds;
use crate::slot::Slot;
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// How often a wait looks whether Ctrl-C was pressed. The kernel gives the signal to one thread, which
/// need not be the one that sleeps for all that wait.
const SIGNALS: Duration = Duration::from_millis(100);

/// A request in flight. Dropping it cancels it.
#[pyclass(module = "gpumux._gpumux", frozen)]
pub(crate) struct Pending {
    slot: Arc<Slot>,
    length: u32,
}

impl Pending {
    pub(crate) fn new(slot: Arc<Slot>, length: u32) -> Self {
        Self { slot, length }
    }
}

#[pymethods]
impl Pending {
    /// Waits until it has ended, for at most so many seconds or a little less, and says whether it
    /// has. Other Python threads run meanwhile. One that is `interruptible` looks for signals often.
    fn wait(&self, py: Python<'_>, timeout: Option<f64>, interruptible: bool) -> PyResult<bool> {
        let timeout = timeout.map(|timeout| seconds("timeout", timeout)).transpose()?;
        let longest = if interruptible { SIGNALS } else { Duration::MAX };
        let span = timeout.map_or(longest, |timeout| timeout.min(longest));
        let waited = py.detach(|| self.slot.wait(span));
        py.check_signals()?;
        waited.map_err(|error| errors::not_waited(&error))
    }

    /// Says whether it has ended; if not, `bell` rings with `token` when it may have.
    fn poll(&self, bell: &Bell, token: u64) -> PyResult<bool> {
        self.slot.poll(bell.waker(token)).map_err(|error| errors::not_waited(&error))
    }

    /// Says whether it has ended.
    fn done(&self) -> PyResult<bool> {
        self.slot.look().map_err(|error| errors::not_waited(&error))
    }

    /// Asks for it to be left off. How it ended is still to be waited for.
    fn cancel(&self) {
        self.slot.cancel();
    }

    /// Its result, or the exception that says how else it ended.
    fn reply(&self) -> PyResult<Reply> {
        let outcome = self.slot.reply(gpumux_shim::Reply::outcome);
        match errors::of_outcome(
            outcome.map_err(|error| errors::of_slot(&error))?,
            self.slot.function.signature(),
        ) {
            None => Ok(Reply::new(Arc::clone(&self.slot), self.length)),
            Some(error) => Err(error),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // Views of its inputs may keep the slot for longer.
        self.slot.cancel();
    }
}
