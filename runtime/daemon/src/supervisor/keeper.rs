//! The task that keeps a device's worker alive and carries messages to and from it.
//!
//! When a worker dies, what it had accepted is judged by the ledgers (`judge`), and the next worker
//! gets the channels and runs what is open again.

use super::channels::Channels;
use super::devices::Found;
use super::emulated::DriverPlace;
use super::history::History;
use super::judge::{Cause, judge};
use super::packets::Packets;
use super::process::{END_LIMIT, End, Process};
use super::quarantine::Quarantine;
use super::registry::Registry;
use super::replacement::{Replacement, Turn, part};
use super::watchdog::Promise;
use super::worker::{Known, Question};
use super::{Served, SupervisorError};
use crate::clock::Clock;
use crate::link::{FromWorker, ToWorker};
use crate::options::SupervisorOptions;
use gpumux_wire::packet::PacketError;
use gpumux_wire::signature::Signature;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

/// Between a worker's death and the next start, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How often a worker is asked whether it lives.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// How late a keeper may be with what it does at once, on a host with other things to do.
const LATE: Duration = Duration::from_secs(10);
/// What is said of a device whose worker cannot be ended.
const LOST: &str =
    "its device is lost: the kernel does not end its worker; the host may need a restart";

/// See the file's head.
#[derive(Debug)]
pub(super) struct Keeper {
    program: PathBuf,
    pub(super) options: SupervisorOptions,
    pub(super) functions: Vec<Served>,
    /// What they take and give, as the last worker that served said.
    signatures: HashMap<String, Signature>,
    /// On the way to other functions.
    pub(super) turn: Turn,
    pub(super) registry: Arc<Registry>,
    pub(super) channels: Channels,
    pub(super) quarantine: Quarantine,
    pub(super) history: History,
    /// What its workers open.
    pub(super) found: Found,
    /// Workers started so far.
    incarnation: u32,
    pub(super) deaths: u32,
    back_off: Duration,
    /// By when this task is heard of again.
    promise: Promise,
    /// Those who wait for the first worker.
    pub(super) awaiting: Vec<oneshot::Sender<Result<(), String>>>,
    /// Those who wait until everything that was admitted has ended.
    pub(super) drains: Vec<oneshot::Sender<()>>,
    /// Those who wait until a function is served again, with its name.
    pub(super) clears: Vec<(String, oneshot::Sender<()>)>,
    /// What is said of the device when its worker says nothing.
    known: Known,
}

/// Why a worker is served no longer.
#[derive(Debug)]
enum Ended {
    /// It said that it could not go on.
    Unfit(String),
    /// It does not answer.
    Silent(String),
    /// It died, or its socket did.
    Died(String),
    /// Another is to load other functions.
    Replaced,
    /// The supervisor has no more use for it.
    Stopped(Option<oneshot::Sender<()>>),
}

impl Keeper {
    pub(super) fn new(
        options: SupervisorOptions,
        found: Found,
        functions: Vec<Served>,
        (registry, known): (Arc<Registry>, Known),
    ) -> Result<Self, SupervisorError> {
        let keeper = Self {
            program: std::env::current_exe()?,
            quarantine: Quarantine::new(options.fault_window.into()),
            options,
            functions,
            signatures: HashMap::new(),
            turn: Turn::None,
            registry,
            channels: Channels::default(),
            history: History::default(),
            found,
            incarnation: 0,
            deaths: 0,
            back_off: BACK_OFF.0,
            promise: Promise::new(),
            awaiting: Vec::new(),
            drains: Vec::new(),
            clears: Vec::new(),
            known,
        };
        keeper.known.set(keeper.report("starting", None));
        Ok(keeper)
    }

    /// Where this task says by when it is heard of again.
    pub(super) fn promise(&self) -> Promise {
        self.promise.clone()
    }

    /// Keeps a worker alive until it is told to stop.
    pub(super) async fn keep(mut self, mut inbox: mpsc::UnboundedReceiver<Question>) {
        loop {
            self.take_turn();
            let (why, cause) = match self.spawn() {
                Ok(mut worker) => {
                    let ended = self.serve(&mut worker, &mut inbox).await;
                    self.promise.within(2 * END_LIMIT + LATE);
                    // One that is stopped, replaced, or has died may come to its end by itself.
                    let gently = match ended {
                        Ended::Stopped(_) | Ended::Died(_) => true,
                        Ended::Unfit(_) | Ended::Silent(_) => false,
                        // One that still loads has nothing to finish.
                        Ended::Replaced => worker.ready,
                    };
                    if gently && matches!(ended, Ended::Replaced) {
                        for message in worker.finish().await {
                            self.hear(&mut worker, message);
                        }
                    }
                    let end = worker.end(gently).await;
                    let cause = match end {
                        End::Ended(status) => {
                            info!(%status, "the worker ended");
                            Cause::of(status)
                        }
                        End::Stuck(_) if matches!(ended, Ended::Stopped(_)) => {
                            warn!("the worker cannot be ended and is left behind");
                            Cause::Outside
                        }
                        End::Stuck(child) => {
                            if self.be_lost(*child, &mut inbox).await {
                                return;
                            }
                            Cause::Fault
                        }
                    };
                    match ended {
                        Ended::Stopped(answer) => {
                            self.promise.nothing();
                            answer.into_iter().for_each(tell);
                            return;
                        }
                        Ended::Replaced => {
                            self.settle(Cause::Outside);
                            continue;
                        }
                        Ended::Unfit(why) | Ended::Silent(why) => (why, Cause::Fault),
                        Ended::Died(why) => (why, cause),
                    }
                }
                Err(error) => (format!("it could not be started: {error}"), Cause::Outside),
            };
            if self.turn.fail(&mut self.functions, &why) {
                let device = self.found.ordinal;
                warn!(device, %why, "the new functions cannot be served: those before are again");
                self.settle(cause);
                continue;
            }
            self.bury(&why, cause);
            if self.wait(&mut inbox).await {
                return;
            }
        }
    }

