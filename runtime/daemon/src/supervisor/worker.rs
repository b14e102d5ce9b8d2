//! The worker as the supervisor sees it: a process to keep alive, and a socket to talk over.
//!
//! `Worker` is a handle that tasks share; the *keeper* is the task behind it. It starts the process,
//! carries questions to it and answers back, and starts the next one when it dies.

use super::channels::Answer;
use super::devices::Found;
use super::keeper::Keeper;
use super::registry::Registry;
use super::replacement::Replacement;
use super::watchdog::Promise;
use super::{Served, SupervisorError};
use crate::link::{Attachment, TenantLimits};
use crate::options::SupervisorOptions;
use gpumux_wire::geometry::ChannelSize;
use gpumux_wire::signature::Signature;
use gpumux_wire::status::{DeviceStatus, FunctionStatus};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
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
    Attach(Box<Attaching>),
    /// Leave a channel.
    Detach(Attachment),
    /// Hold a tenant to other limits.
    Limit(TenantLimits),
    /// Send figures.
    Report(oneshot::Sender<Report>),
    /// Finish what was admitted; answered when that is done, or nobody is left to do it.
    Drain(oneshot::Sender<()>),
    /// Forget what a function has done; answered when that is done.
    Clear(String, oneshot::Sender<()>),
    /// Leave a channel, and tell its peer that nobody serves it any more.
    Withdraw(Attachment),
    /// Serve other functions.
    Replace(Replacement),
    /// End the process; answered when it is gone.
    Stop(oneshot::Sender<()>),
}

/// A channel to serve.
#[derive(Debug)]
pub(super) struct Attaching {
    pub(super) attachment: Attachment,
    pub(super) limits: TenantLimits,
    pub(super) function: String,
    pub(super) size: ChannelSize,
    pub(super) memory: OwnedFd,
    pub(super) wake: OwnedFd,
    pub(super) answer: Answer,
}

/// A handle to the keeper.
#[derive(Clone, Debug)]
pub(super) struct Worker {
    questions: mpsc::UnboundedSender<Question>,
    ordinal: u32,
    promise: Promise,
    /// What the keeper knows when the worker says nothing.
    known: Known,
}

/// The last report, which the keeper keeps true of the dead: what it counts never goes back.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(Arc<Mutex<Report>>);

impl Known {
    fn lock(&self) -> MutexGuard<'_, Report> {
        // A report is replaced whole, so a poisoned lock guards a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, report: Report) {
        *self.lock() = report;
    }

    fn get(&self, state: &str) -> Report {
        let (functions, device) = self.lock().clone();
        (functions, DeviceStatus { state: state.to_owned(), ..device })
    }
}

impl Worker {
    /// Makes a handle, and the keeper behind it, which starts the process when it is run.
    pub(super) fn new(
        options: &SupervisorOptions,
        found: Found,
        functions: Vec<Served>,
        registry: &Arc<Registry>,
    ) -> Result<(Self, impl Future<Output = ()> + use<>), SupervisorError> {
        let (questions, inbox) = mpsc::unbounded_channel();
        let ordinal = found.ordinal;
        let known = Known::default();
        let keeper =
            Keeper::new(options.clone(), found, functions, (Arc::clone(registry), known.clone()))?;
        let promise = keeper.promise();
        Ok((Self { questions, ordinal, promise, known }, keeper.keep(inbox)))
    }

    /// What the keeper promises, and for which device.
    pub(super) fn promise(&self) -> (u32, &Promise) {
        (self.ordinal, &self.promise)
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
        (attachment, limits): (Attachment, TenantLimits),
        function: &str,
        size: ChannelSize,
        memory: OwnedFd,
        wake: OwnedFd,
    ) -> Result<Signature, String> {
        let function = function.to_owned();
        let question = |answer| {
            let attaching = Attaching { attachment, limits, function, size, memory, wake, answer };
            Question::Attach(Box::new(attaching))
        };
        match timeout(ATTACH_LIMIT, self.ask(question)).await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err("the device's worker cannot serve it: see the daemon's log".to_owned()),
            Err(_) => Err("the device's worker does not answer: try again later".to_owned()),
        }
    }

    /// Has the worker leave a channel.
    pub(super) fn detach(&self, attachment: Attachment) {
        // A keeper that has ended serves nothing.
        let _ended = self.questions.send(Question::Detach(attachment));
    }

    /// Has the worker leave a channel, and its peer be told.
    pub(super) fn withdraw(&self, attachment: Attachment) {
        // A keeper that has ended serves nothing.
        let _ended = self.questions.send(Question::Withdraw(attachment));
    }

    /// Has a worker serve other functions, and waits until one does.
    ///
    /// # Errors
    /// Why not: then those before are served.
    pub(super) async fn replace(&self, functions: Vec<Served>) -> Result<(), String> {
        let question = |verdict| Question::Replace(Replacement { functions, verdict });
        let stopping = || Err("the daemon is stopping".to_owned());
        self.ask(question).await.unwrap_or_else(stopping)
    }

    /// Has the worker hold a tenant to other limits.
    pub(super) fn limit(&self, limits: TenantLimits) {
        // A keeper that has ended serves nothing.
        let _ended = self.questions.send(Question::Limit(limits));
    }

    /// The worker's figures; without them what is known of a worker that starts, or is silent.
    pub(super) async fn report(&self) -> Report {
        match timeout(REPORT_LIMIT, self.ask(Question::Report)).await {
            Ok(Some(report)) => report,
            Ok(None) if self.questions.is_closed() => self.known.get("ended"),
            // It died over the question.
            Ok(None) => self.known.get("starting"),
            Err(_) => self.known.get("silent"),
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

    /// Has the keeper forget what a function has done.
    pub(super) async fn clear(&self, function: &str) {
        let _ended = self.ask(|answer| Question::Clear(function.to_owned(), answer)).await;
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Question) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.questions.send(question(answer)).ok()?;
        answered.await.ok()
    }
}
