//! Looks on at a run and writes down what the report says.

use super::{Figures, FunctionReport, LaneReport, ProfileReport, Quantiles, Report};
use crate::history::{Seen, Watch};
use crate::scenario::{RunOptions, Scenario};
use crate::simulation::Ended;
use gpumux_core::{Arrival, BatchId, Ending, Event, FunctionId, MonoTime, RequestId};
use hdrhistogram::Histogram;
use std::time::Duration;

/// Latencies are kept to three digits, from 1 ns up to this.
const LONGEST: Duration = Duration::from_secs(3600);
const DIGITS: u8 = 3;

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Recorder {
    /// By function.
    tallies: Vec<Tally>,
    lanes: Vec<Lane>,
    /// By number.
    open: Vec<Option<Arrival>>,
}

#[derive(Clone, Debug)]
struct Tally {
    objective: Option<Duration>,
    arrivals: u64,
    done: u64,
    deadline_missed: u64,
    refused_queue_full: u64,
    with_objective: u64,
    met: u64,
    latency: Histogram<u64>,
    batches: u64,
    members: u64,
    tokens: u64,
    padded: u64,
    sm_nanos: u128,
}

#[derive(Clone, Debug)]
struct Lane {
    sms: u32,
    held: Option<(BatchId, FunctionId, MonoTime)>,
    occupied: Duration,
    batches: u64,
}

impl Tally {
    fn new(objective: Option<Duration>) -> Self {
        let bounds = "the bounds are in order";
        Self {
            objective,
            arrivals: 0,
            done: 0,
            deadline_missed: 0,
            refused_queue_full: 0,
            with_objective: 0,
            met: 0,
            latency: Histogram::new_with_max(nanos(LONGEST), DIGITS).expect(bounds),
            batches: 0,
            members: 0,
            tokens: 0,
            padded: 0,
            sm_nanos: 0,
        }
    }

    fn add(&mut self, other: &Self) {
        self.arrivals += other.arrivals;
        self.done += other.done;
        self.deadline_missed += other.deadline_missed;
        self.refused_queue_full += other.refused_queue_full;
        self.with_objective += other.with_objective;
        self.met += other.met;
        self.latency.add(&other.latency).expect("both have the same bounds");
        self.batches += other.batches;
        self.members += other.members;
        self.tokens += other.tokens;
        self.padded += other.padded;
        self.sm_nanos += other.sm_nanos;
    }

    fn figures(&self) -> Figures {
        let sm_s = seconds(self.sm_nanos);
        Figures {
            arrivals: self.arrivals,
            done: self.done,
            deadline_missed: self.deadline_missed,
            refused_queue_full: self.refused_queue_full,
            with_objective: self.with_objective,
            met: self.met,
            attainment: share(self.met, self.with_objective),
            latency: quantiles(&self.latency),
            batches: self.batches,
            batch_mean: share(self.members, self.batches),
            padding: share(self.padded, self.tokens),
            sm_s,
            sm_s_per_met: share(1, self.met).map(|one| one * sm_s),
        }
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "a figure to be read, not counted on")]
fn seconds(nanos: u128) -> f64 {
    nanos as f64 / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "counts fit 53 bits")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn quantiles(latency: &Histogram<u64>) -> Option<Quantiles> {
    let at = |share| latency.value_at_quantile(share);
    (!latency.is_empty()).then(|| Quantiles {
        mean_ns: latency.mean(),
        p50_ns: at(0.5),
        p90_ns: at(0.9),
        p99_ns: at(0.99),
        p99_9_ns: at(0.999),
        max_ns: latency.max(),
    })
}

