//! One attached channel, as the dispatch thread sees it: which of its slots are open, and what its
//! peer asks next.

use super::tenant::Tenant;
use crate::ledger::Ledger;
use crate::link::Attachment;
use crate::os::sigbus::Watched;
use gpumux_core::{FunctionId, MonoTime, RequestId};
use gpumux_wire::channel::WorkerSide;
use gpumux_wire::record::{Entry, ResponseRecord, SubmissionKind};
use gpumux_wire::request::{RawRequest, Violation};
use gpumux_wire::wake;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A channel that a worker serves.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) attachment: Attachment,
    pub(super) tenant: Arc<Tenant>,
    pub(super) function: FunctionId,
    /// Says whether a page of its memory could not be had. Dropped before the mapping.
    memory: Watched,
    pub(super) side: WorkerSide,
    /// The worker's end of the wake-up channel.
    pub(super) wake: OwnedFd,
    /// What the next worker will believe.
    pub(super) ledger: Ledger,
    /// The request that each slot holds open.
    slots: Box<[Option<Held>]>,
    /// Open slots.
    open: u32,
    pub(super) stage: Stage,
    /// Something was published since its peer was last looked after.
    unannounced: bool,
    /// Its peer has been told that this thread sleeps, and what it has asked since then ends a sleep.
    listens: bool,
    /// Sleeps since it last asked something, up to [`QUIET_SLEEPS`].
    quiet: u8,
}

/// A peer that has asked nothing over so many sleeps is not told of each.
const QUIET_SLEEPS: u8 = 8;

/// Where a channel is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It was another worker's; what that one had accepted is to be taken up first.
    Resuming,
    /// Its peer is heard and answered.
    Serving,
    /// Nothing is read from it nor answered any more; what it holds is still to be cancelled.
    Leaving,
    /// All is cancelled; what runs is awaited.
    Emptying,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    generation: u32,
    request: RequestId,
}

/// What a peer asks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    /// To run what stands in a slot.
    Submit {
        /// The slot, which holds no open request.
        slot: u32,
        /// Which use of it this is.
        generation: u32,
    },
    /// To leave an open request off.
    Cancel(RequestId),
    /// Something that came too late to matter.
    Nothing,
}

impl Channel {
    /// A channel with its shared parts, to be served at `stage`.
    pub(super) fn new(
        attachment: Attachment,
        (tenant, function): (Arc<Tenant>, FunctionId),
        (side, memory): (WorkerSide, Watched),
        (wake, ledger): (OwnedFd, Ledger),
        stage: Stage,
    ) -> Self {
        let slots = vec![None; side.geometry().slots() as usize].into_boxed_slice();
        Self {
            attachment,
            tenant,
            function,
            memory,
            side,
            wake,
            ledger,
            slots,
            open: 0,
            stage,
            unannounced: false,
            listens: false,
            quiet: 0,
        }
    }

    /// Takes the next entry of the submission ring, if there is one. A request that it submits is
    /// accepted: whatever becomes of this worker, it has an end.
    pub(super) fn next(&mut self, now: MonoTime) -> Result<Option<Asked>, Violation> {
        if self.memory.is_lost() {
            return Err(Violation::MemoryLost);
        }
        let Some(word) = self.side.submissions.peek()? else { return Ok(None) };
        self.withdraw_sleep();
        self.quiet = 0;
        let Entry { slot, kind, generation } = Entry::decode(word, self.side.geometry().slots())?;
        let held = self.slots[slot as usize];
        let asked = match (kind, held) {
            (SubmissionKind::Submit, Some(_)) => return Err(Violation::SlotBusy { slot }),
            (SubmissionKind::Submit, None) => {
                self.ledger.accept(slot, generation, self.side.submissions.head(), now);
                Asked::Submit { slot, generation }
            }
            (SubmissionKind::Cancel, Some(held)) if held.generation == generation => {
                self.ledger.cancel(slot);
                Asked::Cancel(held.request)
            }
            // The request ended while its cancellation was on the way.
            (SubmissionKind::Cancel, _) => Asked::Nothing,
        };
        self.ledger.take(self.side.submissions.head().wrapping_add(1));
        self.side.submissions.advance();
        Ok(Some(asked))
    }

