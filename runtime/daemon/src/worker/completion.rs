//! How requests end: results and refusals go back to their channels.

use super::counters::{Ended, Way};
use super::dispatch::Dispatch;
use super::open::{Open, Seat};
use crate::clock::Clock;
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
        let binding = running.binding;
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

    /// What is counted of a tenant's request that ends in a pass that began at `now`.
    fn ended(&self, (now, tenant): (MonoTime, usize), open: &Open, outcome: Outcome) -> Ended {
        let at = Clock.now();
        let latency = at.since(open.arrived);
        let budget = open.request.budget_us().map(Duration::from_micros);
        let mut ended = Ended { outcome, tenant, latency, budget, way: None, sm_ns: 0 };
        let Some(Seat { lane, .. }) = open.seat else { return ended };
        if let Some(running) = self.runners[lane].running() {
            let retired = running.retired(now);
            ended.way = Some(Way {
                queue: running.begun.since(open.arrived),
                copy: running.gathered.since(running.begun),
                device: retired.since(running.gathered),
                back: at.since(retired),
            });
            let length = u64::from(open.request.length());
            let lane = &self.counters.lanes[lane];
            ended.sm_ns = lane.owes(running.held(now), running.own, length);
        }
        ended
    }

    /// Tells a peer how its request ended.
    pub(super) fn complete(&mut self, now: MonoTime, request: RequestId, ending: Ending) {
        let open = self.open.remove(request);
        let outcome = match outcome_of(ending) {
            Outcome::Done => self.result_of(&open),
            other => other,
        };
        let Some(channel) = &self.channels[open.channel] else { return };
        let ended = self.ended((now, channel.tenant.place), &open, outcome);
        self.counters.functions[open.function.index()].ended(&ended);
        let Some(channel) = &mut self.channels[open.channel] else { return };
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
