//! The channels that a device serves, as its keeper holds them: they outlive workers. With a
//! duplicate of each descriptor here, a worker's death closes nothing that a peer could see.

use crate::ledger::Ledger;
use crate::link::{Attachment, TenantLimits};
use gpumux_wire::geometry::ChannelSize;
use gpumux_wire::signature::Signature;
use nix::sys::socket::{Shutdown, shutdown};
use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use tokio::sync::oneshot;

/// What a session waits for.
pub(super) type Answer = oneshot::Sender<Result<Signature, String>>;

/// One channel.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) limits: TenantLimits,
    pub(super) function: String,
    pub(super) size: ChannelSize,
    memory: OwnedFd,
    wake: OwnedFd,
    ledger_memory: OwnedFd,
    pub(super) ledger: Ledger,
    /// Its session, while no worker has served it yet.
    pub(super) answer: Option<Answer>,
}

impl Kept {
    /// A channel with its descriptors, and a new ledger.
    pub(super) fn new(
        (limits, function): (TenantLimits, String),
        size: ChannelSize,
        (memory, wake): (OwnedFd, OwnedFd),
        answer: Answer,
    ) -> std::io::Result<Self> {
        let ledger_memory = Ledger::create(size.slots)?;
        let ledger = Ledger::map(&ledger_memory, size.slots)?;
        let answer = Some(answer);
        Ok(Self { limits, function, size, memory, wake, ledger_memory, ledger, answer })
    }

    /// What travels to a worker.
    pub(super) fn descriptors(&self) -> [BorrowedFd<'_>; 3] {
        [self.memory.as_fd(), self.wake.as_fd(), self.ledger_memory.as_fd()]
    }

    /// Tells the peer that nobody serves it any more, whoever else holds the descriptor.
    fn hang_up(&self) {
        // A peer that has hung up itself needs no telling.
        let _gone = shutdown(self.wake.as_raw_fd(), Shutdown::Both);
    }
}

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct Channels {
    served: BTreeMap<Attachment, Kept>,
    /// Those that the worker is to leave, before their peers are told.
    withdrawn: BTreeMap<Attachment, Kept>,
}

impl Channels {
    pub(super) fn insert(&mut self, attachment: Attachment, kept: Kept) {
        self.served.insert(attachment, kept);
    }

    pub(super) fn remove(&mut self, attachment: Attachment) -> Option<Kept> {
        self.served.remove(&attachment)
    }

    pub(super) fn get(&self, attachment: Attachment) -> Option<&Kept> {
        self.served.get(&attachment)
    }

    pub(super) fn get_mut(&mut self, attachment: Attachment) -> Option<&mut Kept> {
        self.served.get_mut(&attachment)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = Attachment> + '_ {
        self.served.keys().copied()
    }

    /// Holds the channels of a tenant to other limits, whoever serves them next.
    pub(super) fn limit(&mut self, limits: &TenantLimits) {
        let its = self.served.values_mut().filter(|kept| kept.limits.tenant == limits.tenant);
        its.for_each(|kept| kept.limits = limits.clone());
    }

    /// Every ledger, with its function's name.
    pub(super) fn ledgers(&self) -> impl Iterator<Item = (&str, &Ledger)> {
        self.served.values().map(|kept| (kept.function.as_str(), &kept.ledger))
    }

    /// Requests that wait for a worker, by function.
    pub(super) fn demand(&self) -> HashMap<&str, usize> {
        let mut demand = HashMap::new();
        for (function, ledger) in self.ledgers() {
            *demand.entry(function).or_default() += ledger.open().count();
        }
        demand
    }

    /// Whether every request that was accepted has ended.
    pub(super) fn are_idle(&self) -> bool {
        self.ledgers().all(|(_, ledger)| ledger.open().next().is_none())
    }

    /// Gives all channels up, for `why`.
    pub(super) fn give_up(&mut self, why: &str) {
        for kept in std::mem::take(&mut self.served).into_values() {
            kept.hang_up();
            if let Some(answer) = kept.answer {
                let _gone = answer.send(Err(why.to_owned()));
            }
        }
    }

    /// Hangs up the channels of some functions, as far as a worker has served them.
    pub(super) fn hang_up(&mut self, is_of: impl Fn(&str) -> bool) {
        let is_one = |kept: &Kept| kept.answer.is_none() && is_of(&kept.function);
        let those = self.served.extract_if(.., |_, kept| is_one(kept));
        those.for_each(|(_, kept)| kept.hang_up());
    }

    /// Takes a channel out that its worker is to leave before its peer is told.
    pub(super) fn withdraw(&mut self, attachment: Attachment) {
        if let Some(kept) = self.served.remove(&attachment) {
            self.withdrawn.insert(attachment, kept);
        }
    }

    /// No worker has a hand in a channel any more that was withdrawn.
    pub(super) fn left(&mut self, attachment: Attachment) {
        if let Some(kept) = self.withdrawn.remove(&attachment) {
            kept.hang_up();
        }
    }

    /// There is no worker: none has a hand in what was withdrawn.
    pub(super) fn are_left(&mut self) {
        std::mem::take(&mut self.withdrawn).into_values().for_each(|kept| kept.hang_up());
    }

    /// Gives one channel up that a worker does not serve.
    pub(super) fn refuse(&mut self, attachment: Attachment, why: String) {
        let Some(kept) = self.served.remove(&attachment) else { return };
        match kept.answer {
            Some(answer) => drop(answer.send(Err(why))),
            None => kept.hang_up(),
        }
    }
}
