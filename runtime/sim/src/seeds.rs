//! Small random worlds, each from a seed: functions, lanes, limits, arrivals in bursts, budgets,
//! cancellations, failing batches, drains, halts, and what a dead worker had admitted. Every rule is
//! checked on all that happens in them.

use crate::check::{Broken, Checker};
use crate::device::{Timing, Work};
use crate::history::{Seen, Watch};
use crate::random::{Purpose, Random, stream};
use crate::simulation::{Faults, Incident, Simulation, UnknownPolicy, World};
use gpumux_core::{Ending, Event, FunctionId, FunctionSpec, MonoTime, Past, Priority, Sharing};
use rand::RngExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use thiserror::Error;

/// The longest length that is served.
const LENGTH_MAX: u32 = 64;
/// When the last incident may come, in microseconds.
const END_US: u64 = 60_000;

/// What came of a seed that should not have.
#[derive(Debug, Error)]
pub enum SeedFailure {
    /// A rule was broken.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The scheduler found itself wrong.
    #[error("the scheduler panicked: {0}")]
    Panicked(String),
    /// There is no such policy.
    #[error(transparent)]
    Policy(#[from] UnknownPolicy),
}

/// What was seen of a world in which every rule held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Events that the scheduler was told of.
    pub events: u64,
    /// Requests that arrived.
    pub arrivals: u64,
    /// Requests that were done.
    pub done: u64,
    /// Requests that a full queue refused.
    pub queue_full: u64,
    /// Requests that a drain refused.
    pub draining: u64,
    /// Requests whose budget passed.
    pub deadline_missed: u64,
    /// Requests that were taken back.
    pub cancelled: u64,
    /// Requests whose batch failed.
    pub device_failed: u64,
    /// Segments that were issued.
    pub issued: u64,
    /// Requests that a dead worker had admitted.
    pub inherited: u64,
}

impl std::ops::AddAssign for Checked {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.arrivals += other.arrivals;
        self.done += other.done;
        self.queue_full += other.queue_full;
        self.draining += other.draining;
        self.deadline_missed += other.deadline_missed;
        self.cancelled += other.cancelled;
        self.device_failed += other.device_failed;
        self.issued += other.issued;
        self.inherited += other.inherited;
    }
}

impl Watch for Checked {
    fn see(&mut self, _: MonoTime, seen: Seen<'_>) {
        match seen {
            Seen::Event(event) => {
                self.events += 1;
                if let Event::Arrived(arrival) = event {
                    self.arrivals += 1;
                    self.inherited += u64::from(arrival.past != Past::New);
                }
            }
            Seen::Issue { .. } => self.issued += 1,
            Seen::Complete { ending, .. } => {
                *match ending {
                    Ending::Done { .. } => &mut self.done,
                    Ending::QueueFull { .. } => &mut self.queue_full,
                    Ending::Draining => &mut self.draining,
                    Ending::DeadlineMissed => &mut self.deadline_missed,
                    Ending::Cancelled => &mut self.cancelled,
                    Ending::DeviceFailed => &mut self.device_failed,
                } += 1;
            }
            Seen::Begin { .. } | Seen::Release { .. } | Seen::WakeAt(_) | Seen::End => (),
        }
    }
}

/// How long batches of a random world take.
#[derive(Clone, Debug)]
struct Drawn(Vec<DrawnFunction>);

#[derive(Clone, Copy, Debug)]
struct DrawnFunction {
    segments: u32,
    nanos: f64,
    nanos_per_token: f64,
    share: f64,
    copies: f64,
}

impl Timing for Drawn {
    fn work(&self, function: FunctionId, batch: u32, length: u32, sms: u32) -> Work {
        let drawn = self.0[function.index()];
        let tokens = f64::from(batch) * f64::from(length);
        Work {
            segments: drawn.segments,
            nanos: (drawn.nanos + drawn.nanos_per_token * tokens) / f64::from(sms),
            bandwidth_share: drawn.share,
            copy_in_nanos: drawn.copies * f64::from(batch),
            copy_out_nanos: drawn.copies * f64::from(batch) / 2.0,
        }
    }
}

/// A world, how long its batches take, and what happens in it.
struct Scene {
    world: World,
    timing: Drawn,
    incidents: Vec<(MonoTime, Incident)>,
    faults: Option<Faults>,
}

/// Runs the world of a seed, and looks at every rule.
///
/// # Errors
/// [`SeedFailure`].
pub fn check(seed: u64, policy: &str) -> Result<Checked, SeedFailure> {
    let Scene { world, timing, incidents, faults } = scene(seed, policy);
    let watch = (Checker::new(&world), Checked::default());
    let simulation = Simulation::new(&world, &timing, incidents.into_iter(), faults, watch)?;
    // Nothing of it is used again after a panic.
    let ran = catch_unwind(AssertUnwindSafe(|| simulation.run()));
    let (_, (checker, checked)) = ran.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        SeedFailure::Panicked(text.unwrap_or("without a word").to_owned())
    })?;
    match checker.into_broken() {
        Some(broken) => Err(broken.into()),
        None => Ok(checked),
    }
}

