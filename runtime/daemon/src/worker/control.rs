//! The worker's control thread: it speaks with the supervisor, maps channels, and reports.

use super::channel::Channel;
use super::commands::{Command, News, Queue};
use super::dispatch::CHANNELS_MAX;
use super::loading::Named;
use super::startup::{self, DispatchError, Ready, Setup};
use crate::clock::Clock;
use crate::link::{Attachment, FromWorker, ToWorker};
use crate::options::{DeviceChoice, WorkerOptions};
use crate::os::sigbus;
use gpumux_core::{FunctionId, Limits};
use gpumux_wire::channel::{Mapping, WorkerSide};
use gpumux_wire::geometry::{ChannelSize, Geometry};
use gpumux_wire::packet::{self, PacketError};
use gpumux_wire::status::{DeviceStatus, FunctionStatus, LaneStatus};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use thiserror::Error;

/// Open requests of a worker, all channels together.
const REQUESTS_MAX: u32 = 8192;
/// Whole-device lanes.
const LANES: u16 = 1;
/// Segments of a batch that may be outstanding.
const RUN_AHEAD: u32 = 2;
/// Descriptors beside a message of the supervisor: a memfd and a wake-up end.
const DESCRIPTORS_MAX: usize = 2;

/// Why a worker ended other than by request.
#[derive(Debug, Error)]
pub(crate) enum WorkerError {
    /// The supervisor's socket failed.
    #[error("the supervisor's socket: {0}")]
    Link(#[from] PacketError),
    /// A resource of the process is missing.
    #[error("the worker could not be set up: {0}")]
    Os(#[from] Errno),
    /// It was started by hand.
    #[error("a worker is started by gpumuxd, with its socket as standard input")]
    NotSpawned,
    /// The supervisor said something out of turn.
    #[error("the supervisor said {0} out of turn")]
    OutOfTurn(&'static str),
    /// The dispatch thread could not be started.
    #[error("the dispatch thread could not be started: {0}")]
    Spawn(String),
    /// The dispatch thread could not load or go on.
    #[error(transparent)]
    Dispatch(#[from] DispatchError),
    /// The dispatch thread ended where it should not.
    #[error("the dispatch thread ended by itself")]
    Ended,
}

impl WorkerError {
    fn is_absence_of_device(&self) -> bool {
        matches!(self, Self::Dispatch(DispatchError::NoGpu(error)) if error.is_absence())
    }
}

/// How a dispatch thread ended that did not get ready.
fn join(dispatch: JoinHandle<Result<(), DispatchError>>) -> WorkerError {
    match dispatch.join() {
        Ok(Err(error)) => error.into(),
        Ok(Ok(())) | Err(_) => WorkerError::Ended,
    }
}

/// Runs a worker until the supervisor closes its socket.
///
/// # Errors
/// [`WorkerError`]: the supervisor was told, where it still could be.
pub(crate) fn run(device: DeviceChoice, options: WorkerOptions) -> Result<(), WorkerError> {
    let socket =
        std::io::stdin().as_fd().try_clone_to_owned().map_err(|_| WorkerError::NotSpawned)?;
    let outcome = Worker::start(&socket, device, options).and_then(Worker::serve);
    if let Err(error) = &outcome {
        let (what, no_device) = (error.to_string(), error.is_absence_of_device());
        let _told = packet::send(&socket, &FromWorker::Unfit { what, no_device }, &[]);
    }
    outcome
}

struct Worker<'a> {
    socket: &'a OwnedFd,
    ready: Ready,
    commands: Arc<Queue<Command>>,
    news: Arc<Queue<News>>,
    dispatch: JoinHandle<Result<(), DispatchError>>,
    channels: usize,
    policy: String,
}

impl<'a> Worker<'a> {
    /// Has the dispatch thread load what the supervisor names, and waits until it is ready.
    fn start(
        socket: &'a OwnedFd,
        device: DeviceChoice,
        options: WorkerOptions,
    ) -> Result<Self, WorkerError> {
        sigbus::install()?;
        let commands = Arc::new(Queue::commands()?);
        let news = Arc::new(Queue::news()?);
        let setup = Setup {
            device,
            functions: hear_functions(socket)?,
            clock: Clock::start(),
            limits: Limits { requests: REQUESTS_MAX, lanes: LANES, run_ahead: RUN_AHEAD },
            policy: options.policy.clone(),
            spin: options.spin.into(),
            core: options.dispatch_core,
            commands: Arc::clone(&commands),
            news: Arc::clone(&news),
        };
        let (tell, told) = sync_channel(1);
        let bell = Arc::clone(&news);
        let builder = std::thread::Builder::new().name("dispatch".to_owned());
        let dispatch = builder
            .spawn(move || {
                let ended = startup::run(setup, &tell);
                bell.ring();
                ended
            })
            .map_err(|error| WorkerError::Spawn(error.to_string()))?;
        let Ok(ready) = told.recv() else { return Err(join(dispatch)) };
        for info in ready.infos.iter() {
            let (name, signature) = (info.name.clone(), info.signature.clone());
            packet::send(socket, &FromWorker::Loaded { name, signature }, &[])?;
        }
        packet::send(socket, &FromWorker::Ready, &[])?;
        let policy = options.policy;
        Ok(Self { socket, ready, commands, news, dispatch, channels: 0, policy })
    }

    fn serve(mut self) -> Result<(), WorkerError> {
        loop {
            let mut ends = [
                PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.news.bell(), PollFlags::POLLIN),
            ];
            match poll(&mut ends, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => (),
                Err(errno) => return Err(errno.into()),
            }
            let [supervisor, news] =
                ends.map(|end| end.revents().is_some_and(|events| !events.is_empty()));
            if news {
                self.news.quiet();
                self.take_news()?;
                if self.dispatch.is_finished() {
                    return self.stop();
                }
            }
            if supervisor && !self.listen()? {
                return self.stop();
            }
        }
    }

    /// Takes one message of the supervisor. Says whether it is still there.
    fn listen(&mut self) -> Result<bool, WorkerError> {
        let (message, descriptors) = match packet::receive(self.socket, DESCRIPTORS_MAX) {
            Err(PacketError::Closed) => return Ok(false),
            other => other?,
        };
        match message {
            ToWorker::Load { .. } => return Err(WorkerError::OutOfTurn("`load`")),
            ToWorker::Start => return Err(WorkerError::OutOfTurn("`start`")),
            ToWorker::Attach { attachment, function, size } => {
                let answer = match self.attach(attachment, &function, size, descriptors) {
                    Ok(channel) => {
                        self.command(Command::Attach(Box::new(channel)));
                        self.channels += 1;
                        FromWorker::Attached { attachment }
                    }
                    Err(what) => FromWorker::NotAttached { attachment, what },
                };
                packet::send(self.socket, &answer, &[])?;
            }
            ToWorker::Detach { attachment } => self.command(Command::Detach(attachment)),
            ToWorker::Drain => self.command(Command::Drain),
            ToWorker::Report => self.report()?,
        }
        Ok(true)
    }

    /// Maps a channel that the supervisor has vetted.
    fn attach(
        &self,
        attachment: Attachment,
        function: &str,
        size: ChannelSize,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Channel, String> {
        if self.channels >= CHANNELS_MAX {
            return Err(format!("the device's worker serves {CHANNELS_MAX} channels already"));
        }
        let place = self.ready.infos.iter().position(|loaded| loaded.name == function);
        let place = place.and_then(|place| u16::try_from(place).ok());
        let function = place.map(FunctionId).ok_or("the worker has not loaded it")?;
        let [memory, wake]: [OwnedFd; 2] =
            descriptors.try_into().map_err(|_| "its descriptors did not arrive")?;
        let geometry = Geometry::new(size).map_err(|error| error.to_string())?;
        let mapping = Mapping::new(&memory, geometry).map_err(|error| error.to_string())?;
        let watched = sigbus::watch(&mapping.addresses()).map_err(|full| full.to_string())?;
        Ok(Channel::new(attachment, function, (WorkerSide::new(&mapping), watched), wake))
    }

    /// Hands a command over. The dispatch thread takes some in every pass, so room comes.
    fn command(&self, command: Command) {
        let mut command = Some(command);
        while let Some(waiting) = command.take() {
            if let Err(refused) = self.commands.push(waiting) {
                command = Some(refused);
                std::thread::yield_now();
            }
        }
    }

    fn take_news(&mut self) -> Result<(), WorkerError> {
        while let Some(news) = self.news.pop() {
            let message = match news {
                News::Left(channel) => {
                    self.channels -= 1;
                    drop(channel);
                    continue;
                }
                News::Violation(attachment, violation) => {
                    FromWorker::Violation { attachment, what: violation.to_string() }
                }
                News::Drained => FromWorker::Drained,
            };
            packet::send(self.socket, &message, &[])?;
        }
        Ok(())
    }

    fn report(&self) -> Result<(), WorkerError> {
        let counters = &self.ready.counters;
        for (info, counters) in self.ready.infos.iter().zip(&counters.functions) {
            let status = FunctionStatus {
                name: info.name.clone(),
                model: info.config.model.clone().into(),
                objective: info.config.service.objective.map(String::from),
                signature: Some(info.signature.clone()),
                channels: counters.channel_count(),
                queued: counters.queued_count(),
                arrived: counters.arrived_count(),
                outcomes: counters.outcomes(),
                refusals: counters.refusals(),
                batches: counters.batch_count(),
                padding_share: counters.padding_share(),
                latency_us: counters.latency(),
            };
            packet::send(self.socket, &FromWorker::FunctionReport(status), &[])?;
        }
        let device = &self.ready.device;
        let lane = |batches: &AtomicU64| LaneStatus {
            sms: device.sms,
            batches: batches.load(Ordering::Relaxed),
        };
        let status = DeviceStatus {
            name: device.name.clone(),
            emulated: device.emulated,
            sms: device.sms,
            memory_bytes: device.memory_bytes,
            state: "ready".to_owned(),
            worker_pid: Some(std::process::id()),
            worker_restarts: 0,
            lanes: counters.lanes.iter().map(lane).collect(),
            policy: self.policy.clone(),
            partitions: "none".to_owned(),
        };
        Ok(packet::send(self.socket, &FromWorker::DeviceReport(status), &[])?)
    }

    /// The supervisor is gone or done with us, or the dispatch thread cannot go on.
    fn stop(self) -> Result<(), WorkerError> {
        self.command(Command::Stop);
        match self.dispatch.join() {
            Ok(ended) => Ok(ended?),
            Err(_) => Err(WorkerError::Ended),
        }
    }
}

/// Takes the supervisor's list of functions.
fn hear_functions(socket: &OwnedFd) -> Result<Vec<Named>, WorkerError> {
    let mut functions = Vec::new();
    loop {
        match packet::receive(socket, 0)?.0 {
            ToWorker::Load { name, config, plan } => {
                functions.push(Named { name, config: *config, plan });
            }
            ToWorker::Start => return Ok(functions),
            ToWorker::Attach { .. } => return Err(WorkerError::OutOfTurn("`attach`")),
            ToWorker::Detach { .. } => return Err(WorkerError::OutOfTurn("`detach`")),
            ToWorker::Report => return Err(WorkerError::OutOfTurn("`report`")),
            ToWorker::Drain => return Err(WorkerError::OutOfTurn("`drain`")),
        }
    }
}
