//! The scheduler under random events on simulated time: whatever happens, every request ends once,
//! batches keep their rules, and nothing is allocated after start.

use gpumux_core::policy;
use gpumux_core::{
    Action, Arrival, BatchId, Ending, Event, FunctionId, FunctionSpec, LaneId, Limits, MonoTime,
    Past, Priority, RequestId, Scheduler, Sharing,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;

const REQUESTS: u32 = 48;
const LANES: u16 = 2;

fn functions() -> Vec<FunctionSpec> {
    let spec = FunctionSpec {
        buckets: vec![16, 64, 512],
        max_batch: 4,
        max_wait: Duration::from_micros(200),
        queue: 12,
        sharing: Sharing::AnyLength,
        priority: Priority::Normal,
    };
    let equal = FunctionSpec {
        sharing: Sharing::EqualLength,
        buckets: vec![512],
        priority: Priority::High,
        ..spec.clone()
    };
    let single =
        FunctionSpec { max_batch: 1, buckets: vec![512], priority: Priority::Low, ..spec.clone() };
    vec![spec, equal, single]
}

/// What the checker knows of one open request.
#[derive(Clone, Copy, Debug)]
struct Open {
    function: FunctionId,
    length: u32,
    arrived: MonoTime,
    order: u64,
    deadline: MonoTime,
    cancelled: bool,
    batch: Option<BatchId>,
    past: Past,
    /// Trials have to wait for it.
    first: bool,
}

fn is_suspect(open: &Open) -> bool {
    matches!(open.past, Past::Suspect { .. })
}

/// A batch that the checker's device holds.
#[derive(Clone, Copy, Debug)]
struct OnLane {
    batch: BatchId,
    segments: u32,
    issued: u32,
    retired: u32,
}

/// When, what happened, what had to be done.
type Step = (MonoTime, Event, Vec<Action>);

struct World {
    seed: u64,
    now: MonoTime,
    random: StdRng,
    scheduler: Scheduler,
    specs: Vec<FunctionSpec>,
    open: Vec<Option<Open>>,
    lanes: [Option<OnLane>; LANES as usize],
    /// Batches that were begun and not yet bound.
    unbound: Vec<(BatchId, LaneId)>,
    wake: MonoTime,
    arrivals: u64,
    endings: u64,
    trace: Vec<Step>,
}

impl World {
    fn new(seed: u64) -> Self {
        let limits = Limits { requests: REQUESTS, lanes: LANES, run_ahead: 2 };
        // Neighbouring seeds have different policies.
        let names = policy::NAMES;
        let name = names[usize::try_from(seed).expect("a small seed") % names.len()];
        let policy = policy::by_name(name).expect("it is registered");
        Self {
            seed,
            now: MonoTime::ZERO,
            random: StdRng::seed_from_u64(seed),
            scheduler: Scheduler::new(limits, functions(), policy),
            specs: functions(),
            open: vec![None; REQUESTS as usize],
            lanes: [None; LANES as usize],
            unbound: Vec::new(),
            wake: MonoTime::NEVER,
            arrivals: 0,
            endings: 0,
            trace: Vec::new(),
        }
    }

    fn tell(&mut self, event: Event) {
        let mut actions = Vec::with_capacity(self.scheduler.actions_max());
        let (scheduler, now) = (&mut self.scheduler, self.now);
        let cost = allocation_counter::measure(|| scheduler.on(now, event, &mut actions));
        assert_eq!(cost.count_total, 0, "seed {}: {event:?} allocates", self.seed);
        self.trace.push((self.now, event, actions.clone()));
        for action in actions {
            self.act(action);
        }
        for queued in self.open.iter().flatten().filter(|open| open.batch.is_none()) {
            assert!(self.now < queued.deadline, "seed {}: waits past its deadline", self.seed);
        }
    }

    fn act(&mut self, action: Action) {
        let seed = self.seed;
        match action {
            Action::Begin { batch, lane } => {
                assert!(self.lanes[lane.index()].is_none(), "seed {seed}: lane in use");
                self.check_members(batch);
                self.check_trial(batch);
                let on_lane = OnLane { batch, segments: 0, issued: 0, retired: 0 };
                self.lanes[lane.index()] = Some(on_lane);
                self.unbound.push((batch, lane));
            }
            Action::Issue { batch, lane, segment } => {
                let on_lane = self.lanes[lane.index()].as_mut().expect("issued on a held lane");
                assert_eq!((on_lane.batch, on_lane.issued), (batch, segment), "seed {seed}");
                on_lane.issued += 1;
                assert!(on_lane.issued <= on_lane.segments, "seed {seed}");
                assert!(on_lane.issued - on_lane.retired <= 2, "seed {seed}: past run-ahead");
            }
            Action::Complete { request, ending } => {
                let open = self.open[request.index()].take();
                let open = open.unwrap_or_else(|| panic!("seed {seed}: {request:?} ended twice"));
                self.endings += 1;
                self.check_ending(open, ending);
            }
            Action::Release { batch } => {
                let lane =
                    self.lanes.iter_mut().find(|lane| lane.is_some_and(|l| l.batch == batch));
                *lane.unwrap_or_else(|| panic!("seed {seed}: {batch:?} has no lane")) = None;
                assert!(self.open.iter().flatten().all(|open| open.batch != Some(batch)));
            }
            Action::WakeAt(at) => self.wake = at,
        }
    }

    fn check_members(&mut self, batch: BatchId) {
        let seed = self.seed;
        let members: Vec<RequestId> = self.scheduler.members(batch).collect();
        let function = self.scheduler.function(batch);
        let spec = &self.specs[function.index()];
        assert!(!members.is_empty() && members.len() <= spec.max_batch as usize, "seed {seed}");
        let known: Vec<Open> =
            members.iter().map(|member| self.open[member.index()].expect("open")).collect();
        assert!(known.iter().all(|open| open.function == function), "seed {seed}");
        assert!(known.is_sorted_by_key(|open| open.order), "seed {seed}: not in order");
        let bucket = |length| spec.buckets.iter().position(|max| length <= *max);
        let past = known[0].past;
        let mixed = known.iter().any(|open| is_suspect(open) && open.past != past);
        assert!(!mixed, "seed {seed}: two trials in one batch");
        let alike = known.iter().all(|open| bucket(open.length) == bucket(known[0].length));
        assert!(alike || is_suspect(&known[0]), "seed {seed}");
        if spec.sharing == Sharing::EqualLength && !is_suspect(&known[0]) {
            assert!(known.iter().all(|open| open.length == known[0].length), "seed {seed}");
        }
        for member in members {
            self.open[member.index()].as_mut().expect("open").batch = Some(batch);
        }
    }

    /// A batch that begins respects the trials: its own, and those of others.
    fn check_trial(&self, batch: BatchId) {
        let seed = self.seed;
        let members = || self.open.iter().flatten().filter(|open| open.batch == Some(batch));
        let first = members().next().expect("a batch has members");
        let on_lanes = self.open.iter().flatten().filter(|open| open.batch.is_some());
        let mut beside = on_lanes.filter(|open| open.batch != Some(batch));
        let waiting = || self.open.iter().flatten().filter(|open| open.batch.is_none());
        if is_suspect(first) {
            assert!(beside.next().is_none(), "seed {seed}: a trial beside another batch");
            assert!(!waiting().any(|open| open.first), "seed {seed}: innocents come first");
            let own = |open: &&Open| open.past == first.past;
            assert_eq!(waiting().filter(own).count(), 0, "seed {seed}: a trial in parts");
        } else {
            assert!(!beside.any(is_suspect), "seed {seed}: a batch beside a trial");
            let on_trial = |open: &Open| is_suspect(open) && open.function == first.function;
            assert!(!waiting().any(on_trial), "seed {seed}: a function before its trials");
        }
    }

    fn check_ending(&self, open: Open, ending: Ending) {
        let seed = self.seed;
        match ending {
            Ending::Done { .. } | Ending::DeviceFailed => {
                assert!(open.batch.is_some() && !open.cancelled, "seed {seed}: {open:?}");
            }
            Ending::Cancelled => assert!(open.cancelled, "seed {seed}: {open:?}"),
            Ending::DeadlineMissed => {
                assert!(open.batch.is_none(), "seed {seed}: {open:?}");
                // Simulated time stops at every wake-up, so the end is exact.
                assert_eq!(open.deadline, self.now, "seed {seed}: {open:?}");
            }
            Ending::QueueFull { .. } | Ending::Draining => {
                assert_eq!(open.arrived, self.now, "seed {seed}: refused late");
                assert_eq!(open.past, Past::New, "seed {seed}: refused what was admitted");
            }
        }
    }

    /// What a worker that died had admitted: suspects by trial, then innocents.
    fn recover(&mut self) {
        for trial in 0..self.random.random_range(0..4) {
            let function = FunctionId(self.random.random_range(0..3));
            let batch = self.specs[function.index()].max_batch;
            for _ in 0..self.random.random_range(1..=batch) {
                self.arrive_as(function, Past::Suspect { trial });
            }
        }
        for _ in 0..self.random.random_range(0..20) {
            let function = FunctionId(self.random.random_range(0..3));
            self.arrive_as(function, Past::Innocent);
        }
        self.tell(Event::Recovered);
    }

    fn arrive(&mut self) {
        let function = FunctionId(self.random.random_range(0..3));
        self.arrive_as(function, Past::New);
    }

    fn arrive_as(&mut self, function: FunctionId, past: Past) {
        let Some(free) = self.open.iter().position(Option::is_none) else { return };
        let request = RequestId(u32::try_from(free).expect("few requests"));
        let length = [1, 16, 17, 64, 65, 512][self.random.random_range(0..6)];
        let budget = self
            .random
            .random_bool(0.3)
            .then(|| Duration::from_micros(self.random.random_range(1..400)));
        let deadline = budget.map_or(MonoTime::NEVER, |budget| self.now.after(budget));
        let mut known = self.open.iter().flatten();
        let on_trial = known.any(|open| is_suspect(open) && open.function == function);
        self.open[free] = Some(Open {
            function,
            length,
            arrived: self.now,
            order: self.arrivals,
            deadline,
            cancelled: false,
            batch: None,
            past,
            first: past == Past::Innocent && !on_trial,
        });
        self.arrivals += 1;
        let arrived = self.now;
        self.tell(Event::Arrived(Arrival { request, function, length, arrived, budget, past }));
    }

    fn cancel(&mut self) {
        let index = self.random.random_range(0..REQUESTS);
        if let Some(open) = &mut self.open[index as usize] {
            open.cancelled = true;
        }
        self.tell(Event::Cancelled { request: RequestId(index) });
    }

    fn bind(&mut self) {
        if self.unbound.is_empty() {
            return;
        }
        let (batch, lane) = self.unbound.remove(0);
        if self.random.random_bool(0.1) {
            self.tell(Event::Failed { batch });
            return;
        }
        let segments = self.random.random_range(0..5);
        self.lanes[lane.index()].as_mut().expect("bound on a held lane").segments = segments;
        self.tell(Event::Begun { batch, segments });
    }

    fn retire(&mut self) {
        let running = |lane: &&mut Option<OnLane>| lane.is_some_and(|l| l.retired < l.issued);
        let Some(lane) = self.lanes.iter_mut().find(running) else { return };
        let on_lane = lane.as_mut().expect("just seen");
        on_lane.retired += 1;
        let batch = on_lane.batch;
        self.tell(Event::SegmentRetired { batch });
    }

    /// Moves time, stopping at every wake-up that was asked for.
    fn pass(&mut self, span: Duration) {
        let until = self.now.after(span);
        while self.wake <= until {
            self.now = self.wake;
            self.wake = MonoTime::NEVER;
            self.tell(Event::Tick);
        }
        self.now = until;
    }
}

fn run(seed: u64) -> Vec<Step> {
    let mut world = World::new(seed);
    // Some runs are slow to serve, some slow to arrive.
    let service = world.random.random_range(1..6);
    if world.random.random_bool(0.5) {
        world.recover();
    }
    for _ in 0..400 {
        match world.random.random_range(0..12) {
            0..4 => world.arrive(),
            4 => world.cancel(),
            5 | 6 => {
                let span = Duration::from_micros(world.random.random_range(0..300));
                world.pass(span);
            }
            _ => (0..service).for_each(|_| {
                world.bind();
                world.retire();
            }),
        }
    }
    world.tell(Event::Drain);
    world.arrive();
    while !world.scheduler.is_idle() {
        world.bind();
        world.retire();
    }
    assert_eq!(world.endings, world.arrivals, "seed {seed}: every request ends once");
    assert!(world.open.iter().all(Option::is_none), "seed {seed}");
    world.trace
}

#[test]
fn every_request_ends_once_and_every_seed_replays() {
    for seed in 0..2_000 {
        let trace = run(seed);
        if seed % 100 == 0 {
            assert_eq!(trace, run(seed), "seed {seed} is not deterministic");
        }
    }
}

#[test]
fn a_lone_request_starts_at_once_and_company_waits_for_the_lane() {
    let mut world = World::new(0);
    let arrive = |world: &mut World, index: u32| {
        let request = RequestId(index);
        world.open[index as usize] = Some(Open {
            function: FunctionId(2),
            length: 1,
            arrived: world.now,
            order: u64::from(index),
            deadline: MonoTime::NEVER,
            cancelled: false,
            batch: None,
            past: Past::New,
            first: false,
        });
        world.tell(Event::Arrived(Arrival {
            request,
            function: FunctionId(2),
            length: 1,
            arrived: world.now,
            budget: None,
            past: Past::New,
        }));
    };
    for index in 0..3 {
        arrive(&mut world, index);
    }
    assert_eq!(world.unbound.len(), 2, "two lanes, two batches of one");
    assert_eq!(world.scheduler.queued(FunctionId(2)), 1);
}

#[test]
fn after_a_halt_what_runs_is_finished_and_nothing_begins() {
    let mut world = World::new(0);
    for _ in 0..40 {
        world.arrive();
    }
    let running = world.unbound.len();
    world.tell(Event::Halt);
    while !world.scheduler.runs_nothing() {
        world.bind();
        world.retire();
    }
    assert!(running > 0 && world.endings > 0);
    assert!(world.open.iter().flatten().count() > 0, "what waited waits still");
}
