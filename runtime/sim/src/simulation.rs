//! Drives a scheduler on simulated time: events in order, the scheduler's answers done at once, as the
//! worker's dispatch thread does them.
//!
//! Events wait in a heap, ordered by their moment, at one moment by their kind in the order of a pass
//! of the worker's loop (what comes from outside, retirements, the tick), and then in the order in
//! which they were put there. So a run is a function of what it is given.

use crate::device::{Device, Foretold, Timing};
use crate::history::{Seen, Watch};
use crate::random::Random;
use gpumux_core::{
    Action, Arrival, BatchId, Event, FunctionId, FunctionSpec, LaneId, Limits, MonoTime, Past,
    RequestId, Scheduler, policy,
};
use rand::RngExt;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;
use thiserror::Error;

/// What is simulated.
#[derive(Clone, Debug)]
pub struct World {
    /// The functions that are served.
    pub functions: Vec<FunctionSpec>,
    /// SMs of each lane.
    pub lanes: Vec<u32>,
    /// Segments of a batch that may be outstanding.
    pub run_ahead: u32,
    /// Most requests that a dead worker had admitted, which no queue bounds.
    pub inherited: u32,
    /// The policy's name.
    pub policy: String,
}

/// There is no policy of that name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is no policy `{name}`: there is {}", policy::NAMES.map(|name| format!("`{name}`")).join(", "))]
pub struct UnknownPolicy {
    /// The name.
    pub name: String,
}

/// What comes from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incident {
    /// A request.
    Arrive {
        /// The function asked for.
        function: FunctionId,
        /// Its length.
        length: u32,
        /// How long it may wait for its batch to begin.
        budget: Option<Duration>,
        /// What is known of it.
        past: Past,
    },
    /// The peer takes back its request, counted in the order of arrivals from 0; if that is open.
    Cancel(u64),
    /// Nothing new is admitted any more.
    Drain,
    /// No batch begins any more.
    Halt,
    /// What a dead worker had admitted was given again.
    Recovered,
}

/// Batches that fail, at random.
#[derive(Debug)]
pub struct Faults {
    /// The share that cannot be bound.
    pub unbound: f64,
    /// The share of segments that take their batch with them.
    pub broken: f64,
    /// What they are drawn from.
    pub(crate) random: Random,
}

/// See the file's head. Incidents come in the order of their moments.
#[derive(Debug)]
pub struct Simulation<'a, Incidents, T, W> {
    now: MonoTime,
    scheduler: Scheduler,
    device: Device,
    timing: &'a T,
    incidents: Incidents,
    faults: Option<Faults>,
    watch: W,
    /// By number: its place in the order of arrivals, and its length.
    open: Vec<Option<Open>>,
    free: Vec<RequestId>,
    arrivals: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    serial: u64,
    wake: MonoTime,
    actions: Vec<Action>,
    follow_ups: VecDeque<Event>,
    foretold: Vec<Foretold>,
    members: Vec<RequestId>,
    /// The next incident, while it waits in the heap.
    incident: Option<Incident>,
    events: u64,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    ordinal: u64,
    length: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at: MonoTime,
    kind: Kind,
    serial: u64,
}

/// The order of the variants is that of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Incident,
    Retire(Foretold),
    Tick,
}

/// How a run went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The moment of the last event.
    pub at: MonoTime,
    /// Events that the scheduler was told of.
    pub events: u64,
    /// Requests that arrived.
    pub arrivals: u64,
}

impl World {
    /// Sizes that hold whatever these functions admit: what waits, what runs, one that is refused, and
    /// one too many, so that a checker sees it.
    fn limits(&self) -> Limits {
        let lanes = u16::try_from(self.lanes.len()).expect("lanes are few");
        let waiting: u32 = self.functions.iter().map(|function| function.queue).sum();
        let batch_max = self.functions.iter().map(|function| function.max_batch).max();
        let running = u32::from(lanes) * batch_max.unwrap_or(0);
        Limits {
            requests: waiting + running + self.inherited + 2,
            lanes,
            run_ahead: self.run_ahead,
        }
    }
}

