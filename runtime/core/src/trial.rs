//! Trials: a batch that ran when a worker died may have killed it. It runs again with the requests
//! that it had then, and with nothing else on the device, so that a second death convicts it alone.
//!
//! Trials begin when what else the dead worker had admitted has ended: the innocents come first. They
//! then follow each other, and the policy is asked again after the last. Until a function's trials are
//! over nothing else of it runs: a function that sends nothing but poison would otherwise kill the
//! worker as an innocent, over and over.

use crate::batch::Stage;
use crate::id::{BatchId, FunctionId, RequestId};
use crate::list::List;
use crate::scheduler::Tables;

/// What waits for its trial.
#[derive(Debug)]
pub(crate) struct Trials {
    /// Batches, in the order of their trials.
    pub(crate) waiting: List,
    /// The trial that was named last, and its batch, which may have ended.
    last: Option<(u32, BatchId)>,
    /// The batch that has the device.
    pub(crate) running: Option<BatchId>,
    /// Innocents that are open still: they come first.
    pub(crate) awaited: u32,
}

impl Trials {
    /// Nobody is suspected.
    pub(crate) const NONE: Self =
        Self { waiting: List::EMPTY, last: None, running: None, awaited: 0 };

    /// Whether no batch but one on trial may begin.
    pub(crate) fn have_the_device(&self) -> bool {
        self.running.is_some() || (self.awaited == 0 && self.waiting.first().is_some())
    }
}

impl Tables {
    /// Puts a suspect in the batch of its trial.
    pub(crate) fn join_trial(
        &mut self,
        trial: u32,
        function: FunctionId,
        request: RequestId,
    ) -> BatchId {
        let batch = match self.trials.last {
            Some((last, batch)) if last == trial => batch,
            _ => self.open_trial(trial, function),
        };
        let entry = self.batches.get_mut(batch);
        assert_eq!(
            (entry.stage, entry.function),
            (Stage::Suspect, function),
            "the requests of a trial are given one after the other"
        );
        entry.members.push_back(&mut self.request_links, request.0);
        batch
    }

    fn open_trial(&mut self, trial: u32, function: FunctionId) -> BatchId {
        let batch = self.batches.open(function);
        let entry = self.batches.get_mut(batch);
        (entry.stage, entry.on_trial) = (Stage::Suspect, true);
        self.trials.waiting.push_back(&mut self.batch_links, batch.0);
        self.trials.last = Some((trial, batch));
        self.states[function.index()].trials += 1;
        batch
    }

    /// The next batch to try, if the device is free for it.
    pub(crate) fn next_trial(&mut self) -> Option<BatchId> {
        if self.lanes.iter().any(Option::is_some) {
            return None;
        }
        let batch = self.trials.waiting.first().map(BatchId)?;
        self.trials.running = Some(batch);
        Some(batch)
    }

    /// A trial is over. After a function's last one its other requests have their turn.
    pub(crate) fn end_trial(&mut self, function: FunctionId) {
        let trials = &mut self.states[function.index()].trials;
        *trials -= 1;
        if *trials == 0 {
            for bucket in self.buckets.all_of(function) {
                self.order(bucket);
                self.note_if_full(bucket);
            }
        }
    }
}
