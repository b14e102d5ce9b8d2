//! The scheduler's one function and the tables behind it.

use crate::batch::{Batch, Batches, Next, Progress, Stage};
use crate::bucket::{Bucket, Buckets};
use crate::event::{Action, Arrival, Ending, Event, Past};
use crate::function::{FunctionSpec, FunctionState, Priority, Sharing};
use crate::heap::Heap;
use crate::id::{BatchId, BucketId, FunctionId, LaneId, RequestId};
use crate::list::{Links, List};
use crate::policy::{Decision, Policy};
use crate::request::{Place, Requests};
use crate::time::MonoTime;
use crate::trial::Trials;

/// Sizes of the tables, fixed at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most open requests.
    pub requests: u32,
    /// Lanes of the device.
    pub lanes: u16,
    /// Segments of one batch that may be outstanding.
    pub run_ahead: u32,
}

/// Which batch runs next, where, until when.
#[derive(Debug)]
pub struct Scheduler {
    tables: Tables,
    policy: Box<dyn Policy>,
    /// What the last `WakeAt` said.
    wake: MonoTime,
}

#[derive(Debug)]
pub(crate) struct Tables {
    limits: Limits,
    draining: bool,
    /// No batch begins any more.
    halted: bool,
    /// What a dead worker had admitted is being given again; no batch begins until that is over.
    recovering: bool,
    pub(crate) functions: Box<[FunctionSpec]>,
    pub(crate) states: Box<[FunctionState]>,
    requests: Requests,
    pub(crate) request_links: Links,
    pub(crate) buckets: Buckets,
    pub(crate) batches: Batches,
    pub(crate) batch_links: Links,
    pub(crate) trials: Trials,
    /// Closed batches without a lane, in the order of their closing.
    closed: List,
    /// Which batch holds each lane.
    pub(crate) lanes: Box<[Option<BatchId>]>,
    /// Waiting requests that have a budget, by its end.
    deadlines: Heap,
    /// Buckets in use, by the arrival of their oldest request.
    ages: Heap,
    /// The same, by priority.
    ages_of: [Heap; Priority::ALL.len()],
    /// Buckets in use, by when that request has waited `max_wait`.
    dues: Heap,
    /// The bucket that the last arrival filled.
    pub(crate) full: Option<BucketId>,
}

impl Scheduler {
    /// A scheduler for these functions, nothing open.
    ///
    /// # Panics
    /// When a function has no bucket or an empty batch: configuration is checked before.
    pub fn new(limits: Limits, functions: Vec<FunctionSpec>, policy: Box<dyn Policy>) -> Self {
        assert!(limits.run_ahead > 0 && limits.lanes > 0, "something must be able to run");
        let buckets = Buckets::new(&functions);
        let tables = Tables {
            limits,
            draining: false,
            halted: false,
            recovering: false,
            states: vec![FunctionState::default(); functions.len()].into_boxed_slice(),
            functions: functions.into_boxed_slice(),
            requests: Requests::new(limits.requests),
            request_links: Links::new(limits.requests),
            batches: Batches::new(limits.requests),
            batch_links: Links::new(limits.requests),
            closed: List::EMPTY,
            trials: Trials::NONE,
            lanes: vec![None; usize::from(limits.lanes)].into_boxed_slice(),
            deadlines: Heap::new(limits.requests),
            ages: Heap::new(buckets.count()),
            ages_of: Priority::ALL.map(|_| Heap::new(buckets.count())),
            dues: Heap::new(buckets.count()),
            buckets,
            full: None,
        };
        Self { tables, policy, wake: MonoTime::NEVER }
    }

    /// Most actions that one event can cause: a caller that reserves as many never allocates.
    pub fn actions_max(&self) -> usize {
        // Every request may end once, every batch be released, begun and issued up to run-ahead, and
        // one wake-up be asked for.
        self.tables.limits.requests as usize * (3 + self.tables.limits.run_ahead as usize) + 1
    }

    /// Takes one event in and appends what must be done.
    ///
    /// # Panics
    /// On an event that cannot have happened, such as a segment that retires twice: a bug of the
    /// owner's. Nothing that a peer does can cause it.
    pub fn on(&mut self, now: MonoTime, event: Event, actions: &mut Vec<Action>) {
        let tables = &mut self.tables;
        match event {
            Event::Arrived(arrival) => tables.arrive(&arrival, actions),
            Event::Cancelled { request } => tables.cancel(request, actions),
            Event::Begun { batch, segments } => {
                tables.progress(now, batch, Progress::Begun(segments), actions);
            }
            Event::SegmentRetired { batch } => {
                tables.progress(now, batch, Progress::Retired, actions);
            }
            Event::Failed { batch } => tables.progress(now, batch, Progress::Failed, actions),
            Event::Tick => (),
            Event::Drain => tables.draining = true,
            Event::Recovered => tables.recovering = false,
            Event::Halt => tables.halted = true,
        }
        tables.expire(now, actions);
        let due = self.decide(now, actions);
        self.ask_to_wake(now, due, actions);
    }

