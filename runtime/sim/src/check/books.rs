//! What a history means so far: who waits, what runs where, what was said.

use crate::history::Seen;
use crate::simulation::World;
use gpumux_core::{
    Arrival, BatchId, Ending, Event, FunctionId, FunctionSpec, LaneId, MonoTime, Past, RequestId,
};
use std::collections::BTreeMap;

/// See the file's head.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) functions: Vec<FunctionSpec>,
    pub(super) run_ahead: u32,
    pub(super) lanes: u16,
    /// Whether no lane may be idle while somebody waits.
    pub(super) is_work_conserving: bool,
    /// The policy promises that a higher priority goes first.
    pub(super) is_by_priority: bool,
    /// By number.
    requests: Vec<Option<Open>>,
    pub(super) batches: BTreeMap<BatchId, Running>,
    /// What is answered now.
    pub(super) event: Option<Event>,
    pub(super) draining: bool,
    pub(super) halted: bool,
    pub(super) recovering: bool,
}

/// A request that has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) arrival: Arrival,
    pub(super) batch: Option<BatchId>,
    pub(super) cancelled: bool,
    /// It arrived behind suspects of its function, and waits for their trials.
    pub(super) barred: bool,
}

impl Open {
    pub(super) fn deadline(&self) -> MonoTime {
        let Arrival { arrived, budget, .. } = self.arrival;
        budget.map_or(MonoTime::NEVER, |budget| arrived.after(budget))
    }

    pub(super) fn is_suspect(&self) -> bool {
        matches!(self.arrival.past, Past::Suspect { .. })
    }
}

/// The policy that serves strictly by priority.
const BY_PRIORITY: &str = "sequoia-priority";

/// A batch that has a lane.
#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) lane: LaneId,
    pub(super) members: Vec<RequestId>,
    pub(super) begun: MonoTime,
    /// How many segments it has, once it is bound.
    pub(super) segments: Option<u32>,
    pub(super) issued: u32,
    pub(super) retired: u32,
    pub(super) failed: bool,
    /// It is on trial.
    pub(super) on_trial: bool,
}

impl Running {
    pub(super) fn has_ended(&self) -> bool {
        self.failed || self.segments == Some(self.retired)
    }
}

impl Books {
    pub(super) fn new(world: &World) -> Self {
        Self {
            functions: world.functions.clone(),
            run_ahead: world.run_ahead,
            lanes: u16::try_from(world.lanes.len()).expect("lanes are few"),
            is_work_conserving: ["fifo", BY_PRIORITY].contains(&world.policy.as_str()),
            is_by_priority: world.policy == BY_PRIORITY,
            requests: Vec::new(),
            batches: BTreeMap::new(),
            event: None,
            draining: false,
            halted: false,
            recovering: false,
        }
    }

    pub(super) fn open(&self, request: RequestId) -> Option<&Open> {
        self.requests.get(request.index())?.as_ref()
    }

    pub(super) fn all_open(&self) -> impl Iterator<Item = &Open> {
        self.requests.iter().flatten()
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = &Open> {
        self.all_open().filter(|open| open.batch.is_none())
    }

    pub(super) fn spec(&self, function: FunctionId) -> &FunctionSpec {
        &self.functions[function.index()]
    }

    pub(super) fn holder(&self, lane: LaneId) -> Option<BatchId> {
        let mut held = self.batches.iter().filter(|(_, running)| running.lane == lane);
        held.next().map(|(batch, _)| *batch)
    }

    /// Whether the event that is answered now is the arrival of this request.
    pub(super) fn answers_arrival_of(&self, request: RequestId) -> bool {
        matches!(self.event, Some(Event::Arrived(arrival)) if arrival.request == request)
    }

    fn open_mut(&mut self, request: RequestId) -> Option<&mut Open> {
        self.requests.get_mut(request.index())?.as_mut()
    }

    /// Takes in what no rule forbade.
    pub(super) fn enter(&mut self, now: MonoTime, seen: &Seen<'_>) {
        match seen {
            Seen::Event(event) => self.enter_event(*event),
            Seen::Begin { batch, lane, function: _, members } => {
                let mut on_trial = false;
                for member in *members {
                    if let Some(open) = self.open_mut(*member) {
                        open.batch = Some(*batch);
                        on_trial |= open.is_suspect();
                    }
                }
                let running = Running {
                    lane: *lane,
                    members: members.to_vec(),
                    begun: now,
                    segments: None,
                    issued: 0,
                    retired: 0,
                    failed: false,
                    on_trial,
                };
                self.batches.insert(*batch, running);
            }
            Seen::Issue { batch, .. } => {
                if let Some(running) = self.batches.get_mut(batch) {
                    running.issued += 1;
                }
            }
            Seen::Complete { request, ending: _ } => {
                if let Some(place) = self.requests.get_mut(request.index()) {
                    *place = None;
                }
            }
            Seen::Release { batch } => {
                self.batches.remove(batch);
            }
            Seen::WakeAt(_) | Seen::End => (),
        }
    }

    fn enter_event(&mut self, event: Event) {
        self.event = Some(event);
        match event {
            Event::Arrived(arrival) => {
                let place = arrival.request.index();
                if self.requests.len() <= place {
                    self.requests.resize(place + 1, None);
                }
                self.recovering |= arrival.past != Past::New;
                let suspects =
                    |open: &&Open| open.is_suspect() && open.arrival.function == arrival.function;
                let barred = self.all_open().any(|open| suspects(&open));
                self.requests[place] =
                    Some(Open { arrival, batch: None, cancelled: false, barred });
            }
            Event::Cancelled { request } => {
                if let Some(open) = self.open_mut(request) {
                    open.cancelled = true;
                }
            }
            Event::Begun { batch, segments } => {
                if let Some(running) = self.batches.get_mut(&batch) {
                    running.segments = Some(segments);
                }
            }
            Event::SegmentRetired { batch } => {
                if let Some(running) = self.batches.get_mut(&batch) {
                    running.retired += 1;
                }
            }
            Event::Failed { batch } => {
                if let Some(running) = self.batches.get_mut(&batch) {
                    running.failed = true;
                }
            }
            Event::Tick => (),
            Event::Drain => self.draining = true,
            Event::Recovered => self.recovering = false,
            Event::Halt => self.halted = true,
        }
    }
}

/// Whether it can only be the answer to an arrival.
pub(super) fn refuses(ending: &Ending) -> bool {
    match ending {
        Ending::QueueFull { .. } | Ending::Draining => true,
        Ending::Done { .. } | Ending::DeadlineMissed | Ending::Cancelled | Ending::DeviceFailed => {
            false
        }
    }
}