impl Recorder {
    /// `objective` is that of every function, instead of its own.
    pub(crate) fn new(scenario: &Scenario, objective: Option<Duration>) -> Self {
        let tally = |own: Option<Duration>| Tally::new(objective.or(own));
        let lane = |sms: &u32| Lane { sms: *sms, held: None, occupied: Duration::ZERO, batches: 0 };
        Self {
            tallies: scenario.functions.iter().map(|function| tally(function.objective)).collect(),
            lanes: scenario.lanes.iter().map(lane).collect(),
            open: Vec::new(),
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        let place = arrival.request.index();
        if self.open.len() <= place {
            self.open.resize(place + 1, None);
        }
        self.open[place] = Some(arrival);
        let tally = &mut self.tallies[arrival.function.index()];
        tally.arrivals += 1;
        tally.with_objective += u64::from(tally.objective.is_some());
    }

    fn begin(&mut self, function: FunctionId, members: &[RequestId]) {
        let lengths = || members.iter().filter_map(|it| self.open[it.index()]).map(|it| it.length);
        let own: u64 = lengths().map(u64::from).sum();
        let count = u64::try_from(members.len()).unwrap_or(u64::MAX);
        let all = u64::from(lengths().max().unwrap_or(0)) * count;
        let tally = &mut self.tallies[function.index()];
        tally.members += count;
        tally.tokens += own;
        tally.padded += all - own;
    }

    fn complete(&mut self, now: MonoTime, request: RequestId, ending: Ending) {
        let Some(arrival) = self.open[request.index()].take() else { return };
        let tally = &mut self.tallies[arrival.function.index()];
        match ending {
            Ending::Done { .. } => {
                let latency = now.since(arrival.arrived);
                tally.done += 1;
                tally.met += u64::from(tally.objective.is_some_and(|most| latency <= most));
                tally.latency.saturating_record(nanos(latency));
            }
            Ending::DeadlineMissed => tally.deadline_missed += 1,
            Ending::QueueFull { .. } => tally.refused_queue_full += 1,
            // A scenario has neither drains nor cancellations nor batches that fail.
            Ending::Draining | Ending::Cancelled | Ending::DeviceFailed => (),
        }
    }

    fn release(&mut self, now: MonoTime, batch: BatchId) {
        for lane in &mut self.lanes {
            let Some((_, function, begun)) = lane.held.filter(|(held, ..)| *held == batch) else {
                continue;
            };
            lane.held = None;
            lane.batches += 1;
            let span = now.since(begun);
            lane.occupied += span;
            let tally = &mut self.tallies[function.index()];
            tally.batches += 1;
            tally.sm_nanos += span.as_nanos() * u128::from(lane.sms);
        }
    }

    pub(crate) fn report(self, scenario: &Scenario, options: &RunOptions, ended: Ended) -> Report {
        let mut all = Tally::new(None);
        self.tallies.iter().for_each(|tally| all.add(tally));
        let simulated_s = seconds(ended.at.as_nanos().into());
        let occupied = |held: Duration| {
            if simulated_s > 0.0 { held.as_secs_f64() / simulated_s } else { 0.0 }
        };
        let functions = || self.tallies.iter().zip(&scenario.functions);
        Report {
            scenario: scenario.name.clone(),
            policy: options.policy.clone(),
            seed: options.seed,
            simulated_s,
            events: ended.events,
            reserved_sm_s: simulated_s * f64::from(scenario.lanes.iter().sum::<u32>()),
            all: all.figures(),
            functions: functions()
                .map(|(tally, function)| FunctionReport {
                    function: function.name.clone(),
                    figures: tally.figures(),
                })
                .collect(),
            lanes: self
                .lanes
                .iter()
                .map(|lane| LaneReport {
                    sms: lane.sms,
                    occupied: occupied(lane.occupied),
                    batches: lane.batches,
                })
                .collect(),
            profiles: functions()
                .map(|(_, function)| {
                    let error = function.profile.error();
                    ProfileReport {
                        function: function.name.clone(),
                        profile: function.profile.name().to_owned(),
                        device: function.profile.device().to_owned(),
                        emulated: function.profile.is_emulated(),
                        interpolation_error_worst: error.map(|error| error.worst),
                        interpolation_error_mean: error.map(|error| error.mean),
                    }
                })
                .collect(),
        }
    }
}

impl Watch for Recorder {
    fn see(&mut self, now: MonoTime, seen: Seen<'_>) {
        match seen {
            Seen::Event(Event::Arrived(arrival)) => self.arrive(arrival),
            Seen::Begin { batch, lane, function, members } => {
                self.lanes[lane.index()].held = Some((batch, function, now));
                self.begin(function, members);
            }
            Seen::Complete { request, ending } => self.complete(now, request, ending),
            Seen::Release { batch } => self.release(now, batch),
            Seen::Event(_) | Seen::Issue { .. } | Seen::WakeAt(_) | Seen::End => (),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpumux_core::{LaneId, Past};

    fn at(millis: u64) -> MonoTime {
        MonoTime::from_nanos(millis * 1_000_000)
    }

    fn arrives(request: u32, millis: u64, length: u32) -> Seen<'static> {
        Seen::Event(Event::Arrived(Arrival {
            request: RequestId(request),
            function: FunctionId(0),
            length,
            arrived: at(millis),
            budget: None,
            past: Past::New,
        }))
    }

    #[test]
    fn figures_are_those_of_a_history_reckoned_by_hand() {
        let scenario = Scenario::example().unwrap();
        let mut recorder = Recorder::new(&scenario, Some(Duration::from_millis(10)));
        let (one, two, three) = (RequestId(0), RequestId(1), RequestId(2));
        let batch = BatchId(0);
        let members = [one, two];
        let begin =
            Seen::Begin { batch, lane: LaneId(1), function: FunctionId(0), members: &members };
        let done = Ending::Done { queued: Duration::ZERO, ran: Duration::ZERO, batch: 2 };
        let full = Ending::QueueFull { retry_after: Duration::ZERO };
        for (millis, seen) in [
            (0, arrives(0, 0, 10)),
            (4, arrives(1, 4, 30)),
            (4, begin),
            (5, arrives(2, 5, 30)),
            (5, Seen::Complete { request: three, ending: full }),
            (12, Seen::Complete { request: one, ending: done }),
            (12, Seen::Complete { request: two, ending: done }),
            (12, Seen::Release { batch }),
        ] {
            recorder.see(at(millis), seen);
        }
        let options =
            RunOptions { seed: 0, policy: "fifo".to_owned(), requests: None, objective: None };
        let report =
            recorder.report(&scenario, &options, Ended { at: at(16), events: 0, arrivals: 3 });
        let Figures { arrivals, done, refused_queue_full, with_objective, met, .. } = report.all;
        assert_eq!((arrivals, done, refused_queue_full, with_objective, met), (3, 2, 1, 3, 1));
        // The refusal is a miss, and so is the one that took 12 ms.
        assert_eq!(report.all.attainment, Some(1.0 / 3.0));
        assert_eq!((report.all.batches, report.all.batch_mean), (1, Some(2.0)));
        // 20 more than the 40 that were asked for.
        assert_eq!(report.all.padding, Some(0.5));
        // 8 ms on 8 SMs; the lane is held for half of the time.
        assert!((report.all.sm_s - 0.064).abs() < 1e-12);
        assert_eq!(report.all.sm_s_per_met, Some(report.all.sm_s));
        assert_eq!((report.lanes[1].occupied, report.lanes[1].batches), (0.5, 1));
        assert!((report.reserved_sm_s - 0.016 * 32.0).abs() < 1e-12);
        let latency = report.all.latency.unwrap();
        assert!((11_990_000..=12_010_000).contains(&latency.max_ns), "{latency:?}");
        assert_eq!(report.functions[1].figures.arrivals, 0);
        assert_eq!(report.functions[1].figures.latency, None);
    }
}
