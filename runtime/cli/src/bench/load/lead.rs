//! Starts the peers of a plan, has them begin together, and hears them to their end.

use super::peer::{News, Order};
use super::plan::Plan;
use super::tally::{Report, Tally};
use crate::clock;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use gpumux_wire::packet;
use indicatif::{ProgressBar, ProgressStyle};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

/// From the order to the beginning, so that all have it in time.
const AHEAD: Duration = Duration::from_millis(20);

/// What was measured, and which peers could not go on.
pub(super) struct Run {
    pub(super) tally: Tally,
    pub(super) failures: Vec<String>,
    /// Whether it was ended before its time.
    pub(super) interrupted: bool,
}

/// A peer's process. Dropping it kills it.
struct Process {
    child: Child,
    orders: OwnedFd,
}

/// What is heard of the peer of this number; nothing any more when its output has ended.
type Heard = (usize, Option<News>);

/// What has been heard so far.
struct Hearing {
    heard: mpsc::UnboundedReceiver<Heard>,
    reports: Vec<Option<Report>>,
    /// (sent, ended) of each peer.
    progress: Vec<(u64, u64)>,
    ready: usize,
    silent: usize,
}

/// Makes the run. The first interrupt ends arrivals, the second everything.
///
/// # Errors
/// [`Failure`]: peers that do not start, or two interrupts.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn run(plan: &Plan) -> Result<Run, Failure> {
    let mut interrupt = Interrupt::listen()?;
    let (tell, heard) = mpsc::unbounded_channel();
    let mut processes = Vec::new();
    let text = serde_json::to_string(plan).map_err(Failure::process)?;
    for index in 0..plan.peers {
        processes.push(Process::start(index, &text, &tell)?);
    }
    drop(tell);
    let mut hearing = Hearing {
        heard,
        reports: processes.iter().map(|_| None).collect(),
        progress: vec![(0, 0); processes.len()],
        ready: 0,
        silent: 0,
    };
    while hearing.ready < processes.len() {
        tokio::select! {
            () = hearing.next() => (),
            () = interrupt.next() => return Err(Failure::Interrupted),
        }
        if hearing.silent > 0 {
            return Err(Failure::process("a peer ended before it began; it has said why"));
        }
    }
    let at = clock::since_boot()?.saturating_add(AHEAD);
    for process in &processes {
        process.order(Order::Begin { at })?;
    }
    let bar = bar();
    let mut interrupted = false;
    while hearing.silent < processes.len() {
        tokio::select! {
            () = hearing.next() => bar.set_message(hearing.message()),
            () = interrupt.next() => {
                if interrupted {
                    return Err(Failure::Interrupted);
                }
                interrupted = true;
                for process in &processes {
                    // One that has ended needs no order.
                    let _gone = process.order(Order::Stop);
                }
            }
        }
    }
    bar.finish_and_clear();
    for process in &mut processes {
        process.child.wait().await?;
    }
    Ok(hearing.run(interrupted))
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} {elapsed} {msg}").expect("a template of this file"),
    );
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

impl Hearing {
    async fn next(&mut self) {
        match self.heard.recv().await {
            Some((_, Some(News::Ready))) => self.ready += 1,
            Some((peer, Some(News::Progress { sent, ended }))) => {
                self.progress[peer] = (sent, ended);
            }
            Some((peer, Some(News::Over(report)))) => self.reports[peer] = Some(*report),
            Some((_, None)) => self.silent += 1,
            // Nobody is left who could say anything.
            None => self.silent = self.reports.len(),
        }
    }

    fn message(&self) -> String {
        let sum = |of: fn(&(u64, u64)) -> u64| self.progress.iter().map(of).sum::<u64>();
        let (sent, ended) = (sum(|it| it.0), sum(|it| it.1));
        format!("{sent} requests sent, {ended} have ended")
    }

    fn run(self, interrupted: bool) -> Run {
        let mut tally = Tally::new();
        let mut failures = Vec::new();
        for (index, report) in self.reports.into_iter().enumerate() {
            match report {
                None => failures.push(format!("peer {index} ended without a report")),
                Some(report) => {
                    tally.merge(&report);
                    failures.extend(report.failure.map(|why| format!("peer {index}: {why}")));
                }
            }
        }
        Run { tally, failures, interrupted }
    }
}

impl Process {
    fn start(index: u32, plan: &str, tell: &mpsc::UnboundedSender<Heard>) -> Result<Self, Failure> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["bench", "load-peer", "--peer", &index.to_string(), "--plan", plan])
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::piped())
            // An interrupt of the terminal is for who leads.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().expect("it was piped");
        let (tell, place) = (tell.clone(), index as usize);
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                // Only a peer of another release says what cannot be understood.
                let Ok(news) = serde_json::from_str(&line) else { break };
                if tell.send((place, Some(news))).is_err() {
                    return;
                }
            }
            let _nobody_listens = tell.send((place, None));
        });
        Ok(Self { child, orders: ours })
    }

    fn order(&self, order: Order) -> Result<(), Failure> {
        packet::send(&self.orders, &order, &[]).map_err(Failure::process)
    }
}
