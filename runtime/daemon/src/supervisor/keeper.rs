//! The task that keeps a worker process alive and carries messages to and from it.

use super::emulated::DriverPlace;
use super::packets::Packets;
use super::registry::Registry;
use super::worker::{Question, Report};
use super::{Served, SupervisorError};
use crate::link::{Attachment, FromWorker, ToWorker};
use crate::options::{DeviceChoice, DeviceRequest, SupervisorOptions};
use gpumux_wire::packet::PacketError;
use gpumux_wire::signature::Signature;
use gpumux_wire::status::{DeviceStatus, FunctionStatus, OutcomeCounts, Quantiles};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

/// Between a worker's death and the next start, at first and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How long a worker may take to end after it was asked to.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// See the file's head.
#[derive(Debug)]
pub(super) struct Keeper {
    program: PathBuf,
    options: SupervisorOptions,
    functions: Vec<Served>,
    registry: Arc<Registry>,
    /// What the next worker opens.
    device: DeviceChoice,
    deaths: u32,
    back_off: Duration,
    /// Those who wait for the first worker.
    awaiting: Vec<oneshot::Sender<Result<(), String>>>,
}

/// A live worker.
#[derive(Debug)]
struct Running {
    child: Child,
    packets: Packets,
    /// Messages on their way out, with what travels beside them. They are sent while messages are
    /// received, so that two full sockets never wait for each other.
    outbox: VecDeque<(ToWorker, Vec<OwnedFd>)>,
    ready: bool,
    signatures: HashMap<String, Signature>,
    attaching: HashMap<Attachment, Attaching>,
    reports: VecDeque<oneshot::Sender<Report>>,
    /// Functions of the report that is arriving.
    reported: Vec<FunctionStatus>,
    drains: Vec<oneshot::Sender<()>>,
    /// What it said when it could not go on, and whether for want of a device.
    unfit: Option<(String, bool)>,
}

#[derive(Debug)]
struct Attaching {
    function: String,
    answer: oneshot::Sender<Result<Signature, String>>,
}

/// Why a worker is served no longer.
#[derive(Debug)]
enum Ended {
    /// It died, or its socket did.
    Died(String),
    /// The machine has no device of the kind that it was to open.
    NoDevice(String),
    /// The supervisor has no more use for it.
    Stopped(Option<oneshot::Sender<()>>),
}

impl Keeper {
    pub(super) fn new(
        options: SupervisorOptions,
        functions: Vec<Served>,
        registry: Arc<Registry>,
    ) -> Result<Self, SupervisorError> {
        let program = std::env::current_exe()?;
        let (back_off, _) = BACK_OFF;
        let device = options.device.first_choice();
        let (deaths, awaiting) = (0, Vec::new());
        Ok(Self { program, options, functions, registry, device, deaths, back_off, awaiting })
    }

    /// Keeps a worker alive until it is told to stop.
    pub(super) async fn keep(mut self, mut inbox: mpsc::UnboundedReceiver<Question>) {
        loop {
            let ended = match self.spawn() {
                Ok(mut worker) => {
                    let ended = self.serve(&mut worker, &mut inbox).await;
                    end(worker).await;
                    ended
                }
                Err(error) => Ended::Died(format!("it could not be started: {error}")),
            };
            match ended {
                Ended::Stopped(answer) => {
                    if let Some(answer) = answer {
                        let _gone = answer.send(());
                    }
                    return;
                }
                Ended::NoDevice(why) if self.falls_back() => {
                    warn!(%why, "no GPU here: the device is emulated, as `--device auto` asks for");
                    self.device = DeviceChoice::Emulated;
                }
                Ended::NoDevice(why) | Ended::Died(why) => {
                    self.deaths += 1;
                    warn!(deaths = self.deaths, %why, "the worker died");
                    for waiting in self.awaiting.drain(..) {
                        let _gone = waiting.send(Err(why.clone()));
                    }
                    if self.wait(&mut inbox).await {
                        return;
                    }
                }
            }
        }
    }

    fn falls_back(&self) -> bool {
        self.options.device == DeviceRequest::Auto && self.device == DeviceChoice::Cuda
    }

