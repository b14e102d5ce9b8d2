//! A wake-up that an event loop can watch: a descriptor, and what it was rung for.
//!
//! Requests end on the shim's threads, which are none of Python's and never wait for its lock. They
//! note a token here and ring; the loop takes the tokens when it sees the descriptor readable.

use pyo3::prelude::*;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Rung from any thread, heard by one event loop.
#[pyclass(module = "gpumux._gpumux", frozen)]
pub(crate) struct Bell(Arc<Line>);

/// The two ends of it.
struct Line {
    ringing: UnixStream,
    hearing: UnixStream,
    /// Not empty from its first token on, which is what rings, until they are taken.
    tokens: Mutex<Vec<u64>>,
}

/// What a request or a room rings by.
struct Pull {
    line: Arc<Line>,
    token: u64,
}

impl Bell {
    /// A waker that has `token` heard.
    pub(crate) fn waker(&self, token: u64) -> Waker {
        Waker::from(Arc::new(Pull { line: Arc::clone(&self.0), token }))
    }
}

impl Line {
    fn tokens(&self) -> MutexGuard<'_, Vec<u64>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Pull {
    fn wake(self: Arc<Self>) {
        let mut tokens = self.line.tokens();
        tokens.push(self.token);
        if tokens.len() == 1 {
            // At most one byte is there that nobody has read, so it fits. Only a socket that is closed
            // refuses it, and then nobody listens.
            let _written = (&self.line.ringing).write(&[1]);
        }
    }
}

#[pymethods]
impl Bell {
    #[new]
    fn new() -> PyResult<Self> {
        let (ringing, hearing) = UnixStream::pair()?;
        ringing.set_nonblocking(true)?;
        hearing.set_nonblocking(true)?;
        Ok(Self(Arc::new(Line { ringing, hearing, tokens: Mutex::default() })))
    }

    /// The descriptor, readable when it was rung.
    fn fileno(&self) -> i32 {
        self.0.hearing.as_raw_fd()
    }

    /// What it was rung for since this was called last.
    fn take(&self) -> PyResult<Vec<u64>> {
        // First the byte and then the tokens: one that comes in between rings for nothing, and none
        // is left without a ring.
        match (&self.0.hearing).read(&mut [0; 8]) {
            Ok(_) => (),
            Err(error) if error.kind() == ErrorKind::WouldBlock => (),
            Err(error) => return Err(error.into()),
        }
        Ok(std::mem::take(&mut *self.0.tokens()))
    }
}