impl<'a, Incidents, T, W> Simulation<'a, Incidents, T, W>
where
    Incidents: Iterator<Item = (MonoTime, Incident)>,
    T: Timing,
    W: Watch,
{
    /// A simulation at its beginning.
    ///
    /// # Errors
    /// [`UnknownPolicy`].
    pub fn new(
        world: &World,
        timing: &'a T,
        incidents: Incidents,
        faults: Option<Faults>,
        watch: W,
    ) -> Result<Self, UnknownPolicy> {
        let policy = policy::by_name(&world.policy)
            .ok_or_else(|| UnknownPolicy { name: world.policy.clone() })?;
        let limits = world.limits();
        let scheduler = Scheduler::new(limits, world.functions.clone(), policy);
        let mut simulation = Self {
            now: MonoTime::ZERO,
            scheduler,
            device: Device::new(&world.lanes),
            timing,
            incidents,
            faults,
            watch,
            open: vec![None; limits.requests as usize],
            free: (0..limits.requests).rev().map(RequestId).collect(),
            arrivals: 0,
            queue: BinaryHeap::new(),
            serial: 0,
            wake: MonoTime::NEVER,
            actions: Vec::new(),
            follow_ups: VecDeque::new(),
            foretold: Vec::new(),
            members: Vec::new(),
            incident: None,
            events: 0,
        };
        simulation.expect_incident();
        Ok(simulation)
    }

    /// Arrivals so far.
    pub fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// The simulated moment.
    pub fn now(&self) -> MonoTime {
        self.now
    }

    /// Does the next thing that happens. Says whether there was one.
    pub fn step(&mut self) -> bool {
        let Some(Reverse(Entry { at, kind, .. })) = self.queue.pop() else { return false };
        match kind {
            Kind::Incident => {
                self.now = at;
                if let Some(incident) = self.incident.take() {
                    self.happen(incident);
                }
                self.expect_incident();
            }
            Kind::Retire(foretold) => {
                if let Some(batch) = self.device.retires(foretold) {
                    self.now = at;
                    self.retire(foretold.lane, batch);
                }
            }
            Kind::Tick => {
                if at == self.wake {
                    self.now = at;
                    self.wake = MonoTime::NEVER;
                    self.feed(Event::Tick);
                }
            }
        }
        true
    }

    /// Goes on until nothing happens any more, or whoever looks on has seen enough.
    pub fn run(mut self) -> (Ended, W) {
        while !self.watch.is_over() && self.step() {}
        self.finish()
    }

    /// Ends it here.
    pub fn finish(mut self) -> (Ended, W) {
        self.watch.see(self.now, Seen::End);
        let ended = Ended { at: self.now, events: self.events, arrivals: self.arrivals };
        (ended, self.watch)
    }

    fn put(&mut self, at: MonoTime, kind: Kind) {
        self.serial += 1;
        self.queue.push(Reverse(Entry { at, kind, serial: self.serial }));
    }

    fn expect_incident(&mut self) {
        if let Some((at, incident)) = self.incidents.next() {
            self.incident = Some(incident);
            // One that is out of order comes at once.
            self.put(at.max(self.now), Kind::Incident);
        }
    }

    fn happen(&mut self, incident: Incident) {
        match incident {
            Incident::Arrive { function, length, budget, past } => {
                let request = self.free.pop().expect("limits hold whatever is admitted");
                self.open[request.index()] = Some(Open { ordinal: self.arrivals, length });
                self.arrivals += 1;
                let arrived = self.now;
                let arrival = Arrival { request, function, length, arrived, budget, past };
                self.feed(Event::Arrived(arrival));
            }
            Incident::Cancel(ordinal) => {
                let is_it = |open: &Option<Open>| open.is_some_and(|open| open.ordinal == ordinal);
                let place = self.open.iter().position(is_it);
                if let Some(request) = place.and_then(|place| u32::try_from(place).ok()) {
                    self.feed(Event::Cancelled { request: RequestId(request) });
                }
            }
            Incident::Drain => self.feed(Event::Drain),
            Incident::Halt => self.feed(Event::Halt),
            Incident::Recovered => self.feed(Event::Recovered),
        }
    }

    fn retire(&mut self, lane: LaneId, batch: BatchId) {
        let breaks = |faults: &mut Faults| faults.random.random_bool(faults.broken);
        if self.faults.as_mut().is_some_and(breaks) {
            self.device.clear(self.now, lane, &mut self.foretold);
            self.foretell();
            self.feed(Event::Failed { batch });
        } else {
            self.device.retire(self.now, lane, &mut self.foretold);
            self.foretell();
            self.feed(Event::SegmentRetired { batch });
        }
    }

    /// Gives the scheduler an event, and does what follows from it.
    fn feed(&mut self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next {
            self.events += 1;
            self.watch.see(self.now, Seen::Event(event));
            self.actions.clear();
            self.scheduler.on(self.now, event, &mut self.actions);
            for index in 0..self.actions.len() {
                self.perform(self.actions[index]);
            }
            next = self.follow_ups.pop_front();
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Begin { batch, lane } => self.begin(batch, lane),
            Action::Issue { batch, lane, segment } => {
                self.watch.see(self.now, Seen::Issue { batch, lane, segment });
                self.device.issue(self.now, lane, segment, &mut self.foretold);
                self.foretell();
            }
            Action::Complete { request, ending } => {
                self.watch.see(self.now, Seen::Complete { request, ending });
                // Ended twice is for the checkers to say: its number is given back once.
                if self.open[request.index()].take().is_some() {
                    self.free.push(request);
                }
            }
            Action::Release { batch } => {
                self.watch.see(self.now, Seen::Release { batch });
                self.device.free(batch);
            }
            Action::WakeAt(at) => {
                self.watch.see(self.now, Seen::WakeAt(at));
                // A moment that has passed is now, as for the worker's loop.
                self.wake = at.max(self.now);
                self.put(self.wake, Kind::Tick);
            }
        }
    }

    fn begin(&mut self, batch: BatchId, lane: LaneId) {
        self.members.clear();
        self.members.extend(self.scheduler.members(batch));
        let function = self.scheduler.function(batch);
        let members = &self.members;
        self.watch.see(self.now, Seen::Begin { batch, lane, function, members });
        let lengths = members.iter().filter_map(|member| self.open[member.index()]);
        let longest = lengths.map(|open| open.length).max().unwrap_or(0);
        let count = u32::try_from(members.len()).expect("a batch is small");
        let work = self.timing.work(function, count, longest, self.device.sms(lane));
        self.device.hold(lane, batch, work);
        let unbound = |faults: &mut Faults| faults.random.random_bool(faults.unbound);
        self.follow_ups.push_back(if self.faults.as_mut().is_some_and(unbound) {
            Event::Failed { batch }
        } else {
            Event::Begun { batch, segments: work.steps() }
        });
    }

    /// Puts what the device foretold in the heap.
    fn foretell(&mut self) {
        while let Some(foretold) = self.foretold.pop() {
            self.put(foretold.at, Kind::Retire(foretold));
        }
    }
}
