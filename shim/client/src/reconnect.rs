//! The thread of a session whose daemon died: it finds the successor and presents the channels again.
//!
//! It lives from the first channel that lost its worker until none waits. It alone makes connections
//! after the first, so all channels share one; between its steps it ends what has waited too long.

use crate::channel::Channel;
use crate::clock;
use crate::connection;
use crate::control::{Control, Question, Standing};
use crate::error::ConnectError;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Between attempts, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
/// How often budgets are looked at while the daemon is away, in milliseconds.
const STEP_MS: u8 = 10;

/// See the file's head.
pub(crate) struct Reconnector {
    control: Arc<Control>,
    back_off: Duration,
}

impl Reconnector {
    pub(crate) fn new(control: Arc<Control>) -> Self {
        Self { control, back_off: BACK_OFF.0 }
    }

    pub(crate) fn run(mut self) {
        loop {
            let standing = self.control.standing();
            let away = self.look_after(&standing);
            if away.is_empty() && !self.is_awaited(&standing) {
                if self.control.may_rest() {
                    return;
                }
                continue;
            }
            let is_done = match standing {
                Standing::Alive { epoch } => {
                    let unsettled = away.iter().filter(|channel| !self.present(channel, epoch));
                    unsettled.count() == 0
                }
                Standing::Gone => self.connect(),
                Standing::Asked | Standing::Over(_) => false,
            };
            // Whoever lets go of a channel last tells the daemon, under no lock.
            drop(away);
            if is_done {
                self.back_off = BACK_OFF.0;
            } else {
                self.pause(&standing);
            }
        }
    }

    /// Ends what has waited too long. Returns the channels that wait.
    fn look_after(&self, standing: &Standing) -> Vec<Arc<Channel>> {
        let now = clock::now();
        let mut channels = self.control.channels();
        channels.retain(|channel| channel.look_after(now, standing));
        channels
    }

    /// Whether somebody who wants to open a function waits for this thread.
    fn is_awaited(&self, standing: &Standing) -> bool {
        match standing {
            Standing::Gone | Standing::Asked => self.control.is_awaited(),
            Standing::Alive { .. } | Standing::Over(_) => false,
        }
    }

    /// Whether anybody still waits for what this thread does.
    fn is_wanted(&self, standing: &Standing) -> bool {
        !self.look_after(standing).is_empty() || self.is_awaited(standing)
    }

    fn connect(&self) -> bool {
        let ready = |socket: &OwnedFd| self.await_answer(socket, &Standing::Gone);
        match connection::greet(&self.control.path, ready) {
            Ok(socket) => self.control.succeed(socket),
            Err(ConnectError::Version { daemon, .. }) => self.control.outgrown(daemon),
            // Nobody there yet, or nobody who can take one more session.
            Err(
                ConnectError::DaemonAbsent { .. }
                | ConnectError::BadPath { .. }
                | ConnectError::Greeting(_)
                | ConnectError::Refused(_)
                | ConnectError::Os(_),
            ) => return false,
        }
        true
    }

    /// Presents a channel. Says whether that is settled.
    fn present(&self, channel: &Channel, epoch: u64) -> bool {
        let Some((id, function, memory)) = channel.to_present(epoch) else { return false };
        let connection = self.control.connection();
        let question = Question { channel: id, function, memory };
        let ready = |socket: &OwnedFd| self.await_answer(socket, &Standing::Alive { epoch });
        channel.answered(epoch, self.control.ask(&connection, &question, ready))
    }

    /// Waits for a packet for as long as somebody waits for what it says.
    fn await_answer(&self, socket: &OwnedFd, standing: &Standing) -> bool {
        loop {
            let mut ends = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ends, PollTimeout::from(STEP_MS)) {
                Ok(0) if self.is_wanted(standing) => (),
                Ok(0) => return false,
                // What the kernel refuses here it refuses the receiver too, who says so.
                Ok(_) | Err(_) => return true,
            }
        }
    }

    fn pause(&mut self, standing: &Standing) {
        let (_, longest) = BACK_OFF;
        let until = clock::now() + self.back_off;
        self.back_off = (self.back_off * 2).min(longest);
        while clock::now() < until && self.is_wanted(standing) {
            self.control.pause(Duration::from_millis(u64::from(STEP_MS)));
        }
    }
}