    fn spawn(&self) -> std::io::Result<Running> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        // The worker's end blocks, ours does not: a flag of the open file that only ours carries.
        let nonblocking = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&ours, nonblocking)?;
        let mut command = DriverPlace::from(&self.options).command(&self.program, self.device)?;
        command
            .args(self.options.worker.arguments(self.device))
            .stdin(Stdio::from(theirs))
            .kill_on_drop(true);
        let child = command.spawn()?;
        let load = |served: &Served| {
            let name = served.function.name.clone();
            let config = Box::new(served.function.config.clone());
            (ToWorker::Load { name, config, plan: served.plan.clone() }, Vec::new())
        };
        let mut outbox: VecDeque<_> = self.functions.iter().map(load).collect();
        outbox.push_back((ToWorker::Start, Vec::new()));
        info!(pid = child.id(), "worker started");
        Ok(Running {
            child,
            packets: Packets::new(ours)?,
            outbox,
            ready: false,
            signatures: HashMap::new(),
            attaching: HashMap::new(),
            reports: VecDeque::new(),
            reported: Vec::new(),
            drains: Vec::new(),
            unfit: None,
        })
    }

    async fn serve(
        &mut self,
        worker: &mut Running,
        inbox: &mut mpsc::UnboundedReceiver<Question>,
    ) -> Ended {
        loop {
            tokio::select! {
                sent = worker.send_one(), if !worker.outbox.is_empty() => match sent {
                    Ok(()) => drop(worker.outbox.pop_front()),
                    Err(error) => return worker.died(&error),
                },
                received = worker.packets.receive::<FromWorker>(0) => match received {
                    Ok((message, _)) => self.hear(worker, message),
                    Err(error) => return worker.died(&error),
                },
                question = inbox.recv() => match question {
                    None => return Ended::Stopped(None),
                    Some(Question::Stop(answer)) => return Ended::Stopped(Some(answer)),
                    Some(Question::Ready(answer)) if worker.ready => {
                        let _gone = answer.send(Ok(()));
                    }
                    Some(Question::Ready(answer)) => self.awaiting.push(answer),
                    Some(Question::Report(answer)) if !worker.ready => {
                        let _gone = answer.send(self.report_without_worker("starting", worker.child.id()));
                    }
                    Some(question) => worker.ask(question),
                },
            }
        }
    }

    /// Takes what the worker says.
    fn hear(&mut self, worker: &mut Running, message: FromWorker) {
        match message {
            FromWorker::Loaded { name, signature } => {
                worker.signatures.insert(name, signature);
            }
            FromWorker::Ready => {
                worker.ready = true;
                self.back_off = BACK_OFF.0;
                info!(functions = worker.signatures.len(), "worker ready");
                for waiting in self.awaiting.drain(..) {
                    let _gone = waiting.send(Ok(()));
                }
            }
            FromWorker::Unfit { what, no_device } => worker.unfit = Some((what, no_device)),
            FromWorker::Attached { attachment } => {
                if let Some(Attaching { function, answer }) = worker.attaching.remove(&attachment) {
                    let signature = worker.signatures.get(&function).cloned();
                    let _gone = answer.send(signature.ok_or("it is not loaded".to_owned()));
                }
            }
            FromWorker::NotAttached { attachment, what } => {
                if let Some(Attaching { answer, .. }) = worker.attaching.remove(&attachment) {
                    let _gone = answer.send(Err(what));
                }
            }
            FromWorker::Violation { attachment, what } => self.registry.violated(attachment, what),
            FromWorker::FunctionReport(status) => worker.reported.push(status),
            FromWorker::DeviceReport(mut status) => {
                status.worker_restarts = self.deaths;
                if self.registry.is_draining() {
                    status.state = "draining".to_owned();
                }
                let functions = std::mem::take(&mut worker.reported);
                if let Some(answer) = worker.reports.pop_front() {
                    let _gone = answer.send((functions, status));
                }
            }
            FromWorker::Drained => {
                for answer in worker.drains.drain(..) {
                    let _gone = answer.send(());
                }
            }
        }
    }

    /// Waits before the next start and answers meanwhile. Says whether to stop.
    async fn wait(&mut self, inbox: &mut mpsc::UnboundedReceiver<Question>) -> bool {
        let (_, longest) = BACK_OFF;
        let pause = tokio::time::sleep(self.back_off);
        self.back_off = (self.back_off * 2).min(longest);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                () = &mut pause => return false,
                question = inbox.recv() => match question {
                    None => return true,
                    Some(Question::Stop(answer)) => {
                        let _gone = answer.send(());
                        return true;
                    }
                    Some(Question::Ready(answer)) => self.awaiting.push(answer),
                    Some(Question::Attach { answer, .. }) => {
                        let _gone = answer.send(Err(STARTING.to_owned()));
                    }
                    Some(Question::Detach(_)) => (),
                    Some(Question::Report(answer)) => {
                        let _gone = answer.send(self.report_without_worker("starting", None));
                    }
                    // What the dead worker had admitted has ended with it.
                    Some(Question::Drain(answer)) => {
                        let _gone = answer.send(());
                    }
                },
            }
        }
    }

    fn report_without_worker(&self, state: &str, pid: Option<u32>) -> Report {
        let function = |served: &Served| FunctionStatus {
            name: served.function.name.clone(),
            model: served.function.config.model.clone().into(),
            objective: served.function.config.service.objective.map(String::from),
            signature: None,
            channels: 0,
            queued: 0,
            arrived: 0,
            outcomes: OutcomeCounts::default(),
            refusals: Vec::new(),
            batches: 0,
            padding_share: 0.0,
            latency_us: Quantiles::default(),
        };
        (self.functions.iter().map(function).collect(), absent_device(state, self.deaths, pid))
    }
}

