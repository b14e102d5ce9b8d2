//! A session: one control connection at a time, over which functions are opened.

use crate::channel::{Channel, Memory};
use crate::clock;
use crate::connection;
use crate::control::{Control, Question};
use crate::error::{ConnectError, OpenError};
use crate::function::Function;
use gpumux_wire::channel::Mapping;
use gpumux_wire::geometry::{ChannelSize, Geometry};
use gpumux_wire::memfd;
use gpumux_wire::packet::PacketError;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A connection to the daemon. Functions that were opened over it keep it alive, and it outlives the
/// daemon's restarts.
#[derive(Clone, Debug)]
pub struct Session(Arc<Control>);

/// How a session is kept.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    /// How long after the daemon's death its successor is waited for. Zero waits for none: what is
    /// in flight ends at once as `daemon_lost`.
    pub reconnect_for: Duration,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { reconnect_for: Duration::from_secs(30) }
    }
}

impl Session {
    /// Connects to the daemon's socket and greets it.
    ///
    /// # Errors
    /// [`ConnectError`]: nobody there, another version, or a refusal.
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, ConnectError> {
        Self::connect_with(path, SessionOptions::default())
    }

    /// Connects with options.
    ///
    /// # Errors
    /// As [`Session::connect`].
    pub fn connect_with(
        path: impl AsRef<Path>,
        options: SessionOptions,
    ) -> Result<Self, ConnectError> {
        // A later change of the working folder does not lead to another socket.
        let path = std::path::absolute(path)?;
        let socket = connection::greet(&path, |_| true)?;
        Ok(Self(Arc::new(Control::new(path, options.reconnect_for, socket)?)))
    }

    /// Opens a function: makes a channel of the given size and passes it to the daemon. If the daemon
    /// was restarted, its successor is asked.
    ///
    /// # Errors
    /// [`OpenError`]: a refusal with its reason, or the session is over.
    pub fn open(&self, function: &str, size: ChannelSize) -> Result<Function, OpenError> {
        if self.0.fork.forked() {
            return Err(OpenError::Forked);
        }
        let geometry = Geometry::new(size)?;
        let until = clock::now().checked_add(self.0.reconnect_for);
        let id = self.0.next_channel();
        loop {
            let connection = self.0.connection();
            // Memory that a daemon was given and said nothing of may still be in use there, so each
            // is asked with memory of its own.
            let memfd = memfd::create(&geometry)?;
            let mapping = Mapping::new(&memfd, geometry)?;
            let memory = Memory { memfd, mapping };
            let question = Question { channel: id, function, memory: &memory };
            match self.0.ask(&connection, &question, |_| true) {
                Err(OpenError::SessionOver(PacketError::Closed))
                    if self.0.await_successor(connection.epoch, until) => {}
                Err(error) => return Err(error),
                Ok(opened) => {
                    let control = Arc::clone(&self.0);
                    let function = function.to_owned();
                    let channel = Arc::new(Channel::new(control, function, memory, opened));
                    self.0.enlist(&channel);
                    return Ok(Function::new(channel));
                }
            }
        }
    }
}
