//! A peer that is a process: `gpumux-test-peer`, told what to do by arguments, heard line by line.

use crate::{Daemon, binary};
use nix::sys::signal::{Signal, kill};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A running peer.
#[derive(Debug)]
pub struct Peer {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts a peer that submits `requests` to a function, `in_flight` at a time; 0 goes on for
    /// ever.
    pub fn start(daemon: &Daemon, function: &str, requests: u64, in_flight: u32) -> Self {
        let mut process = Command::new(binary("gpumux-test-peer"))
            .arg(daemon.socket())
            .args([function, &requests.to_string(), &in_flight.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peer starts");
        let lines = BufReader::new(process.stdout.take().expect("it was piped"));
        Self { process, lines }
    }

    /// The next line that it writes.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a peer writes text");
        line.trim_end().to_owned()
    }

    /// Kills it, wherever it is.
    pub fn kill(&mut self) {
        kill(crate::daemon::pid(&self.process), Signal::SIGKILL).expect("it is our child");
        self.process.wait().expect("it is our child");
    }

    /// Waits for its end; says whether it was content.
    pub fn succeeded(&mut self) -> bool {
        self.process.wait().expect("it is our child").success()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // One that has ended already needs neither.
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}