    /// Tells the peer, unless it has been told, that this thread sleeps until it is woken. Says
    /// whether there is something to do first.
    pub(super) fn announce_sleep(&mut self) -> bool {
        self.quiet = (self.quiet + 1).min(QUIET_SLEEPS);
        if self.listens {
            // What was asked since it was told ends the sleep.
            return self.memory.is_lost();
        }
        self.side.submissions.announce_sleep();
        self.listens = true;
        self.has_work()
    }

    /// After a sleep. Its peer may save itself the wake-up from now on, unless it is a quiet one: to
    /// tell those each time what concerns them never would make every sleep dear.
    pub(super) fn slept(&mut self) {
        if self.quiet < QUIET_SLEEPS {
            self.withdraw_sleep();
        }
    }

    fn withdraw_sleep(&mut self) {
        if std::mem::take(&mut self.listens) {
            self.side.submissions.withdraw_sleep();
        }
    }

    /// Takes its wake-ups back. Says whether its peer is still there.
    pub(super) fn woken(&mut self) -> bool {
        self.withdraw_sleep();
        wake::drain(&self.wake).is_ok()
    }

    /// Whether its peer asks something. An impossible count is work too: the next pass judges it, and
    /// memory that was lost.
    fn has_work(&self) -> bool {
        self.side.submissions.pending() != Ok(0) || self.memory.is_lost()
    }

    /// Copies a submitted slot's record out, and sees that it is the use of the slot that was meant.
    pub(super) fn read(&self, slot: u32, generation: u32) -> Result<RawRequest, Violation> {
        let raw = self.side.read_request(slot);
        let held = raw.generation();
        if held != generation {
            return Err(Violation::WrongGeneration { slot, held, claimed: generation });
        }
        Ok(raw)
    }

    /// Marks a slot as holding an open request.
    pub(super) fn hold(&mut self, slot: u32, generation: u32, request: RequestId) {
        self.slots[slot as usize] = Some(Held { generation, request });
        self.open += 1;
        self.tenant.opened();
    }

    /// Marks a slot as free. It is said before the answer, which lets the peer use the slot again.
    pub(super) fn free(&mut self, slot: u32) {
        if self.slots[slot as usize].take().is_some() {
            self.open -= 1;
            self.tenant.ended();
        }
    }

    /// The request that a slot holds open.
    pub(super) fn held(&self, slot: u32) -> Option<RequestId> {
        self.slots.get(slot as usize)?.map(|held| held.request)
    }

    pub(super) fn slot_count(&self) -> u32 {
        self.side.geometry().slots()
    }

    /// Whether nothing of it is open.
    pub(super) fn is_idle(&self) -> bool {
        self.open == 0
    }

    /// Whether nothing of it is open or to be cancelled: its memory is not needed any more.
    pub(super) fn is_done(&self) -> bool {
        self.stage == Stage::Emptying && self.is_idle()
    }

    /// Publishes an answer, unless nobody is there to read it.
    pub(super) fn answer(&mut self, slot: u32, record: &ResponseRecord) -> Result<(), Violation> {
        if !matches!(self.stage, Stage::Serving | Stage::Resuming) {
            return Ok(());
        }
        self.ledger.begin_answer(slot);
        self.side.write_response(slot, record);
        let kind = SubmissionKind::Submit;
        let entry = Entry { slot, kind, generation: record.generation };
        let staged = self.side.completions.stage(entry.encode());
        self.ledger.answer(staged.map_err(|_| Violation::CompletionRing)?);
        self.side.completions.publish();
        self.ledger.free(slot);
        self.unannounced = true;
        Ok(())
    }

    /// Wakes the peer if answers were published and it sleeps.
    pub(super) fn announce(&mut self) {
        if std::mem::take(&mut self.unannounced) && self.side.completions.take_wake_duty() {
            // A peer that is gone is the supervisor's to notice.
            let _gone = wake::notify(&self.wake);
        }
    }
}
