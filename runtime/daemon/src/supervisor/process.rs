//! A worker's process and the messages to and from it.

use super::channels::Channels;
use super::packets::Packets;
use super::worker::Report;
use crate::clock::Clock;
use crate::link::{Attachment, FromWorker, ToWorker};
use gpumux_core::MonoTime;
use gpumux_wire::packet::PacketError;
use gpumux_wire::signature::Signature;
use gpumux_wire::status::FunctionStatus;
use std::collections::{HashMap, VecDeque};
use std::os::fd::BorrowedFd;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::warn;

/// How long a worker may take to end after it was asked to.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How long the kernel may take to end a worker that was killed.
const KILL_LIMIT: Duration = Duration::from_secs(30);
/// How long it takes to bring a worker to its end, or to find that it cannot be.
pub(super) const END_LIMIT: Duration = STOP_LIMIT.saturating_add(KILL_LIMIT);

/// A live worker.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) child: Child,
    packets: Packets,
    /// Messages on their way out. They are sent while messages are received, so that two full sockets
    /// never wait for each other.
    outbox: VecDeque<Outgoing>,
    pub(super) ready: bool,
    pub(super) signatures: HashMap<String, Signature>,
    /// Who awaits each report that was asked for; nobody where the keeper asked for itself.
    pub(super) reports: VecDeque<Option<oneshot::Sender<Report>>>,
    /// Functions of the report that is arriving.
    pub(super) reported: Vec<FunctionStatus>,
    /// What it said when it could not go on.
    pub(super) unfit: Option<String>,
    /// When it was asked whether it lives, if it has not answered.
    pub(super) pinged: Option<MonoTime>,
}

#[derive(Debug)]
enum Outgoing {
    Message(Box<ToWorker>),
    /// Serve this channel, if it is still there when its turn comes; whether another worker may have
    /// served it.
    Attach(Attachment, bool),
}

/// How a process was brought to its end.
#[derive(Debug)]
pub(super) enum End {
    /// It has ended.
    Ended(ExitStatus),
    /// It could not be ended: the kernel does not let go of it.
    Stuck(Box<Child>),
}

impl Process {
    pub(super) fn new(child: Child, packets: Packets) -> Self {
        Self {
            child,
            packets,
            outbox: VecDeque::new(),
            ready: false,
            signatures: HashMap::new(),
            reports: VecDeque::new(),
            reported: Vec::new(),
            unfit: None,
            pinged: None,
        }
    }

    /// Puts a message on its way.
    pub(super) fn tell(&mut self, message: ToWorker) {
        self.outbox.push_back(Outgoing::Message(Box::new(message)));
    }

    /// Has the worker serve a channel, which `resumes` when another worker may have served it.
    pub(super) fn attach(&mut self, attachment: Attachment, resumes: bool) {
        self.outbox.push_back(Outgoing::Attach(attachment, resumes));
    }

    /// Asks whether it lives. Says how long it has not answered.
    pub(super) fn ping(&mut self) -> Duration {
        let now = Clock.now();
        match self.pinged {
            Some(at) => now.since(at),
            None => {
                self.pinged = Some(now);
                self.tell(ToWorker::Ping);
                Duration::ZERO
            }
        }
    }

    /// Asks for figures on the keeper's behalf, unless some are on their way.
    pub(super) fn sample(&mut self) {
        if self.reports.is_empty() {
            self.reports.push_back(None);
            self.tell(ToWorker::Report);
        }
    }

    /// Whether something is on its way out.
    pub(super) fn has_mail(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Sends the next message. It stays the next until [`Process::sent`].
    pub(super) async fn send(&self, channels: &Channels) -> Result<(), PacketError> {
        match self.outbox.front() {
            None => Ok(()),
            Some(Outgoing::Message(message)) => self.packets.send(message, &[]).await,
            Some(Outgoing::Attach(attachment, resumes)) => {
                let Some(kept) = channels.get(*attachment) else { return Ok(()) };
                let message = ToWorker::Attach {
                    attachment: *attachment,
                    limits: kept.limits.clone(),
                    function: kept.function.clone(),
                    size: kept.size,
                    resumes: *resumes,
                };
                let descriptors: [BorrowedFd<'_>; 3] = kept.descriptors();
                self.packets.send(&message, &descriptors).await
            }
        }
    }

    /// The next message is out.
    pub(super) fn sent(&mut self) {
        self.outbox.pop_front();
    }

    /// Receives what the worker says.
    pub(super) async fn receive(&self) -> Result<FromWorker, PacketError> {
        self.packets.receive(0).await.map(|(message, _)| message)
    }

    /// Has a worker that serves finish what is on the device. Returns what it says until it has.
    pub(super) async fn finish(&mut self) -> Vec<FromWorker> {
        self.packets.shut();
        let mut said = Vec::new();
        let _late = timeout(STOP_LIMIT, async {
            while let Ok(message) = self.receive().await {
                said.push(message);
            }
        })
        .await;
        said
    }

    /// Ends the process: by closing its socket, when it may finish by itself; else at once.
    pub(super) async fn end(self, gently: bool) -> End {
        let Self { mut child, packets, .. } = self;
        drop(packets);
        if gently && let Ok(Ok(status)) = timeout(STOP_LIMIT, child.wait()).await {
            return End::Ended(status);
        }
        if gently {
            warn!("the worker did not end in time and is killed");
        }
        // It fails when the process has ended already, which the next line finds out.
        let _ended = child.start_kill();
        match timeout(KILL_LIMIT, child.wait()).await {
            Ok(Ok(status)) => End::Ended(status),
            Ok(Err(_)) | Err(_) => End::Stuck(Box::new(child)),
        }
    }
}