fn scene(seed: u64, policy: &str) -> Scene {
    let random = &mut stream(seed, Purpose::Trial, 0);
    let count = random.random_range(1..=4);
    let functions: Vec<FunctionSpec> = (0..count).map(|_| function(random)).collect();
    let timing = Drawn(functions.iter().map(|_| drawn(random)).collect());
    let lanes = random.random_range(1..=4);
    let inherited = if random.random_bool(0.25) { inheritance(random, &functions) } else { vec![] };
    let world = World {
        lanes: (0..lanes).map(|_| random.random_range(1..=16)).collect(),
        run_ahead: random.random_range(1..=4),
        inherited: u32::try_from(inherited.len()).expect("some tens"),
        policy: policy.to_owned(),
        functions,
    };
    let mut incidents: Vec<(MonoTime, Incident)> =
        inherited.into_iter().map(|incident| (MonoTime::ZERO, incident)).collect();
    let from = incidents.len();
    let count = random.random_range(0..=200u64);
    arrivals(random, &world.functions, count, &mut incidents);
    if random.random_bool(0.5) {
        cancellations(random, &mut incidents);
    }
    let some = |random: &mut Random| MonoTime::from_nanos(random.random_range(0..END_US) * 1000);
    for (chance, incident) in [(0.3, Incident::Drain), (0.15, Incident::Halt)] {
        if random.random_bool(chance) {
            incidents.push((some(random), incident));
        }
    }
    // Stable: what was drawn first comes first, and what was inherited before all.
    incidents[from..].sort_by_key(|(at, _)| *at);
    let faults = random.random_bool(0.3).then(|| Faults {
        unbound: 0.1,
        broken: 0.05,
        random: stream(seed, Purpose::Faults, 0),
    });
    Scene { world, timing, incidents, faults }
}

fn function(random: &mut Random) -> FunctionSpec {
    let mut buckets: Vec<u32> =
        (0..random.random_range(0..=2)).map(|_| random.random_range(1..LENGTH_MAX)).collect();
    buckets.push(LENGTH_MAX);
    buckets.sort_unstable();
    buckets.dedup();
    FunctionSpec {
        buckets,
        max_batch: random.random_range(1..=8),
        max_wait: Duration::from_micros(random.random_range(0..=5_000)),
        queue: random.random_range(1..=20),
        sharing: if random.random_bool(0.5) { Sharing::AnyLength } else { Sharing::EqualLength },
        priority: Priority::ALL[random.random_range(0..Priority::ALL.len())],
    }
}

fn drawn(random: &mut Random) -> DrawnFunction {
    DrawnFunction {
        segments: random.random_range(0..=6),
        nanos: random.random_range(0.0..5e6),
        nanos_per_token: random.random_range(0.0..2e4),
        share: random.random_range(0.0..1.0),
        copies: if random.random_bool(0.5) { random.random_range(0.0..1e5) } else { 0.0 },
    }
}

fn any_function(random: &mut Random, functions: &[FunctionSpec]) -> FunctionId {
    let place = random.random_range(0..functions.len());
    FunctionId(u16::try_from(place).expect("some few"))
}

fn arrival(random: &mut Random, function: FunctionId, past: Past) -> Incident {
    let budget = match random.random_range(0..4) {
        0 | 1 => None,
        2 => Some(Duration::from_micros(random.random_range(0..=1_000))),
        _ => Some(Duration::from_micros(random.random_range(0..=30_000))),
    };
    // Often the same length, so that equal ones meet.
    let length = if random.random_bool(0.5) { 7 } else { random.random_range(1..=LENGTH_MAX) };
    Incident::Arrive { function, length, budget, past }
}

/// Arrivals in bursts and with gaps between them.
fn arrivals(
    random: &mut Random,
    functions: &[FunctionSpec],
    count: u64,
    out: &mut Vec<(MonoTime, Incident)>,
) {
    let mut at_us = 0;
    for _ in 0..count {
        if random.random_bool(0.5) {
            at_us += random.random_range(0..=2 * END_US / count);
        }
        let function = any_function(random, functions);
        let incident = arrival(random, function, Past::New);
        out.push((MonoTime::from_nanos(at_us * 1000), incident));
    }
}

/// Takes back some of what arrives, soon after it or at once.
fn cancellations(random: &mut Random, incidents: &mut Vec<(MonoTime, Incident)>) {
    let arrives = |(at, incident): &(MonoTime, Incident)| {
        matches!(incident, Incident::Arrive { .. }).then_some(*at)
    };
    let arrivals: Vec<MonoTime> = incidents.iter().filter_map(arrives).collect();
    for (ordinal, at) in (0..).zip(arrivals) {
        if random.random_bool(0.2) {
            let after = Duration::from_micros(random.random_range(0..=4_000));
            incidents.push((at.after(after), Incident::Cancel(ordinal)));
        }
    }
}

/// What a dead worker had admitted: suspects trial by trial, then innocents, then the word.
fn inheritance(random: &mut Random, functions: &[FunctionSpec]) -> Vec<Incident> {
    let mut incidents = Vec::new();
    for trial in 0..random.random_range(0..=3) {
        let function = any_function(random, functions);
        for _ in 0..random.random_range(1..=functions[function.index()].max_batch) {
            incidents.push(arrival(random, function, Past::Suspect { trial }));
        }
    }
    for _ in 0..random.random_range(0..=20) {
        let function = any_function(random, functions);
        incidents.push(arrival(random, function, Past::Innocent));
    }
    incidents.push(Incident::Recovered);
    incidents
}
