//! The worker's control thread: it speaks with the supervisor, maps channels, and reports.

use super::channel::Channel;
use super::commands::{Command, News, Queue};
use super::counters::Counters;
use super::dispatch::{CHANNELS_MAX, Dispatch, Setup};
use super::function::Function;
use crate::clock::Clock;
use crate::link::{Attachment, FromWorker, ToWorker};
use crate::options::WorkerOptions;
use gpumux_core::{FunctionId, Limits, policy};
use gpumux_wire::channel::{Mapping, WorkerSide};
use gpumux_wire::geometry::{ChannelSize, Geometry};
use gpumux_wire::packet::{self, PacketError};
use gpumux_wire::status::{DeviceStatus, FunctionStatus, LaneStatus};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
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
    /// A function could not be loaded, or there is no device for it.
    #[error("{0}")]
    Unfit(String),
    /// The supervisor said something out of turn.
    #[error("the supervisor said {0} out of turn")]
    OutOfTurn(&'static str),
    /// The dispatch thread ended by itself.
    #[error("the dispatch thread ended: {0}")]
    Dispatch(String),
}

/// Runs a worker until the supervisor closes its socket.
///
/// # Errors
/// [`WorkerError`]: the supervisor was told, where it still could be.
pub(crate) fn run(options: WorkerOptions) -> Result<(), WorkerError> {
    let socket =
        std::io::stdin().as_fd().try_clone_to_owned().map_err(|_| WorkerError::NotSpawned)?;
    let outcome = Worker::start(&socket, options).and_then(Worker::serve);
    if let Err(error) = &outcome {
        let what = error.to_string();
        let _told = packet::send(&socket, &FromWorker::Unfit { what }, &[]);
    }
    outcome
}

struct Worker<'a> {
    socket: &'a OwnedFd,
    functions: Arc<[Function]>,
    counters: Arc<Counters>,
    commands: Arc<Queue<Command>>,
    news: Arc<Queue<News>>,
    dispatch: JoinHandle<Result<(), Errno>>,
    channels: usize,
    options: WorkerOptions,
}

impl<'a> Worker<'a> {
    /// Loads what the supervisor names, and starts the dispatch thread.
    fn start(socket: &'a OwnedFd, options: WorkerOptions) -> Result<Self, WorkerError> {
        let functions: Arc<[Function]> = load_functions(socket)?.into();
        let counters = Arc::new(Counters::new(functions.len(), LANES));
        let commands = Arc::new(Queue::commands()?);
        let news = Arc::new(Queue::news()?);
        let setup = Setup {
            clock: Clock::start(),
            limits: Limits { requests: REQUESTS_MAX, lanes: LANES, run_ahead: RUN_AHEAD },
            policy: policy::by_name(&options.policy)
                .ok_or_else(|| WorkerError::Unfit(format!("no policy `{}`", options.policy)))?,
            spin: options.spin.into(),
            functions: Arc::clone(&functions),
            counters: Arc::clone(&counters),
            commands: Arc::clone(&commands),
            news: Arc::clone(&news),
        };
        let dispatch = Dispatch::new(setup)?;
        let (core, bell) = (options.dispatch_core, Arc::clone(&news));
        let builder = std::thread::Builder::new().name("dispatch".to_owned());
        let dispatch = builder
            .spawn(move || {
                let ended = pin_to(core).and_then(|()| dispatch.run());
                bell.ring();
                ended
            })
            .map_err(|error| WorkerError::Dispatch(error.to_string()))?;
        for function in functions.iter() {
            let (name, signature) = (function.name.clone(), function.signature.clone());
            packet::send(socket, &FromWorker::Loaded { name, signature }, &[])?;
        }
        packet::send(socket, &FromWorker::Ready, &[])?;
        Ok(Self { socket, functions, counters, commands, news, dispatch, channels: 0, options })
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
        let place = self.functions.iter().position(|loaded| loaded.name == function);
        let place = place.and_then(|place| u16::try_from(place).ok());
        let function = place.map(FunctionId).ok_or("the worker has not loaded it")?;
        let [memory, wake]: [OwnedFd; 2] =
            descriptors.try_into().map_err(|_| "its descriptors did not arrive")?;
        let geometry = Geometry::new(size).map_err(|error| error.to_string())?;
        let mapping = Mapping::new(&memory, geometry).map_err(|error| error.to_string())?;
        Ok(Channel::new(attachment, function, WorkerSide::new(&mapping), wake))
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
        for (function, counters) in self.functions.iter().zip(&self.counters.functions) {
            let status = FunctionStatus {
                name: function.name.clone(),
                model: function.config.model.clone().into(),
                signature: Some(function.signature.clone()),
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
        let lanes = self.counters.lanes.iter();
        let lane = |batches: &std::sync::atomic::AtomicU64| LaneStatus {
            sms: 0,
            batches: batches.load(Ordering::Relaxed),
        };
        let status = DeviceStatus {
            name: "none".to_owned(),
            emulated: false,
            sms: 0,
            memory_bytes: 0,
            state: "ready".to_owned(),
            worker_pid: Some(std::process::id()),
            worker_restarts: 0,
            lanes: lanes.map(lane).collect(),
            policy: self.options.policy.clone(),
            partitions: "none".to_owned(),
        };
        Ok(packet::send(self.socket, &FromWorker::DeviceReport(status), &[])?)
    }

    /// The supervisor is gone or done with us, or the dispatch thread cannot go on.
    fn stop(self) -> Result<(), WorkerError> {
        self.command(Command::Stop);
        match self.dispatch.join() {
            Ok(ended) => Ok(ended?),
            Err(_) => Err(WorkerError::Dispatch("it panicked".to_owned())),
        }
    }
}

/// Takes the supervisor's list and loads each function.
fn load_functions(socket: &OwnedFd) -> Result<Vec<Function>, WorkerError> {
    let mut functions = Vec::new();
    loop {
        match packet::receive(socket, 0)?.0 {
            ToWorker::Load { name, folder: _, config } => {
                let loaded = Function::load(name.clone(), config)
                    .map_err(|what| WorkerError::Unfit(format!("function `{name}`: {what}")))?;
                functions.push(loaded);
            }
            ToWorker::Start => return Ok(functions),
            ToWorker::Attach { .. } => return Err(WorkerError::OutOfTurn("`attach`")),
            ToWorker::Detach { .. } => return Err(WorkerError::OutOfTurn("`detach`")),
            ToWorker::Report => return Err(WorkerError::OutOfTurn("`report`")),
            ToWorker::Drain => return Err(WorkerError::OutOfTurn("`drain`")),
        }
    }
}

/// Keeps the calling thread on one core, where the operator asked for it.
fn pin_to(core: Option<usize>) -> Result<(), Errno> {
    let Some(core) = core else { return Ok(()) };
    let mut cores = nix::sched::CpuSet::new();
    cores.set(core)?;
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &cores)
}
