//! What peers ask: entries of the submission rings, and the slots that they name.

use super::channel::Asked;
use super::counters::Ended;
use super::dispatch::Dispatch;
use super::open::Open;
use gpumux_core::{Arrival, Event, MonoTime, Past};
use gpumux_wire::outcome::{Outcome, Reason, Refusal};
use gpumux_wire::record::ResponseRecord;
use gpumux_wire::request::Rejection;
use std::time::Duration;

/// Entries taken from one ring before the others have their turn.
const ENTRIES_A_PASS: usize = 32;

/// A request that was accepted, wherever it was read first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accepted {
    /// The channel's place.
    pub(super) place: usize,
    pub(super) slot: u32,
    pub(super) generation: u32,
    pub(super) arrived: MonoTime,
    pub(super) past: Past,
}

impl Dispatch {
    /// Reads what a peer asks, a bounded number of entries.
    pub(super) fn read_ring(&mut self, now: MonoTime, place: usize) -> bool {
        for taken in 0..ENTRIES_A_PASS {
            let Some(channel) = &mut self.channels[place] else { return taken > 0 };
            if !self.retirement.hears(channel) {
                return taken > 0;
            }
            match channel.next(now) {
                Ok(None) => return taken > 0,
                Ok(Some(Asked::Nothing)) => (),
                Ok(Some(Asked::Cancel(request))) => self.feed(now, Event::Cancelled { request }),
                Ok(Some(Asked::Submit { slot, generation })) => {
                    self.submit(now, place, slot, generation);
                }
                Err(violation) => self.violate(place, violation),
            }
        }
        true
    }

    fn submit(&mut self, now: MonoTime, place: usize, slot: u32, generation: u32) {
        let Some(channel) = &self.channels[place] else { return };
        let function = channel.function.index();
        self.counters.functions[function].arrived();
        if self.functions[function].quarantined.get() {
            let refusal = Refusal::because(Reason::Quarantined);
            return self.answer_unread(place, (slot, generation), Outcome::Refused(refusal));
        }
        if let Err(refusal) = channel.tenant.take(now) {
            return self.answer_unread(place, (slot, generation), Outcome::Refused(refusal));
        }
        let accepted = Accepted { place, slot, generation, arrived: now, past: Past::New };
        self.admit(now, &accepted);
    }

    /// Reads and checks the slot of an accepted request, and gives it to the scheduler.
    pub(super) fn admit(&mut self, now: MonoTime, accepted: &Accepted) {
        let Accepted { place, slot, generation, arrived, past } = *accepted;
        let Some(channel) = &mut self.channels[place] else { return };
        let function = channel.function;
        let arena_bytes = channel.side.geometry().arena_bytes();
        let signature = &self.functions[function.index()].signature;
        let read = channel.read(slot, generation).map_err(Rejection::Violation);
        let request = match read.and_then(|raw| raw.check(signature, arena_bytes)) {
            Ok(request) => request,
            Err(Rejection::Violation(violation)) => return self.violate(place, violation),
            Err(Rejection::Refused(refusal)) => {
                return self.answer_unread(place, (slot, generation), Outcome::Refused(refusal));
            }
        };
        let open =
            Open { channel: place, slot, generation, function, arrived, request, seat: None };
        let Some(id) = self.open.insert(open) else {
            let refusal = Refusal::because(Reason::QueueFull);
            return self.answer_unread(place, (slot, generation), Outcome::Refused(refusal));
        };
        channel.hold(slot, generation, id);
        let budget = request.budget_us().map(Duration::from_micros);
        let length = request.length();
        let arrival = Arrival { request: id, function, length, arrived, budget, past };
        self.feed(now, Event::Arrived(arrival));
    }

    /// Answers a slot, and its generation, whose request never reached the scheduler.
    pub(super) fn answer_unread(
        &mut self,
        place: usize,
        (slot, generation): (u32, u32),
        outcome: Outcome,
    ) {
        let Some(channel) = &mut self.channels[place] else { return };
        self.counters.functions[channel.function.index()].ended(&Ended {
            outcome,
            tenant: channel.tenant.place,
            latency: Duration::ZERO,
            budget: None,
            way: None,
            sm_ns: 0,
        });
        if let Err(violation) = channel.answer(slot, &ResponseRecord::of(generation, outcome)) {
            self.violate(place, violation);
        }
    }
}
