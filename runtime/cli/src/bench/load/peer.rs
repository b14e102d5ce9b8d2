//! A peer under orders: it makes its part of the arrivals, and says what became of them.
//!
//! One thread does all of it. Requests in flight cost no thread: the function's descriptor tells that
//! some may have ended.

use super::lengths::Lengths;
use super::pace::Pace;
use super::plan::{Arrivals, Plan};
use super::schedule::{Arrival, Schedule};
use super::tally::{Report, Tally};
use super::values::Values;
use crate::failure::{Failure, InputError};
use crate::given;
use clap::Args;
use gpumux_shim::{ChannelSize, Function, Pending, Readiness, Session, SubmitError, SubmitOptions};
use gpumux_wire::packet::{self, PacketError};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;

/// How often a peer says how far it is.
const PROGRESS: Duration = Duration::from_millis(250);
/// How long the answers to cancellations are waited for.
const CANCELLED: Duration = Duration::from_secs(1);
/// Most bytes of an arena, unless one request needs more.
const ARENA_BYTES: u64 = 64 << 20;
/// Room that is lost between blocks of unlike size.
const SLACK: u64 = 2;

/// How to take part.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Which peer of the plan
    #[arg(long)]
    peer: u32,
    /// The plan, as JSON
    #[arg(long)]
    plan: String,
}

/// What a peer is told, over its standard input.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// The run begins at this time since the machine's start.
    Begin { at: Duration },
    /// No more arrivals.
    Stop,
}

/// What a peer says, a line each.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum News {
    /// Its function is open.
    Ready,
    /// How many measured requests were sent and have ended.
    Progress { sent: u64, ended: u64 },
    /// All there is to say.
    Over(Box<Report>),
}

/// A request that is to be sent.
#[derive(Clone, Copy, Debug)]
struct Due {
    at: Duration,
    length: u32,
    measured: bool,
    /// Whether it found the channel full.
    waits: bool,
}

/// A request in flight.
struct Flight {
    pending: Pending,
    due: Due,
    submitted: Duration,
}

/// Where requests come from.
#[expect(clippy::large_enum_variant, reason = "a peer has one, and it does not move")]
enum Source {
    Open { schedule: Box<Schedule>, next: Option<Arrival> },
    Closed(Closed),
}

/// Requests that follow one another.
struct Closed {
    /// Requests that may begin now.
    idle: u32,
    /// Measured requests that are left.
    left: u64,
    number: u64,
    lengths: Lengths,
    random: StdRng,
}

struct Peer<'a> {
    plan: &'a Plan,
    index: u32,
    function: Function,
    values: Values,
    pace: Pace,
    source: Source,
    backlog: VecDeque<Due>,
    flights: Vec<Flight>,
    tally: Tally,
    /// When arrivals ended.
    over: Option<Duration>,
    cancelled: bool,
}

/// A peer's part of a plan, ready to run.
pub(super) struct Prepared {
    pub(super) function: Function,
    pub(super) values: Values,
    pub(super) lengths: Lengths,
}

/// Opens the function and draws what requests hold; checks that the plan fits the function.
///
/// # Errors
/// [`Failure`]: no daemon, no such function, or a plan that does not fit it.
pub(super) fn prepare(plan: &Plan, index: u32) -> Result<Prepared, Failure> {
    let session = Session::connect(&plan.socket)?;
    let least = ChannelSize { slots: 1, arena_bytes: 64 };
    let signature = session.open(&plan.function, least)?.signature().clone();
    let mut lengths = Lengths::new(&plan.lengths, signature.length_max)?;
    let given = given::read(&plan.inputs)?;
    let mut random = StdRng::seed_from_u64(plan.seed.wrapping_add(u64::from(index)));
    let values = Values::new(&signature, given, &plan.ranges, lengths.longest(), &mut random)?;
    if let Some(length) = values.given_length() {
        lengths = Lengths::fixed(length);
    }
    let longest = lengths.longest();
    let tensors = signature.inputs.iter().chain(&signature.outputs);
    let bytes: u64 = tensors
        .map(|spec| spec.bytes(longest).unwrap_or(u64::MAX / 64).next_multiple_of(64))
        .fold(64, u64::saturating_add);
    let wanted = bytes.saturating_mul(u64::from(plan.slots)).saturating_mul(SLACK);
    let arena_bytes = wanted.min(ARENA_BYTES).max(bytes).next_multiple_of(64);
    let function = session.open(&plan.function, ChannelSize { slots: plan.slots, arena_bytes })?;
    values.check(&function, longest)?;
    Ok(Prepared { function, values, lengths })
}