    /// The requests of a batch, oldest first, from `Begin` until `Release`.
    pub fn members(&self, batch: BatchId) -> impl Iterator<Item = RequestId> + '_ {
        let first = self.tables.batches.get(batch).members.first();
        std::iter::successors(first, |member| self.tables.request_links.next(*member))
            .map(RequestId)
    }

    /// The function of a batch.
    pub fn function(&self, batch: BatchId) -> FunctionId {
        self.tables.batches.get(batch).function
    }

    /// Requests of a function that wait.
    pub fn queued(&self, function: FunctionId) -> u32 {
        self.tables.states[function.index()].queued
    }

    /// Whether nothing waits and nothing runs.
    pub fn is_idle(&self) -> bool {
        self.runs_nothing() && self.tables.states.iter().all(|state| state.queued == 0)
    }

    /// Whether no batch has a lane.
    pub fn runs_nothing(&self) -> bool {
        self.tables.lanes.iter().all(Option::is_none)
    }

    /// The policy in force.
    pub fn policy(&self) -> &'static str {
        self.policy.name()
    }

    /// Asks the policy until it waits. Every other answer uses up a waiting request or a closed
    /// batch, so there is an end. While trials have the device the policy is not asked.
    fn decide(&mut self, now: MonoTime, actions: &mut Vec<Action>) -> MonoTime {
        if self.tables.halted || self.tables.recovering {
            return MonoTime::NEVER;
        }
        if self.tables.trials.have_the_device() {
            if let Some(batch) = self.tables.next_trial() {
                self.tables.start(now, batch, LaneId(0), actions);
            }
            return MonoTime::NEVER;
        }
        loop {
            match self.policy.plan(now, &View(&self.tables)) {
                Decision::Close(bucket) => self.tables.close(bucket),
                Decision::Start(batch, lane) => self.tables.start(now, batch, lane, actions),
                Decision::Wait(until) => return until,
            }
        }
    }

    fn ask_to_wake(&mut self, now: MonoTime, due: MonoTime, actions: &mut Vec<Action>) {
        let deadline = self.tables.deadlines.first().map_or(MonoTime::NEVER, |(at, _)| at);
        let wake = due.min(deadline);
        if self.wake <= now {
            self.wake = MonoTime::NEVER;
        }
        // A moment asked for earlier than needed costs one idle tick, a later one is not asked for.
        if wake < self.wake {
            self.wake = wake;
            actions.push(Action::WakeAt(wake));
        }
    }
}

/// What a policy may look at.
#[derive(Debug)]
pub struct View<'a>(&'a Tables);

impl View<'_> {
    /// A lane that no batch holds.
    pub fn free_lane(&self) -> Option<LaneId> {
        let free = self.0.lanes.iter().position(Option::is_none)?;
        u16::try_from(free).ok().map(LaneId)
    }

    /// The batch that was closed first of those without a lane.
    pub fn oldest_closed(&self) -> Option<BatchId> {
        self.0.closed.first().map(BatchId)
    }

    /// The bucket whose oldest request arrived first.
    pub fn oldest_bucket(&self) -> Option<BucketId> {
        self.0.ages.first().map(|(_, bucket)| BucketId(bucket))
    }

    /// Of the buckets of the highest priority in use, the one whose oldest request arrived first.
    pub fn foremost_bucket(&self) -> Option<BucketId> {
        let foremost = Priority::ALL.iter().find_map(|it| self.0.ages_of[*it as usize].first())?;
        Some(BucketId(foremost.1))
    }

    /// A bucket that holds a whole batch.
    pub fn full_bucket(&self) -> Option<BucketId> {
        self.0.full
    }

    /// A bucket whose oldest request has waited `max_wait`.
    pub fn due_bucket(&self, now: MonoTime) -> Option<BucketId> {
        self.0.dues.first().filter(|(at, _)| *at <= now).map(|(_, bucket)| BucketId(bucket))
    }

    /// When the next bucket is due.
    pub fn next_due(&self) -> MonoTime {
        self.0.dues.first().map_or(MonoTime::NEVER, |(at, _)| at)
    }
}

