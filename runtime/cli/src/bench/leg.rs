//! One measurement: processes that are started, told to begin at once, and heard to their end.

use super::bare::{self, Order};
use super::figures::Figures;
use super::report::{Latencies, Report};
use crate::failure::Failure;
use gpumux_wire::packet;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Who is measured, by how many, and how.
#[derive(Clone, Debug)]
pub(super) struct Leg {
    /// Processes.
    pub(super) peers: u32,
    /// Requests that each has in flight.
    pub(super) in_flight: u32,
    /// They look for their replies and never sleep.
    pub(super) polls: bool,
    /// The core of all peers; any when absent.
    pub(super) peer_core: Option<usize>,
    pub(super) warm_up: Duration,
    pub(super) measure: Duration,
    pub(super) path: Path,
}

/// Which way a request goes.
#[derive(Clone, Debug)]
pub(super) enum Path {
    /// Through a daemon.
    Daemon { socket: PathBuf, function: &'static str, bytes: u32 },
    /// Between two ends of a ring.
    PingPong { answerer_core: Option<usize>, spin: humantime::Duration },
}

/// A process of the measurement. Dropping it kills it.
struct Process {
    child: Child,
    /// Orders go in here.
    orders: OwnedFd,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Leg {
    /// Measures once.
    ///
    /// # Errors
    /// [`Failure::Process`] when one of the processes ended before its time; it has said why.
    pub(super) async fn run(&self) -> Result<Figures, Failure> {
        let mut peers = Vec::new();
        for _ in 0..self.peers {
            peers.push(Process::start(&self.peer_arguments())?);
        }
        let mut answerer = self.start_answerer(&peers)?;
        for process in peers.iter_mut().chain(&mut answerer) {
            if process.line().await? != "ready" {
                return Err(Failure::process("a process did not say `ready`"));
            }
        }
        for peer in &peers {
            peer.order(Order::Begin)?;
        }
        let mut latencies = Latencies::new();
        let mut requests_per_s = 0.0;
        for peer in &mut peers {
            let report: Report =
                serde_json::from_str(&peer.line().await?).map_err(Failure::process)?;
            requests_per_s += rate(&report);
            latencies.merge(&report);
        }
        for peer in peers {
            peer.end().await?;
        }
        if let Some(answerer) = answerer {
            answerer.end().await?;
        }
        Ok(Figures::new(&latencies, requests_per_s))
    }

    fn peer_arguments(&self) -> Vec<OsString> {
        let warm_up = humantime::format_duration(self.warm_up);
        let measure = humantime::format_duration(self.measure);
        let mut arguments: Vec<OsString> = vec![
            "peer".into(),
            format!("--warm-up={warm_up}").into(),
            format!("--measure={measure}").into(),
            format!("--in-flight={}", self.in_flight).into(),
        ];
        if self.polls {
            arguments.push("--polls".into());
        }
        arguments.extend(self.peer_core.map(|core| format!("--core={core}").into()));
        if let Path::Daemon { socket, function, bytes } = &self.path {
            arguments.extend(["--socket".into(), socket.into()]);
            arguments.extend(
                [format!("--function={function}"), format!("--bytes={bytes}")].map(OsString::from),
            );
        }
        arguments
    }

    /// Connects the peers to a process that answers them, where no daemon does.
    fn start_answerer(&self, peers: &[Process]) -> Result<Option<Process>, Failure> {
        let Path::PingPong { answerer_core, spin } = &self.path else { return Ok(None) };
        let mut arguments = vec!["answerer".into(), format!("--spin={spin}").into()];
        arguments.extend(answerer_core.map(|core| format!("--core={core}").into()));
        let answerer = Process::start(&arguments)?;
        for peer in peers {
            let (asker, end) = bare::channel()?;
            asker.give(&peer.orders)?;
            end.give(&answerer.orders)?;
        }
        answerer.order(Order::Begin)?;
        Ok(Some(answerer))
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts and nanoseconds of seconds fit 53 bits")]
fn rate(report: &Report) -> f64 {
    report.requests() as f64 / (report.elapsed_ns as f64 / 1e9)
}

impl Process {
    fn start(arguments: &[OsString]) -> Result<Self, Failure> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("bench")
            .args(arguments)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().expect("it was piped");
        Ok(Self { child, orders: ours, lines: BufReader::new(stdout).lines() })
    }

    fn order(&self, order: Order) -> Result<(), Failure> {
        packet::send(&self.orders, &order, &[]).map_err(Failure::process)
    }

    async fn line(&mut self) -> Result<String, Failure> {
        let line = self.lines.next_line().await?;
        line.ok_or_else(|| Failure::process("a process of the measurement ended early"))
    }

    /// Closes its orders, which ends it, and waits for that.
    async fn end(mut self) -> Result<(), Failure> {
        drop(self.orders);
        let status = self.child.wait().await?;
        if status.success() {
            Ok(())
        } else {
            Err(Failure::process(format!("a process of the measurement ended with {status}")))
        }
    }
}