const STARTING: &str = "its device's worker is starting: try again in a moment";

impl Running {
    async fn send_one(&self) -> Result<(), PacketError> {
        let Some((message, descriptors)) = self.outbox.front() else { return Ok(()) };
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        self.packets.send(message, &descriptors).await
    }

    fn ask(&mut self, question: Question) {
        match question {
            Question::Attach { answer, .. } if !self.ready => {
                let _gone = answer.send(Err(STARTING.to_owned()));
            }
            Question::Attach { attachment, function, size, memory, wake, answer } => {
                self.attaching.insert(attachment, Attaching { function: function.clone(), answer });
                let message = ToWorker::Attach { attachment, function, size };
                self.outbox.push_back((message, vec![memory, wake]));
            }
            Question::Detach(attachment) => {
                self.outbox.push_back((ToWorker::Detach { attachment }, Vec::new()));
            }
            Question::Report(answer) => {
                self.reports.push_back(answer);
                self.outbox.push_back((ToWorker::Report, Vec::new()));
            }
            Question::Drain(answer) => {
                self.drains.push(answer);
                self.outbox.push_back((ToWorker::Drain, Vec::new()));
            }
            Question::Ready(_) | Question::Stop(_) => unreachable!("the keeper answers these"),
        }
    }

    fn died(&mut self, error: &PacketError) -> Ended {
        match self.unfit.take() {
            Some((what, true)) => Ended::NoDevice(what),
            Some((what, false)) => Ended::Died(what),
            None => Ended::Died(error.to_string()),
        }
    }
}

/// Closes a worker's socket, which ends it, and makes sure that it has ended.
async fn end(worker: Running) {
    let Running { mut child, packets, outbox, .. } = worker;
    drop((packets, outbox));
    match tokio::time::timeout(STOP_LIMIT, child.wait()).await {
        Ok(Ok(status)) => info!(%status, "the worker ended"),
        Ok(Err(error)) => warn!(%error, "the worker could not be awaited"),
        Err(_) => {
            warn!("the worker did not end in time and is killed");
            if let Err(error) = child.kill().await {
                warn!(%error, "the worker could not be killed");
            }
        }
    }
}

/// A device whose worker says nothing.
pub(super) fn absent_device(state: &str, restarts: u32, pid: Option<u32>) -> DeviceStatus {
    DeviceStatus {
        name: "unknown".to_owned(),
        emulated: false,
        sms: 0,
        memory_bytes: 0,
        state: state.to_owned(),
        worker_pid: pid,
        worker_restarts: restarts,
        lanes: Vec::new(),
        policy: String::new(),
        partitions: String::new(),
    }
}