/// Takes part in a run.
///
/// # Errors
/// [`Failure`]: what keeps it from taking part. What ends it later is in its report.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let plan: Plan = serde_json::from_str(&options.plan).map_err(Failure::process)?;
    let Prepared { function, values, lengths } = prepare(&plan, options.peer)?;
    let answers = function.readiness()?;
    say(&News::Ready)?;
    let orders = std::io::stdin();
    let (Order::Begin { at }, _) = packet::receive(&orders, 0).map_err(Failure::process)? else {
        return Err(Failure::process("it was stopped before it began"));
    };
    let source = Source::new(&plan, options.peer, lengths)?;
    let mut peer = Peer {
        plan: &plan,
        index: options.peer,
        function,
        values,
        pace: Pace::new(at)?,
        source,
        backlog: VecDeque::new(),
        flights: Vec::new(),
        tally: Tally::new(),
        over: None,
        cancelled: false,
    };
    let ended = peer.attend(&answers, &orders);
    peer.leave();
    let failure = ended.err().map(|failure| failure.to_string());
    say(&News::Over(Box::new(peer.tally.report(failure))))
}

fn say(news: &News) -> Result<(), Failure> {
    println!("{}", serde_json::to_string(news).map_err(Failure::process)?);
    Ok(())
}

impl Source {
    fn new(plan: &Plan, index: u32, lengths: Lengths) -> Result<Self, Failure> {
        if let Some(schedule) = Schedule::new(plan, lengths.clone())? {
            return Ok(Self::Open { schedule: Box::new(schedule), next: None }.advanced(index));
        }
        let Arrivals::Closed { concurrency } = plan.arrivals else {
            unreachable!("any other plan has a schedule")
        };
        let (index, peers) = (u64::from(index), u64::from(plan.peers));
        let share = |all: u64| all / peers + u64::from(index < all % peers);
        Ok(Self::Closed(Closed {
            idle: concurrency,
            left: plan.requests.map_or(u64::MAX, share),
            number: index,
            lengths,
            random: StdRng::seed_from_u64(plan.seed.wrapping_add(index)),
        }))
    }

    fn advanced(mut self, index: u32) -> Self {
        if let Self::Open { schedule, next } = &mut self {
            *next = schedule.find(|arrival| arrival.peer == index);
        }
        self
    }
}