impl Tables {
    fn arrive(&mut self, arrival: &Arrival, actions: &mut Vec<Action>) {
        let Arrival { request, function, length, arrived, budget, past } = *arrival;
        assert_eq!(self.requests.get(request).place, Place::Free, "{request:?} is open already");
        if past == Past::New
            && let Some(ending) = self.refusal(function)
        {
            actions.push(Action::Complete { request, ending });
            return;
        }
        self.recovering |= past != Past::New;
        let place = match past {
            Past::Suspect { trial } => Place::Closed(self.join_trial(trial, function, request)),
            Past::New | Past::Innocent => Place::Bucket(self.buckets.of(function, length)),
        };
        let awaited = past == Past::Innocent && self.states[function.index()].trials == 0;
        self.trials.awaited += u32::from(awaited);
        let entry = self.requests.get_mut(request);
        *entry = crate::request::Request { place, function, length, arrived, awaited };
        if let Some(budget) = budget {
            self.deadlines.set(request.0, arrived.after(budget));
        }
        self.states[function.index()].queued += 1;
        if let Place::Bucket(bucket) = place {
            let waiting = &mut self.buckets.get_mut(bucket).waiting;
            waiting.push_back(&mut self.request_links, request.0);
            self.order(bucket);
            self.note_if_full(bucket);
        }
    }

    /// Why a new request of a function is not admitted, if it is not.
    fn refusal(&self, function: FunctionId) -> Option<Ending> {
        let (spec, state) = (&self.functions[function.index()], &self.states[function.index()]);
        if self.draining {
            return Some(Ending::Draining);
        }
        let retry_after = state.retry_after(spec.max_batch);
        (state.queued >= spec.queue).then_some(Ending::QueueFull { retry_after })
    }

    /// Notes a bucket that holds a whole batch, unless its function's trials come first.
    pub(crate) fn note_if_full(&mut self, bucket: BucketId) {
        let Bucket { function, ref waiting, .. } = *self.buckets.get(bucket);
        let is_full = waiting.len() >= self.functions[function.index()].max_batch;
        if is_full && self.states[function.index()].trials == 0 {
            self.full = Some(bucket);
        }
    }

    /// Puts a bucket where its oldest request belongs in both orders, or out of them: when it is
    /// empty, or its function's trials come first.
    pub(crate) fn order(&mut self, bucket: BucketId) {
        let Bucket { function, ref waiting, .. } = *self.buckets.get(bucket);
        let spec = &self.functions[function.index()];
        let on_trial = self.states[function.index()].trials > 0;
        let Some(oldest) = waiting.first().filter(|_| !on_trial) else {
            self.ages.remove(bucket.0);
            self.ages_of[spec.priority as usize].remove(bucket.0);
            self.dues.remove(bucket.0);
            return;
        };
        let arrived = self.requests.get(RequestId(oldest)).arrived;
        self.ages.set(bucket.0, arrived);
        self.ages_of[spec.priority as usize].set(bucket.0, arrived);
        self.dues.set(bucket.0, arrived.after(spec.max_wait));
    }

    fn cancel(&mut self, request: RequestId, actions: &mut Vec<Action>) {
        match &mut self.requests.get_mut(request).place {
            Place::Free => (),
            Place::Running { cancelled, .. } => *cancelled = true,
            Place::Bucket(_) | Place::Closed(_) => {
                self.leave(request, Ending::Cancelled, actions);
            }
        }
    }

    /// Ends the requests whose deadline has passed while they waited.
    fn expire(&mut self, now: MonoTime, actions: &mut Vec<Action>) {
        while let Some((_, request)) = self.deadlines.first().filter(|(at, _)| *at <= now) {
            self.leave(RequestId(request), Ending::DeadlineMissed, actions);
        }
    }

    /// Ends a request that waits, and the closed batch that it leaves empty.
    fn leave(&mut self, request: RequestId, ending: Ending, actions: &mut Vec<Action>) {
        match self.requests.get(request).place {
            Place::Bucket(bucket) => {
                let waiting = &mut self.buckets.get_mut(bucket).waiting;
                waiting.remove(&mut self.request_links, request.0);
                if self.full == Some(bucket) {
                    self.full = None;
                }
                self.order(bucket);
            }
            Place::Closed(batch) => {
                let members = &mut self.batches.get_mut(batch).members;
                members.remove(&mut self.request_links, request.0);
                if members.len() == 0 {
                    self.drop_empty(batch);
                }
            }
            place @ (Place::Free | Place::Running { .. }) => {
                unreachable!("{request:?} does not wait: {place:?}")
            }
        }
        self.stop_waiting(request);
        self.end(request, ending, actions);
    }

    /// Gives up a batch without a lane that nobody is left in.
    fn drop_empty(&mut self, batch: BatchId) {
        let Batch { function, on_trial, .. } = *self.batches.get(batch);
        let list = if on_trial { &mut self.trials.waiting } else { &mut self.closed };
        list.remove(&mut self.batch_links, batch.0);
        self.batches.release(batch);
        if on_trial {
            self.end_trial(function);
        }
    }

