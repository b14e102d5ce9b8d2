//! What the channels of a session share: the connection to the daemon, questions over it, and the
//! thread that finds the daemon's successor.
//!
//! Each connection has an *epoch*. A channel knows the epoch in which it was presented; while that is
//! the session's, the connection that the session has is the one that the channel was lost with.

use crate::attendant::Attendance;
use crate::channel::{Channel, Memory};
use crate::clock;
use crate::connection::{self, Word};
use crate::error::{Loss, OpenError, ReopenError};
use crate::fork::ForkMark;
use crate::reconnect::Reconnector;
use gpumux_wire::control::{ChannelId, ToDaemon, ToPeer};
use gpumux_wire::packet::{self, PacketError};
use gpumux_wire::signature::Signature;
use nix::sys::socket::{Shutdown, shutdown};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::{Duration, Instant};

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) path: PathBuf,
    pub(crate) reconnect_for: Duration,
    pub(crate) fork: ForkMark,
    next_channel: AtomicU32,
    connection: Mutex<Connection>,
    /// Rung when there is another connection, or there will be none.
    connected: Condvar,
    /// Held over a question and its answer, so that answers are not mixed.
    asking: Mutex<()>,
    channels: Mutex<Vec<Weak<Channel>>>,
    revival: Mutex<Revival>,
    /// Rung to end a pause of the thread.
    stirred: Condvar,
    pub(crate) attendance: Attendance,
}

/// A connection; its copies are the same.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    socket: Arc<OwnedFd>,
    pub(crate) epoch: u64,
    /// Why no other comes after it.
    over: Option<Over>,
}

/// Why a session has no further connection.
#[derive(Clone, Debug)]
enum Over {
    /// The daemon ended the session.
    Violation(String),
    /// The daemon that came after speaks another protocol.
    Version(u32),
}

impl From<Over> for Loss {
    fn from(over: Over) -> Self {
        match over {
            Over::Violation(what) => Self::Violation(what),
            Over::Version(daemon) => Self::Restarted(ReopenError::Version { daemon }),
        }
    }
}

impl From<Over> for OpenError {
    fn from(over: Over) -> Self {
        match over {
            Over::Violation(what) => Self::Violation(what),
            Over::Version(daemon) => Self::Restarted(ReopenError::Version { daemon }),
        }
    }
}

/// What the thread is wanted for.
#[derive(Debug, Default)]
struct Revival {
    running: bool,
    /// Somebody asked for it since it looked.
    again: bool,
    /// Callers of `open` that wait for a connection.
    waiting: u32,
}

/// A channel that is presented.
pub(crate) struct Question<'a> {
    pub(crate) channel: ChannelId,
    pub(crate) function: &'a str,
    pub(crate) memory: &'a Memory,
}

/// The daemon's consent.
pub(crate) struct Opened {
    pub(crate) channel: ChannelId,
    pub(crate) signature: Signature,
    pub(crate) wake: OwnedFd,
    pub(crate) epoch: u64,
}

/// How things stand with the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is connected.
    Alive {
        /// The connection's.
        epoch: u64,
    },
    /// It is gone.
    Gone,
    /// Somebody asks it something now, and will know.
    Asked,
    /// There will be no other connection.
    Over(Loss),
}

impl Control {
    pub(crate) fn new(
        path: PathBuf,
        reconnect_for: Duration,
        socket: OwnedFd,
    ) -> std::io::Result<Self> {
        Ok(Self {
            path,
            reconnect_for,
            fork: ForkMark::new()?,
            next_channel: AtomicU32::new(0),
            connection: Mutex::new(Connection { socket: Arc::new(socket), epoch: 0, over: None }),
            connected: Condvar::new(),
            asking: Mutex::new(()),
            channels: Mutex::default(),
            revival: Mutex::default(),
            stirred: Condvar::new(),
            attendance: Attendance::default(),
        })
    }

    /// A name that no other channel of this session has or had.
    pub(crate) fn next_channel(&self) -> ChannelId {
        ChannelId(self.next_channel.fetch_add(1, Ordering::Relaxed))
    }

    /// The connection now.
    pub(crate) fn connection(&self) -> Connection {
        lock(&self.connection).clone()
    }

    /// Presents a channel. `ready` is given the socket before the answer is taken, and says whether
    /// to take it: without it the connection is of no use any more.
    pub(crate) fn ask(
        &self,
        connection: &Connection,
        question: &Question<'_>,
        ready: impl FnOnce(&OwnedFd) -> bool,
    ) -> Result<Opened, OpenError> {
        if let Some(over) = &connection.over {
            return Err(over.clone().into());
        }
        let _answers = lock(&self.asking);
        let Question { channel, function, memory } = *question;
        let size = memory.mapping.geometry().size();
        let message = ToDaemon::Open { channel, function: function.to_owned(), size };
        packet::send(&connection.socket, &message, &[memory.memfd.as_fd()])?;
        if !ready(&connection.socket) {
            hang_up(&connection.socket);
            return Err(PacketError::Closed.into());
        }
        let received = packet::receive(&connection.socket, 1).inspect_err(|_| {
            // An answer that comes later would be taken for the next one's.
            hang_up(&connection.socket);
        });
        let (answer, mut descriptors) = received?;
        match (answer, descriptors.pop()) {
            (ToPeer::Opened { channel: answered, signature }, Some(wake))
                if answered == channel =>
            {
                Ok(Opened { channel, signature, wake, epoch: connection.epoch })
            }
            (ToPeer::NotOpened { channel: answered, refusal }, _) if answered == channel => {
                Err(refusal.into())
            }
            (ToPeer::Violation { what }, _) => {
                self.conclude(connection.epoch, Over::Violation(what.clone()));
                Err(OpenError::Violation(what))
            }
            (other, _) => {
                hang_up(&connection.socket);
                Err(OpenError::Violation(format!("the daemon answered {other:?}")))
            }
        }
    }

