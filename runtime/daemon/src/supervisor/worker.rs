//! The worker as the supervisor sees it: a process to keep alive, and a socket to talk over.
//!
//! `Worker` is a handle that tasks share; the *keeper* is the task behind it. It starts the process,
//! carries questions to it and answers back, and starts the next one when it dies.

use super::keeper::{Keeper, absent_device};
use super::registry::Registry;
use super::{Served, SupervisorError};
use crate::clock::Clock;
use crate::link::Attachment;
use crate::options::SupervisorOptions;
use gpumux_core::MonoTime;
use gpumux_wire::geometry::ChannelSize;
use gpumux_wire::signature::Signature;
use gpumux_wire::status::{DeviceStatus, FunctionStatus};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long a worker may take to serve a channel.
const ATTACH_LIMIT: Duration = Duration::from_secs(10);
/// How long an operator waits for a worker's figures.
const REPORT_LIMIT: Duration = Duration::from_secs(1);

/// What a worker says of itself.
pub(super) type Report = (Vec<FunctionStatus>, DeviceStatus);

/// What tasks ask of the keeper.
#[derive(Debug)]
pub(super) enum Question {
    /// Answered when the first worker is ready, or will never be.
    Ready(oneshot::Sender<Result<(), String>>),
    /// Serve a channel.
    Attach {
        attachment: Attachment,
        function: String,
        size: ChannelSize,
        memory: OwnedFd,
        wake: OwnedFd,
        answer: oneshot::Sender<Result<Signature, String>>,
    },
    /// Leave a channel.
    Detach(Attachment),
    /// Send figures.
    Report(oneshot::Sender<Report>),
    /// Finish what was admitted; answered when that is done, or nobody is left to do it.
    Drain(oneshot::Sender<()>),
    /// End the process; answered when it is gone.
    Stop(oneshot::Sender<()>),
}

/// A handle to the keeper.
#[derive(Clone, Debug)]
pub(super) struct Worker {
    questions: mpsc::UnboundedSender<Question>,
    clock: Clock,
}

impl Worker {
    /// Starts the keeper, which starts the process.
    pub(super) fn start(
        options: &SupervisorOptions,
        functions: Vec<Served>,
        registry: &Arc<Registry>,
    ) -> Result<(Self, JoinHandle<()>), SupervisorError> {
        let (questions, inbox) = mpsc::unbounded_channel();
        let keeper = Keeper::new(options.clone(), functions, Arc::clone(registry))?;
        let task = tokio::spawn(keeper.keep(inbox));
        Ok((Self { questions, clock: Clock::start() }, task))
    }

    /// Waits until the first worker is ready.
    pub(super) async fn ready(&self) -> Result<(), SupervisorError> {
        match self.ask(Question::Ready).await {
            Some(ready) => ready.map_err(SupervisorError::Unfit),
            None => Err(SupervisorError::Ended("the worker's keeper".to_owned())),
        }
    }

    /// Has the worker serve a channel.
    pub(super) async fn attach(
        &self,
        attachment: Attachment,
        function: &str,
        size: ChannelSize,
        memory: OwnedFd,
        wake: OwnedFd,
    ) -> Result<Signature, String> {
        let function = function.to_owned();
        let question =
            |answer| Question::Attach { attachment, function, size, memory, wake, answer };
        match timeout(ATTACH_LIMIT, self.ask(question)).await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err("the device's worker died: try again in a moment".to_owned()),
            Err(_) => Err("the device's worker does not answer: try again later".to_owned()),
        }
    }

    /// Has the worker leave a channel.
    pub(super) fn detach(&self, attachment: Attachment) {
        // A keeper that has ended serves nothing.
        let _ended = self.questions.send(Question::Detach(attachment));
    }

    /// The worker's figures; without them what is known of a worker that starts, or is silent.
    pub(super) async fn report(&self) -> Report {
        match timeout(REPORT_LIMIT, self.ask(Question::Report)).await {
            Ok(Some(report)) => report,
            Ok(None) => (Vec::new(), absent_device("ended", 0, None)),
            Err(_) => (Vec::new(), absent_device("silent", 0, None)),
        }
    }

    /// Waits until the worker has finished what it admitted.
    pub(super) async fn drain(&self) {
        let _ended = self.ask(Question::Drain).await;
    }

    /// Ends the worker and waits until it is gone.
    pub(super) async fn stop(&self) {
        let _ended = self.ask(Question::Stop).await;
    }

    /// Since the daemon's start.
    pub(super) fn uptime(&self) -> Duration {
        self.clock.now().since(MonoTime::ZERO)
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.questions.send(question(answer)).ok()?;
        answered.await.ok()
    }
}
