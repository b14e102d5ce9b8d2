//! The worker's control thread: it speaks with the supervisor, maps channels, and reports.

use super::beat::Beat;
use super::channel::{Channel, Stage};
use super::commands::{Command, News, Queue};
use super::dispatch::CHANNELS_MAX;
use super::gpu::Division;
use super::loading::Named;
use super::ownership::{Owned, OwnershipError, claim};
use super::report;
use super::startup::{self, DispatchError, Ready, Setup};
use super::tenant::Tenants;
use crate::clock::Clock;
use crate::ledger::Ledger;
use crate::link::{Attachment, FromWorker, REQUESTS_MAX, TenantLimits, ToWorker};
use crate::options::WorkerOptions;
use crate::os::sigbus;
use gpumux_core::{FunctionId, Limits};
use gpumux_wire::channel::{Mapping, WorkerSide};
use gpumux_wire::geometry::{ChannelSize, Geometry};
use gpumux_wire::packet::{self, PacketError};
use gpumux_wire::status::DeviceStatus;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;
use thiserror::Error;
use tracing::error;

/// Segments of a batch that may be outstanding.
const RUN_AHEAD: u32 = 2;
/// Between attempts to hand over the last command.
const FULL_PAUSE: Duration = Duration::from_millis(1);
/// Descriptors beside a message of the supervisor: a memfd, a wake-up end and a ledger.
const DESCRIPTORS_MAX: usize = 3;

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
    /// The device is not this process's.
    #[error(transparent)]
    Ownership(#[from] OwnershipError),
    /// What was on the device did not end in time.
    #[error("what was on the device has not ended within {0:?} of the supervisor's end")]
    Unfinished(Duration),
    /// The dispatch thread could not be started.
    #[error("the dispatch thread could not be started: {0}")]
    Spawn(String),
    /// The dispatch thread could not load or go on.
    #[error(transparent)]
    Dispatch(#[from] DispatchError),
    /// The dispatch thread does not come back from a call.
    #[error("the dispatch thread has not looked around for {0:?}: a call to the driver hangs")]
    Silent(Duration),
    /// The dispatch thread ended where it should not.
    #[error("the dispatch thread ended by itself")]
    Ended,
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
pub(crate) fn run(owned: Owned, options: WorkerOptions) -> Result<(), WorkerError> {
    let socket =
        std::io::stdin().as_fd().try_clone_to_owned().map_err(|_| WorkerError::NotSpawned)?;
    let outcome = claim(&owned.lock).map_err(WorkerError::from).and_then(|_lock| {
        // The lock is held until the process ends or this returns, whichever is first.
        Worker::start(&socket, &owned, options).and_then(Worker::serve)
    });
    if let Err(error) = &outcome {
        let what = error.to_string();
        if packet::send(&socket, &FromWorker::Unfit { what }, &[]).is_err() {
            // The driver may wait at the process's exit for what never ends, and nobody is there to
            // end such a process.
            error!(%error, "nobody is there to be told");
            raise(Signal::SIGKILL)?;
        }
    }
    outcome
}

struct Worker<'a> {
    socket: &'a OwnedFd,
    ready: Ready,
    commands: Arc<Queue<Command>>,
    news: Arc<Queue<News>>,
    dispatch: JoinHandle<Result<(), DispatchError>>,
    beat: Arc<Beat>,
    hang_limit: Duration,
    orphan_grace: Duration,
    ordinal: u32,
    channels: usize,
    tenants: Tenants,
    policy: String,
}

impl<'a> Worker<'a> {
    /// Has the dispatch thread load what the supervisor names, and waits until it is ready.
    fn start(
        socket: &'a OwnedFd,
        owned: &Owned,
        options: WorkerOptions,
    ) -> Result<Self, WorkerError> {
        sigbus::install()?;
        let Owned { device, ordinal, .. } = *owned;
        let (functions, incarnation) = hear_functions(socket)?;
        let beat = Arc::new(Beat::asleep());
        let hang_limit = options.hang_limit.into();
        let commands = Arc::new(Queue::commands()?);
        let news = Arc::new(Queue::news()?);
        let setup = Setup {
            division: Division {
                device,
                ordinal,
                lanes: options.lanes,
                partitions: options.partitions,
            },
            functions,
            limits: Limits { requests: REQUESTS_MAX, lanes: options.lanes, run_ahead: RUN_AHEAD },
            policy: options.policy.clone(),
            spin: options.spin.into(),
            core: options.dispatch_core,
            hang_limit,
            incarnation,
            beat: Arc::clone(&beat),
            commands: Arc::clone(&commands),
            news: Arc::clone(&news),
        };
        let (tell, told) = sync_channel(1);
        let last_words = Arc::clone(&news);
        let builder = std::thread::Builder::new().name("dispatch".to_owned());
        let dispatch = builder
            .spawn(move || {
                let ended = startup::run(setup, &tell);
                // There is room: see `NEWS`.
                let _room = last_words.push(News::Ended);
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
        Ok(Self {
            socket,
            ready,
            commands,
            news,
            dispatch,
            beat,
            hang_limit,
            orphan_grace: options.orphan_grace.into(),
            ordinal,
            channels: 0,
            tenants: Tenants::default(),
            policy,
        })
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
                if self.take_news()? {
                    return self.join();
                }
            }
            if supervisor && !self.listen()? {
                return self.finish();
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
            ToWorker::Start { .. } => return Err(WorkerError::OutOfTurn("`start`")),
            ToWorker::Attach { attachment, limits, function, size, resumes } => {
                let stage = if resumes { Stage::Resuming } else { Stage::Serving };
                let of = (limits, function.as_str());
                let answer = match self.attach((attachment, stage), of, size, descriptors) {
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
            ToWorker::Limit(limits) => self.tenants.limit(&limits),
            ToWorker::Resume => self.command(Command::Resume),
            ToWorker::Clear { function } => {
                let mut infos = self.ready.infos.iter();
                if let Some(info) = infos.find(|info| info.name == function) {
                    info.quarantined.clear();
                }
                packet::send(self.socket, &FromWorker::Cleared { function }, &[])?;
            }
            ToWorker::Ping => {
                let silent = self.beat.silent_for(Clock.now());
                if silent > self.hang_limit {
                    return Err(WorkerError::Silent(silent));
                }
                packet::send(self.socket, &FromWorker::Pong, &[])?;
            }
            ToWorker::Retire { functions } => {
                let known = functions.iter().filter_map(|name| self.find(name));
                known.for_each(|function| self.command(Command::Retire(function)));
                self.command(Command::Retired);
            }
            ToWorker::Drain => self.command(Command::Drain),
            ToWorker::Report => self.report()?,
        }
        Ok(true)
    }

    /// Maps a channel that the supervisor has vetted.
    fn attach(
        &mut self,
        (attachment, stage): (Attachment, Stage),
        (limits, function): (TenantLimits, &str),
        size: ChannelSize,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Channel, String> {
        if self.channels >= CHANNELS_MAX {
            return Err(format!("the device's worker serves {CHANNELS_MAX} channels already"));
        }
        let function = self.find(function).ok_or("the worker has not loaded it")?;
        let [memory, wake, ledger]: [OwnedFd; 3] =
            descriptors.try_into().map_err(|_| "its descriptors did not arrive")?;
        let geometry = Geometry::new(size).map_err(|error| error.to_string())?;
        let mapping = Mapping::new(&memory, geometry).map_err(|error| error.to_string())?;
        let watched = sigbus::watch(&mapping.addresses()).map_err(|full| full.to_string())?;
        let slots = geometry.slots();
        let ledger = Ledger::map(&ledger, slots).map_err(|error| error.to_string())?;
        let side = WorkerSide::resume(&mapping, ledger.head(), ledger.tail());
        let tenant = self.tenants.of(limits);
        Ok(Channel::new(attachment, (tenant, function), (side, watched), (wake, ledger), stage))
    }

    fn find(&self, name: &str) -> Option<FunctionId> {
        let place = self.ready.infos.iter().position(|loaded| loaded.name == name)?;
        u16::try_from(place).ok().map(FunctionId)
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

    /// Takes what the dispatch thread says. Says whether that thread ends.
    fn take_news(&mut self) -> Result<bool, WorkerError> {
        while let Some(news) = self.news.pop() {
            let message = match news {
                News::Left(channel) => {
                    self.channels -= 1;
                    let attachment = channel.attachment;
                    drop(channel);
                    FromWorker::Left { attachment }
                }
                News::Violation(attachment, violation) => {
                    FromWorker::Violation { attachment, what: violation.to_string() }
                }
                News::Drained => FromWorker::Drained,
                News::Retired => FromWorker::Retired,
                News::Ended => return Ok(true),
            };
            packet::send(self.socket, &message, &[])?;
        }
        Ok(false)
    }

    fn report(&self) -> Result<(), WorkerError> {
        let tenants = self.tenants.names();
        let counters = &self.ready.counters;
        for (info, counters) in self.ready.infos.iter().zip(&counters.functions) {
            let mut status = report::of_function(info, counters, &tenants);
            status.device = self.ordinal;
            packet::send(self.socket, &FromWorker::FunctionReport(Box::new(status)), &[])?;
        }
        let status = DeviceStatus {
            ordinal: self.ordinal,
            policy: self.policy.clone(),
            ..report::of_device(&self.ready.device, counters.lanes.iter())
        };
        Ok(packet::send(self.socket, &FromWorker::DeviceReport(status), &[])?)
    }

    /// The supervisor is gone or done with us: what is on the device is finished, nothing else begun.
    fn finish(self) -> Result<(), WorkerError> {
        let until = Clock.now().after(self.orphan_grace);
        let mut order = Some(Command::Finish);
        while !self.has_ended() {
            if let Some(waiting) = order.take() {
                order = self.commands.push(waiting).err();
            }
            let now = Clock.now();
            if until <= now {
                return Err(WorkerError::Unfinished(self.orphan_grace));
            }
            // Without room for the order it is tried again soon.
            let left = if order.is_some() { FULL_PAUSE } else { until.since(now) };
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut ends = [PollFd::new(self.news.bell(), PollFlags::POLLIN)];
            match poll(&mut ends, left) {
                Ok(_) | Err(Errno::EINTR) => self.news.quiet(),
                Err(errno) => return Err(errno.into()),
            }
        }
        // A supervisor that replaces this worker still listens, and goes on with its counts.
        let _gone = self.report();
        self.join()
    }

    /// Whether the dispatch thread has said that it ends. There is nobody to pass other news on to.
    fn has_ended(&self) -> bool {
        std::iter::from_fn(|| self.news.pop()).any(|news| matches!(news, News::Ended))
    }

    /// How the dispatch thread, which ends, has ended.
    fn join(self) -> Result<(), WorkerError> {
        match self.dispatch.join() {
            Ok(ended) => Ok(ended?),
            Err(_) => Err(WorkerError::Ended),
        }
    }
}

/// Takes the supervisor's list of functions, and which worker of its device this is.
fn hear_functions(socket: &OwnedFd) -> Result<(Vec<Named>, u32), WorkerError> {
    let mut functions = Vec::new();
    loop {
        let out_of_turn = match packet::receive(socket, 0)?.0 {
            ToWorker::Load { name, config, plan, quarantined } => {
                functions.push(Named { name, config: *config, plan, quarantined });
                continue;
            }
            ToWorker::Start { incarnation } => return Ok((functions, incarnation)),
            ToWorker::Attach { .. } => "`attach`",
            ToWorker::Detach { .. } => "`detach`",
            ToWorker::Limit(_) => "`limit`",
            ToWorker::Resume => "`resume`",
            ToWorker::Clear { .. } => "`clear`",
            ToWorker::Ping => "`ping`",
            ToWorker::Retire { .. } => "`retire`",
            ToWorker::Report => "`report`",
            ToWorker::Drain => "`drain`",
        };
        return Err(WorkerError::OutOfTurn(out_of_turn));
    }
}