    fn stop_waiting(&mut self, request: RequestId) {
        self.deadlines.remove(request.0);
        let function = self.requests.get(request).function;
        self.states[function.index()].queued -= 1;
    }

    fn end(&mut self, request: RequestId, ending: Ending, actions: &mut Vec<Action>) {
        let entry = self.requests.get_mut(request);
        entry.place = Place::Free;
        self.trials.awaited -= u32::from(std::mem::take(&mut entry.awaited));
        actions.push(Action::Complete { request, ending });
    }

    /// Makes a closed batch of a bucket's oldest requests.
    fn close(&mut self, bucket: BucketId) {
        let function = self.buckets.get(bucket).function;
        let spec = &self.functions[function.index()];
        let oldest = self.buckets.get(bucket).waiting.first().expect("a policy closes what waits");
        let length = self.requests.get(RequestId(oldest)).length;
        let batch = self.batches.open(function);
        let mut candidate = Some(oldest);
        while let Some(request) = candidate {
            candidate = self.request_links.next(request);
            let entry = self.requests.get_mut(RequestId(request));
            if spec.sharing == Sharing::EqualLength && entry.length != length {
                continue;
            }
            entry.place = Place::Closed(batch);
            self.buckets.get_mut(bucket).waiting.remove(&mut self.request_links, request);
            let members = &mut self.batches.get_mut(batch).members;
            members.push_back(&mut self.request_links, request);
            if members.len() == spec.max_batch {
                break;
            }
        }
        self.closed.push_back(&mut self.batch_links, batch.0);
        if self.full == Some(bucket) {
            self.full = None;
        }
        self.order(bucket);
    }

    fn start(&mut self, now: MonoTime, batch: BatchId, lane: LaneId, actions: &mut Vec<Action>) {
        let holder = &mut self.lanes[lane.index()];
        assert_eq!(*holder, None, "a policy starts on a free lane");
        *holder = Some(batch);
        let entry = self.batches.get_mut(batch);
        let list = match entry.stage {
            Stage::Closed => &mut self.closed,
            Stage::Suspect => &mut self.trials.waiting,
            stage => unreachable!("a batch that starts has no lane: {stage:?}"),
        };
        list.remove(&mut self.batch_links, batch.0);
        entry.stage = Stage::Binding(lane);
        entry.begun = now;
        let mut member = entry.members.first();
        while let Some(request) = member {
            member = self.request_links.next(request);
            self.requests.get_mut(RequestId(request)).place =
                Place::Running { batch, cancelled: false };
            self.stop_waiting(RequestId(request));
        }
        actions.push(Action::Begin { batch, lane });
    }

    fn progress(
        &mut self,
        now: MonoTime,
        batch: BatchId,
        progress: Progress,
        actions: &mut Vec<Action>,
    ) {
        let run_ahead = self.limits.run_ahead;
        match self.batches.get(batch).stage.on(progress, run_ahead) {
            Next::Issue { lane, first, stage } => {
                self.batches.get_mut(batch).stage = stage;
                if let Stage::Running { issued, .. } = stage {
                    let issue = |segment| Action::Issue { batch, lane, segment };
                    actions.extend((first..issued).map(issue));
                }
            }
            Next::Over(lane) => self.finish(now, batch, lane, true, actions),
            Next::Broken(lane) => self.finish(now, batch, lane, false, actions),
        }
    }

    /// Ends a batch that had a lane, and each of its members.
    fn finish(
        &mut self,
        now: MonoTime,
        batch: BatchId,
        lane: LaneId,
        ran: bool,
        actions: &mut Vec<Action>,
    ) {
        let Batch { function, members, begun, on_trial, .. } = *self.batches.get(batch);
        let on_device = now.since(begun);
        if ran {
            self.states[function.index()].learn(on_device);
        }
        let mut member = members.first();
        while let Some(request) = member {
            member = self.request_links.next(request);
            let entry = self.requests.get(RequestId(request));
            let cancelled = entry.place == Place::Running { batch, cancelled: true };
            let queued = begun.since(entry.arrived);
            let ending = match (cancelled, ran) {
                (true, _) => Ending::Cancelled,
                (false, true) => Ending::Done { queued, ran: on_device, batch: members.len() },
                (false, false) => Ending::DeviceFailed,
            };
            self.end(RequestId(request), ending, actions);
        }
        self.lanes[lane.index()] = None;
        self.batches.release(batch);
        actions.push(Action::Release { batch });
        if on_trial {
            self.trials.running = None;
            self.end_trial(function);
        }
    }
}