    /// Has the next worker load other functions, if some wait.
    fn take_turn(&mut self) {
        let Some(others) = self.turn.advance(&mut self.functions) else { return };
        info!(device = self.found.ordinal, functions = ?others, "a worker loads other functions");
        // What they did was done by others of their names.
        for name in &others {
            self.quarantine.clear(name);
        }
    }

    /// Decides what becomes of what a worker had accepted that died.
    fn bury(&mut self, why: &str, cause: Cause) {
        self.deaths += 1;
        warn!(device = self.found.ordinal, deaths = self.deaths, %why, ?cause, "the worker died");
        for waiting in self.awaiting.drain(..) {
            let _gone = waiting.send(Err(why.to_owned()));
        }
        self.settle(cause);
    }

    /// There is no worker: what the last one had accepted is the next one's.
    fn settle(&mut self, cause: Cause) {
        self.history.bury();
        self.channels.are_left();
        // The next worker is told of it with what it loads.
        self.clears.drain(..).for_each(|(_, answer)| tell(answer));
        for function in judge(self.channels.ledgers(), cause) {
            self.quarantine.convict(Clock.now(), &function);
        }
        self.known.set(self.report("starting", None));
    }

    fn spawn(&mut self) -> std::io::Result<Process> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        // The worker's end blocks, ours does not: a flag of the open file that only ours carries.
        let nonblocking = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&ours, nonblocking)?;
        let Found { choice, ordinal, partitions, .. } = self.found;
        let mut command =
            DriverPlace::from(&self.options).command(&self.program, self.found.choice)?;
        command
            .args(self.options.worker.arguments(choice, ordinal, partitions))
            .arg("--lock")
            .arg(self.options.device_lock(self.found.choice, self.found.ordinal))
            // An interrupt at the terminal reaches this process, which drains, and not the worker.
            .process_group(0)
            .stdin(Stdio::from(theirs))
            .kill_on_drop(true);
        let child = command.spawn()?;
        info!(device = self.found.ordinal, pid = child.id(), "worker started");
        let mut worker = Process::new(child, Packets::new(ours)?);
        self.incarnation += 1;
        for message in self.orders() {
            worker.tell(message);
        }
        worker.tell(ToWorker::Start { incarnation: self.incarnation });
        Ok(worker)
    }

    /// What a worker is to load, in the order of demand.
    fn orders(&self) -> impl Iterator<Item = ToWorker> + use<> {
        let demand = self.channels.demand();
        let mut functions: Vec<&Served> = self.functions.iter().collect();
        functions.sort_by_key(|served| Reverse(demand.get(served.function.name.as_str()).copied()));
        let load = |served: &Served| ToWorker::Load {
            name: served.function.name.clone(),
            config: Box::new(served.function.config.clone()),
            plan: served.plan.clone(),
            quarantined: self.quarantine.reason(&served.function.name).is_some(),
        };
        functions.into_iter().map(load).collect::<Vec<_>>().into_iter()
    }

    async fn serve(
        &mut self,
        worker: &mut Process,
        inbox: &mut mpsc::UnboundedReceiver<Question>,
    ) -> Ended {
        let mut tick = interval(PING_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.turn.is_due(Clock.now()) && !self.registry.is_draining() {
                return Ended::Replaced;
            }
            tokio::select! {
                sent = worker.send(&self.channels), if worker.has_mail() => match sent {
                    Ok(()) => worker.sent(),
                    Err(error) => return worker.died(&error),
                },
                received = worker.receive() => match received {
                    Ok(message) => self.hear(worker, message),
                    Err(error) => return worker.died(&error),
                },
                _ = tick.tick() => {
                    self.promise.within(PING_INTERVAL + LATE);
                    if worker.ready {
                        worker.sample();
                    }
                    let silent = if worker.ready { worker.ping() } else { Duration::ZERO };
                    if silent > *self.options.worker.hang_limit {
                        return Ended::Silent(format!("it has not answered for {silent:?}"));
                    }
                },
                question = inbox.recv() => match question {
                    None => return Ended::Stopped(None),
                    Some(Question::Stop(answer)) => return Ended::Stopped(Some(answer)),
                    Some(question) if worker.ready => self.ask(worker, question),
                    Some(question) => self.answer_without_worker(question, worker.child.id()),
                },
            }
        }
    }

    /// Takes what the worker says.
    fn hear(&mut self, worker: &mut Process, message: FromWorker) {
        match message {
            FromWorker::Loaded { name, signature } => {
                worker.signatures.insert(name, signature);
            }
            FromWorker::Ready => self.hand_over(worker),
            FromWorker::Unfit { what } => worker.unfit = Some(what),
            FromWorker::Attached { attachment } => {
                let Some(kept) = self.channels.get_mut(attachment) else { return };
                if let Some(answer) = kept.answer.take() {
                    let signature = worker.signatures.get(&kept.function).cloned();
                    let _gone = answer.send(signature.ok_or("it is not loaded".to_owned()));
                }
            }
            FromWorker::NotAttached { attachment, what } => self.channels.refuse(attachment, what),
            FromWorker::Violation { attachment, what } => self.registry.violated(attachment, what),
            FromWorker::Pong => worker.pinged = None,
            FromWorker::Cleared { function } => {
                let cleared = self.clears.extract_if(.., |(name, _)| *name == function);
                cleared.for_each(|(_, answer)| tell(answer));
            }
            FromWorker::FunctionReport(status) => worker.reported.push(*status),
            FromWorker::DeviceReport(status) => {
                let functions = std::mem::take(&mut worker.reported);
                self.history.hear(Clock.now(), &functions, &status);
                let report = self.complete(functions, status);
                self.known.set(report.clone());
                if let Some(Some(answer)) = worker.reports.pop_front() {
                    let _gone = answer.send(report);
                }
            }
            FromWorker::Retired => self.turn.retired(),
            FromWorker::Left { attachment } => self.channels.left(attachment),
            FromWorker::Drained => self.drains.drain(..).for_each(tell),
        }
    }

    /// A worker is ready: it gets every channel, and runs again what is open in them.
    fn hand_over(&mut self, worker: &mut Process) {
        worker.ready = true;
        self.back_off = BACK_OFF.0;
        info!(device = self.found.ordinal, functions = worker.signatures.len(), "worker ready");
        part(&mut self.channels, &self.signatures, &worker.signatures);
        self.signatures.clone_from(&worker.signatures);
        self.turn.succeed();
        self.channels.names().for_each(|name| worker.attach(name, true));
        worker.tell(ToWorker::Resume);
        if !self.drains.is_empty() {
            worker.tell(ToWorker::Drain);
        }
        for waiting in self.awaiting.drain(..) {
            let _gone = waiting.send(Ok(()));
        }
    }

    /// Waits before the next start and answers meanwhile. Says whether to stop.
    async fn wait(&mut self, inbox: &mut mpsc::UnboundedReceiver<Question>) -> bool {
        let (_, longest) = BACK_OFF;
        self.promise.within(self.back_off + LATE);
        let pause = tokio::time::sleep(self.back_off);
        self.back_off = (self.back_off * 2).min(longest);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return false,
                question = inbox.recv() => match question {
                    None => return true,
                    Some(Question::Stop(answer)) => {
                        self.promise.nothing();
                        let _gone = answer.send(());
                        return true;
                    }
                    Some(question) => self.answer_without_worker(question, None),
                },
            }
        }
    }

    /// The device is lost while its worker cannot be ended: everything is refused. Says whether to
    /// stop; otherwise the worker has ended after all.
    async fn be_lost(
        &mut self,
        mut child: Child,
        inbox: &mut mpsc::UnboundedReceiver<Question>,
    ) -> bool {
        error!(
            device = self.found.ordinal,
            pid = child.id(),
            "the worker cannot be ended: the device is lost"
        );
        self.promise.nothing();
        self.channels.give_up(LOST);
        self.turn.give_up(&mut self.functions, LOST);
        self.drains.drain(..).for_each(tell);
        self.clears.drain(..).for_each(|(_, answer)| tell(answer));
        loop {
            tokio::select! {
                _ended = child.wait() => return false,
                question = inbox.recv() => match question {
                    None => return true,
                    Some(Question::Stop(answer)) => {
                        let _gone = answer.send(());
                        return true;
                    }
                    Some(Question::Attach(attaching)) => {
                        let _gone = attaching.answer.send(Err(LOST.to_owned()));
                    }
                    Some(Question::Report(answer)) => {
                        let _gone = answer.send(self.report("lost", child.id()));
                    }
                    Some(Question::Replace(Replacement { verdict, .. })) => {
                        let _gone = verdict.send(Err(LOST.to_owned()));
                    }
                    Some(question) => self.answer_without_worker(question, child.id()),
                },
            }
        }
    }
}

impl Process {
    fn died(&mut self, error: &PacketError) -> Ended {
        match self.unfit.take() {
            Some(what) => Ended::Unfit(what),
            None => Ended::Died(error.to_string()),
        }
    }
}

/// Answers somebody who may have stopped waiting.
pub(super) fn tell(answer: oneshot::Sender<()>) {
    let _gone = answer.send(());
}