impl Peer<'_> {
    /// Makes requests until none is left and all have ended, or it is enough.
    fn attend(&mut self, answers: &Readiness, orders: &std::io::Stdin) -> Result<(), Failure> {
        while !self.pace.has_begun()? {
            if self.pace.sleep(Duration::ZERO, answers, orders)?.ordered {
                self.obey(orders)?;
            }
        }
        let mut said = Duration::ZERO;
        loop {
            // Before it looks, so that what ends after the look wakes it.
            answers.arm()?;
            let now = self.pace.now()?;
            self.take_due(now);
            self.send()?;
            let ended = self.collect()?;
            let now = self.pace.now()?;
            if self.is_at_end(now) {
                return Ok(());
            }
            if said + PROGRESS <= now {
                let counts = &self.tally.counts;
                say(&News::Progress { sent: counts.sent, ended: counts.ended() })?;
                said = now;
            }
            let next = self.next_moment();
            let spin = next.is_some_and(|next| next <= now.saturating_add(self.plan.spin));
            if spin || (ended && matches!(self.source, Source::Closed(_))) {
                continue;
            }
            let next = next.map(|next| next.saturating_sub(self.plan.spin));
            let until = [next, self.enough(), Some(said + PROGRESS)].into_iter().flatten().min();
            let woken = self.pace.sleep(until.unwrap_or(now + PROGRESS), answers, orders)?;
            if woken.ordered {
                self.obey(orders)?;
            }
        }
    }

    /// Takes the requests that are due.
    fn take_due(&mut self, now: Duration) {
        if self.over.is_some() {
            return;
        }
        let (index, end) = (self.index, self.plan.end());
        let warm_up = self.plan.warm_up;
        match &mut self.source {
            Source::Open { schedule, next } => {
                while let Some(arrival) = next.filter(|arrival| arrival.at <= now) {
                    let Arrival { at, length, measured, .. } = arrival;
                    self.backlog.push_back(Due { at, length, measured, waits: false });
                    if measured {
                        self.tally.counts.arrivals += 1;
                        self.tally.lateness.record(now - at);
                    }
                    *next = schedule.find(|arrival| arrival.peer == index);
                }
                // Arrivals that ended by time ended when it had passed, not with the last of them.
                let by_count = self.plan.requests.is_some()
                    || matches!(self.plan.arrivals, Arrivals::Trace { .. });
                let passed = by_count || end.is_none_or(|end| end <= now);
                if next.is_none() && passed {
                    self.over = Some(now);
                }
            }
            Source::Closed(closed) => {
                let measured = warm_up <= now;
                let is_over = closed.left == 0 || end.is_some_and(|end| end <= now);
                if is_over {
                    self.over = Some(now);
                }
                while !is_over && closed.idle > 0 && closed.left > 0 {
                    let length = closed.lengths.draw(closed.number, &mut closed.random);
                    closed.number += u64::from(self.plan.peers);
                    closed.idle -= 1;
                    closed.left -= u64::from(measured);
                    self.backlog.push_back(Due { at: now, length, measured, waits: false });
                    self.tally.counts.arrivals += u64::from(measured);
                }
            }
        }
        if let Some(over) = self.over {
            self.tally.over = over;
        }
    }

    /// Submits what is due, as far as there is room.
    fn send(&mut self) -> Result<(), Failure> {
        while let Some(due) = self.backlog.front().copied() {
            let mut request = match self.function.request(due.length) {
                Ok(request) => request,
                Err(SubmitError::SlotsFull { .. } | SubmitError::ArenaFull { .. })
                    if !self.flights.is_empty() =>
                {
                    break;
                }
                Err(error) => return Err(InputError::Request(error).into()),
            };
            self.values.fill(&mut request)?;
            let submitted = self.pace.now()?;
            let budget = self.plan.budget;
            let pending = request.submit(SubmitOptions { budget }).map_err(InputError::Request)?;
            self.backlog.pop_front();
            self.flights.push(Flight { pending, due, submitted });
            if due.measured {
                self.tally.counts.sent += 1;
                self.tally.counts.sent_in_time +=
                    u64::from(self.over.is_none_or(|over| submitted <= over));
            }
        }
        for due in self.backlog.iter_mut().rev().take_while(|due| !due.waits) {
            due.waits = true;
            self.tally.counts.waited_for_room += u64::from(due.measured);
        }
        Ok(())
    }

    /// Takes the answers that are there. Says whether there were any.
    fn collect(&mut self) -> Result<bool, Failure> {
        let mut ended = false;
        let mut place = 0;
        while let Some(flight) = self.flights.get_mut(place) {
            let Some(reply) = flight.pending.try_wait()? else {
                place += 1;
                continue;
            };
            ended = true;
            let Flight { due, submitted, .. } = self.flights.swap_remove(place);
            if due.measured {
                self.tally.answered(due.at, submitted, self.pace.now()?, &reply);
            }
            if let Source::Closed(closed) = &mut self.source {
                closed.idle += 1;
            }
        }
        Ok(ended)
    }

    /// Whether nothing more is to come, or has been waited for long enough.
    fn is_at_end(&mut self, now: Duration) -> bool {
        if self.over.is_none() {
            return false;
        }
        if self.enough().is_some_and(|enough| enough <= now) {
            if self.cancelled {
                return true;
            }
            self.cancelled = true;
            self.give_up_unsent();
            self.flights.iter().for_each(|flight| flight.pending.cancel());
        }
        self.backlog.is_empty() && self.flights.is_empty()
    }

    /// When what is in flight has been waited for long enough.
    fn enough(&self) -> Option<Duration> {
        let waited = self.over?.saturating_add(self.plan.drain);
        Some(if self.cancelled { waited.saturating_add(CANCELLED) } else { waited })
    }

    /// When the next arrival is due, or arrivals end.
    fn next_moment(&self) -> Option<Duration> {
        if self.over.is_some() {
            return None;
        }
        match &self.source {
            Source::Open { next: Some(arrival), .. } => Some(arrival.at),
            Source::Open { next: None, .. } | Source::Closed(_) => self.plan.end(),
        }
    }

    /// Ends the arrivals, if it is told to, or if nobody is there any more who could.
    fn obey(&mut self, orders: &std::io::Stdin) -> Result<(), Failure> {
        match packet::receive::<Order>(orders, 0) {
            Ok((Order::Stop, _)) => {
                let now = self.pace.now()?;
                self.give_up_unsent();
                if self.over.is_none() {
                    self.over = Some(now);
                    self.tally.over = now;
                }
                Ok(())
            }
            Ok((Order::Begin { .. }, _)) => Err(Failure::process("it was told to begin twice")),
            Err(PacketError::Closed) => Err(Failure::process("who started it is gone")),
            Err(error) => Err(Failure::process(error)),
        }
    }

    fn give_up_unsent(&mut self) {
        let unsent = self.backlog.drain(..).filter(|due| due.measured).count();
        self.tally.counts.unsent += unsent as u64;
    }

    /// Counts what has no outcome.
    fn leave(&mut self) {
        self.give_up_unsent();
        let unanswered = self.flights.drain(..).filter(|flight| flight.due.measured).count();
        self.tally.counts.unanswered += unanswered as u64;
    }
}