    /// Tells the daemon that a channel is not needed any more. A daemon that is gone needs no telling.
    pub(crate) fn close(&self, channel: ChannelId) {
        if !self.fork.forked() {
            let socket = self.connection().socket;
            let _gone = packet::send(&socket, &ToDaemon::Close { channel }, &[]);
        }
    }

    /// Has the session's thread look after a channel.
    pub(crate) fn enlist(&self, channel: &Arc<Channel>) {
        let mut channels = lock(&self.channels);
        channels.retain(|channel| channel.strong_count() > 0);
        channels.push(Arc::downgrade(channel));
    }

    /// The channels that somebody still holds.
    pub(crate) fn channels(&self) -> Vec<Arc<Channel>> {
        lock(&self.channels).iter().filter_map(Weak::upgrade).collect()
    }

    /// Sees to it that the session's thread looks after what has lost its worker.
    pub(crate) fn revive(self: &Arc<Self>) -> std::io::Result<()> {
        self.want(&mut lock(&self.revival))
    }

    fn want(self: &Arc<Self>, revival: &mut Revival) -> std::io::Result<()> {
        revival.again = true;
        if !revival.running {
            let thread = Reconnector::new(Arc::clone(self));
            let builder = std::thread::Builder::new().name("gpumux-reconnect".to_owned());
            builder.spawn(move || thread.run())?;
            revival.running = true;
        }
        self.stirred.notify_all();
        Ok(())
    }

    /// Waits for a connection after the one of `epoch`. Says whether there is one, or a better reason
    /// why there is none.
    pub(crate) fn await_successor(self: &Arc<Self>, epoch: u64, until: Option<Instant>) -> bool {
        if self.reconnect_for.is_zero() {
            return false;
        }
        {
            let mut revival = lock(&self.revival);
            if self.want(&mut revival).is_err() {
                return false;
            }
            revival.waiting += 1;
        }
        let mut connection = lock(&self.connection);
        let mut is_late = false;
        while connection.epoch == epoch && connection.over.is_none() && !is_late {
            let left = until.map(|until| until.saturating_duration_since(clock::now()));
            let left = left.unwrap_or(Duration::MAX);
            is_late = left.is_zero();
            let woken = self.connected.wait_timeout(connection, left);
            connection = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        let found = connection.epoch != epoch || connection.over.is_some();
        drop(connection);
        lock(&self.revival).waiting -= 1;
        found
    }
}

/// The thread's side.
impl Control {
    /// How things stand with the daemon.
    pub(crate) fn standing(&self) -> Standing {
        let connection = self.connection();
        if let Some(over) = connection.over {
            return Standing::Over(over.into());
        }
        let _answers = match self.asking.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Standing::Asked,
        };
        match connection::listen(&connection.socket) {
            Word::Silence => Standing::Alive { epoch: connection.epoch },
            Word::Closed => Standing::Gone,
            Word::Violation(what) => {
                let over = Over::Violation(what);
                self.conclude(connection.epoch, over.clone());
                Standing::Over(over.into())
            }
        }
    }

    /// Replaces the connection.
    pub(crate) fn succeed(&self, socket: OwnedFd) {
        let mut connection = lock(&self.connection);
        let epoch = connection.epoch + 1;
        *connection = Connection { socket: Arc::new(socket), epoch, over: None };
        self.connected.notify_all();
    }

    /// The daemon that came after speaks another protocol.
    pub(crate) fn outgrown(&self, daemon: u32) {
        let epoch = lock(&self.connection).epoch;
        self.conclude(epoch, Over::Version(daemon));
    }

    fn conclude(&self, epoch: u64, over: Over) {
        let mut connection = lock(&self.connection);
        if connection.epoch == epoch {
            connection.over = Some(over);
            self.connected.notify_all();
        }
    }

    /// Whether somebody waits to open a function.
    pub(crate) fn is_awaited(&self) -> bool {
        lock(&self.revival).waiting > 0
    }

    /// Whether the thread may end: nobody asked for it since this was called last.
    pub(crate) fn may_rest(&self) -> bool {
        let mut revival = lock(&self.revival);
        revival.running = std::mem::take(&mut revival.again);
        !revival.running
    }

    /// Pauses the thread.
    pub(crate) fn pause(&self, span: Duration) {
        let revival = lock(&self.revival);
        // Woken early, it only looks early.
        drop(self.stirred.wait_timeout(revival, span));
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if !self.fork.forked() {
            self.attendance.dismiss();
        }
    }
}

/// Locks what no thread leaves half-changed: each change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hang_up(socket: &OwnedFd) {
    // One that is closed already needs no hanging up.
    let _closed = shutdown(socket.as_raw_fd(), Shutdown::Both);
}
