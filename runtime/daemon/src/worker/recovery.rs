//! What another worker had accepted when it died, taken up by this one before anything new.
//!
//! The ledgers alone say what that is; each slot is then read and checked as if it had just been
//! submitted. This runs once, before this worker answers anybody, and may allocate.

use super::channel::Stage;
use super::dispatch::Dispatch;
use super::intake::Accepted;
use crate::ledger::{self, Entry};
use gpumux_core::{Event, MonoTime, Past};
use gpumux_wire::outcome::{Outcome, Reason, Refusal};
use gpumux_wire::wake;
use std::cmp::Reverse;

/// An open request and its channel's place.
type Found = (usize, Entry);

impl Dispatch {
    /// Takes up what the channels hold that another worker served, and serves them.
    pub(super) fn resume(&mut self, now: MonoTime) {
        let mut found = self.found();
        // Trials in this order convict a function that sends nothing but poison with the fewest
        // deaths: what is nearest to its conviction comes first.
        found.sort_by_key(|(_, entry)| {
            (entry.strikes == 0, Reverse(entry.strikes), suspected_with(entry), entry.arrived)
        });
        let mut trial = 0;
        let mut last = None;
        for (place, entry) in found {
            if self.answered_at_once(place, &entry) {
                continue;
            }
            let past = if entry.strikes == 0 {
                Past::Innocent
            } else {
                let with = (entry.strikes, suspected_with(&entry));
                trial += u32::from(entry.alone || last != Some(with));
                last = Some(with);
                Past::Suspect { trial }
            };
            let Entry { slot, generation, arrived, .. } = entry;
            self.admit(now, &Accepted { place, slot, generation, arrived, past });
        }
        self.feed(now, Event::Recovered);
        for channel in self.channels[..self.places].iter_mut().flatten() {
            if channel.stage == Stage::Resuming {
                channel.stage = Stage::Serving;
                // The dead worker may have taken the duty to wake the peer with it.
                let _gone = wake::notify(&channel.wake);
            }
        }
    }

    fn found(&self) -> Vec<Found> {
        let channels = self.channels[..self.places].iter().enumerate();
        let resuming = channels.filter_map(|(place, channel)| {
            channel.as_deref().filter(|it| it.stage == Stage::Resuming).map(|it| (place, it))
        });
        resuming
            .flat_map(|(place, channel)| channel.ledger.open().map(move |entry| (place, entry)))
            .collect()
    }

    /// Ends a request that does not run again, if it is one.
    fn answered_at_once(&mut self, place: usize, entry: &Entry) -> bool {
        let Some(channel) = &self.channels[place] else { return true };
        let outcome = if entry.cancelled {
            Outcome::Cancelled
        } else if entry.stage == ledger::Stage::Poison {
            Outcome::Refused(Refusal::because(Reason::Poison))
        } else if self.functions[channel.function.index()].quarantined.get() {
            Outcome::Refused(Refusal::because(Reason::Quarantined))
        } else {
            return false;
        };
        self.answer_unread(place, (entry.slot, entry.generation), outcome);
        true
    }
}

/// What a suspect is tried with: the batch that it ran in, unless that has been tried.
fn suspected_with(entry: &Entry) -> u64 {
    if entry.alone || entry.strikes == 0 { 0 } else { entry.batch }
}
