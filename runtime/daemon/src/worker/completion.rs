//! How requests end: results and refusals go back to their channels.

use super::dispatch::Dispatch;
use super::open::{Open, Seat};
use gpumux_core::{Ending, MonoTime, RequestId};
use gpumux_engine::Verdict;
use gpumux_wire::outcome::{Outcome, Reason, Refusal};
use gpumux_wire::record::ResponseRecord;
use std::time::Duration;

impl Dispatch {
    /// What a request that ran came to: its outputs in the channel, or a refusal for its values.
    fn result_of(&mut self, open: &Open) -> Outcome {
        let Some(Seat { lane, place }) = open.seat else { unreachable!("it ran") };
        let Some(running) = self.runners[lane].running() else { unreachable!("it ran") };
        let (binding, segments) = (running.binding, running.segments);
        if segments == 0 {
            return Outcome::Done;
        }
        let model = &self.functions[open.function.index()].model;
        let up = self.runners[lane].results();
        match model.verdict(binding, place, up) {
            Verdict::Good => {
                if let Some(channel) = &mut self.channels[open.channel] {
                    model.take(binding, place, &open.request, &mut channel.side, up);
                }
                Outcome::Done
            }
            // Where a value cannot be laid at one request's door, batches hold one request.
            Verdict::BadValue | Verdict::Unknown => {
                Outcome::Refused(Refusal::because(Reason::BadValue))
            }
        }
    }

    /// Tells a peer how its request ended.
    pub(super) fn complete(&mut self, now: MonoTime, request: RequestId, ending: Ending) {
        let open = self.open.remove(request);
        let outcome = match outcome_of(ending) {
            Outcome::Done => self.result_of(&open),
            other => other,
        };
        let Some(channel) = &mut self.channels[open.channel] else { return };
        self.counters.functions[open.function.index()].ended(outcome, now.since(open.arrived));
        let mut record = ResponseRecord::of(open.generation, outcome);
        if let Ending::Done { queued, ran, batch } = ending {
            record.queue_us = micros(queued);
            record.run_us = micros(ran);
            record.batch = batch;
        }
        channel.free(open.slot);
        if let Err(violation) = channel.answer(open.slot, &record) {
            self.violate(open.channel, violation);
        }
        self.part_if_done(open.channel);
    }
}

fn outcome_of(ending: Ending) -> Outcome {
    Outcome::Refused(match ending {
        Ending::Done { .. } => return Outcome::Done,
        Ending::DeadlineMissed => return Outcome::DeadlineMissed,
        Ending::Cancelled => return Outcome::Cancelled,
        Ending::QueueFull { retry_after } => {
            let retry_after_us = micros(retry_after);
            Refusal { retry_after_us, ..Refusal::because(Reason::QueueFull) }
        }
        Ending::Draining => Refusal::because(Reason::Draining),
        Ending::DeviceFailed => Refusal::because(Reason::DeviceFailed),
    })
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
