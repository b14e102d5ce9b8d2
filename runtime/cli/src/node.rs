//! A gpumuxd of this command's own: in a temporary folder, with a repository of its own, ended and
//! removed with the command.
//!
//! Its processes form a group of their own, so that a Ctrl-C at the terminal reaches this command
//! alone, which then ends them in order.

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgid};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use thiserror::Error;
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long it may take to finish and end before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// Lines of its log that an error shows.
const LOG_LINES: usize = 12;

/// Why there is no daemon to work with.
#[derive(Debug, Error)]
pub(crate) enum NodeError {
    /// No binary.
    #[error("gpumuxd is not beside this binary, at {}: build or install both", .0.display())]
    NoBinary(PathBuf),
    /// Its folder, its files or its process could not be made.
    #[error("gpumuxd could not be set up: {0}")]
    Setup(#[from] std::io::Error),
    /// It ended by itself.
    #[error("gpumuxd ended before it was ready ({status}). It said:\n{log}")]
    Ended {
        /// How.
        status: std::process::ExitStatus,
        /// The end of its log.
        log: String,
    },
}

/// A folder that will be a daemon's: its repository is filled before it is started.
#[derive(Debug)]
pub(crate) struct Plot {
    folder: TempDir,
}

/// A running daemon.
#[derive(Debug)]
pub(crate) struct Node {
    folder: TempDir,
    process: Child,
    notified: UnixDatagram,
}

impl Plot {
    /// A new folder in the system's place for temporary files.
    ///
    /// # Errors
    /// [`NodeError::Setup`].
    pub(crate) fn new() -> Result<Self, NodeError> {
        let folder = tempfile::Builder::new().prefix("gpumux-").tempdir()?;
        std::fs::create_dir(folder.path().join("models"))?;
        Ok(Self { folder })
    }

    /// Adds a function; returns its folder.
    ///
    /// # Errors
    /// [`NodeError::Setup`].
    pub(crate) fn add(&self, function: &str, text: &str) -> Result<PathBuf, NodeError> {
        let folder = self.folder.path().join("models").join(function);
        std::fs::create_dir(&folder)?;
        std::fs::write(folder.join("function.toml"), text)?;
        Ok(folder)
    }

    /// Starts the daemon; it is ready when [`Node::ready`] says so. Imported models are kept in
    /// `state`, or else go with the folder.
    ///
    /// # Errors
    /// [`NodeError`]: no binary, or no process.
    pub(crate) fn start(
        self,
        arguments: &[OsString],
        state: Option<&Path>,
    ) -> Result<Node, NodeError> {
        let folder = self.folder.path();
        let state = state.map_or_else(|| folder.join("state"), Path::to_owned);
        std::fs::create_dir_all(&state)?;
        let binary = beside("gpumuxd")?;
        let notify = folder.join("notify.sock");
        let notified = UnixDatagram::bind(&notify)?;
        let mut command = Command::new(&binary);
        command
            // The host's file is of the host's daemon.
            .args(["--config", "/dev/null"])
            .arg("--socket")
            .arg(folder.join("gpumuxd.sock"))
            .arg("--admin-socket")
            .arg(folder.join("admin.sock"))
            .arg("--models")
            .arg(folder.join("models"))
            .arg("--state")
            .arg(state)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("gpumuxd.log"))?)
            .process_group(0)
            .kill_on_drop(true);
        // What it does follows from the command line alone.
        for name in settings() {
            command.env_remove(name);
        }
        let process = command.env("NOTIFY_SOCKET", &notify).spawn()?;
        Ok(Node { folder: self.folder, process, notified })
    }
}

/// The variables of this process that would change how a daemon behaves.
fn settings() -> impl Iterator<Item = OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names.filter(|name| name.to_string_lossy().starts_with("GPUMUX_") && name != "GPUMUX_LOG")
}

/// The path of a binary that is installed with this one.
///
/// # Errors
/// [`NodeError`]: it is not there.
pub(crate) fn beside(name: &str) -> Result<PathBuf, NodeError> {
    let path = std::env::current_exe()?.with_file_name(name);
    if path.exists() { Ok(path) } else { Err(NodeError::NoBinary(path)) }
}

impl Node {
    /// Waits until the daemon serves.
    ///
    /// # Errors
    /// [`NodeError::Ended`] with what it said.
    pub(crate) async fn ready(&mut self) -> Result<(), NodeError> {
        let mut message = [0; 256];
        loop {
            tokio::select! {
                received = self.notified.recv(&mut message) => {
                    if message[..received?].starts_with(b"READY=1") {
                        return Ok(());
                    }
                }
                ended = self.process.wait() => {
                    return Err(NodeError::Ended { status: ended?, log: self.log() });
                }
            }
        }
    }

    /// The socket for peers.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("gpumuxd.sock")
    }

    /// The socket for operators.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.folder.path().join("admin.sock")
    }

    /// The supervisor and its workers: the group that [`Plot::start`] made.
    ///
    /// # Errors
    /// What the kernel says; or the daemon is gone.
    pub(crate) fn processes(&self) -> Result<Vec<Pid>, Failure> {
        let id = self.process.id().ok_or_else(|| Failure::process("gpumuxd has ended"))?;
        let group = Pid::from_raw(i32::try_from(id).map_err(Failure::process)?);
        let mut processes = Vec::new();
        for entry in std::fs::read_dir("/proc")? {
            let Some(Ok(id)) = entry?.file_name().to_str().map(str::parse) else { continue };
            let process = Pid::from_raw(id);
            // One that has ended meanwhile has no group.
            if getpgid(Some(process)) == Ok(group) {
                processes.push(process);
            }
        }
        Ok(processes)
    }

    /// Has the daemon finish and end, and removes its folder. One that takes too long, or whose end
    /// somebody will not wait for, is killed.
    ///
    /// # Errors
    /// What the kernel says; the processes have ended all the same.
    pub(crate) async fn stop(mut self, interrupt: &mut Interrupt) -> Result<(), Failure> {
        // One that has ended already has no id.
        let group = self.process.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        if let Some(group) = group {
            let _ended = kill(group, Signal::SIGTERM);
            let in_time = tokio::select! {
                ended = timeout(STOP_LIMIT, self.process.wait()) => ended.is_ok(),
                () = interrupt.next() => false,
            };
            if !in_time {
                // The worker is of the same group.
                let _ended = killpg(group, Signal::SIGKILL);
                self.process.wait().await?;
            }
        }
        Ok(self.folder.close()?)
    }

    /// The last lines of its log.
    fn log(&self) -> String {
        let path = self.folder.path().join("gpumuxd.log");
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| format!("(its log could not be read: {error})"));
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}
