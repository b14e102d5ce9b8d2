//! The dispatch thread: reads the rings, asks the scheduler, does what it says.
//!
//! One pass looks at everything once, with a bound on each, and then either goes round again or
//! sleeps. After its start this thread does not allocate, lock, log or format.

use super::channel::{Asked, Channel, Stage};
use super::commands::{Command, News, Queue};
use super::counters::Counters;
use super::function::Function;
use super::gpu::Gpu;
use super::open::{Open, OpenRequests, Seat};
use super::runner::Runner;
use super::sleep::{Bed, Waker};
use super::spin::Spin;
use super::startup::DispatchError;
use crate::clock::Clock;
use gpumux_core::{
    Action, BatchId, Ending, Event, FunctionId, LaneId, MonoTime, RequestId, Scheduler,
};
use gpumux_cuda::TransferError;
use gpumux_engine::Verdict;
use gpumux_wire::outcome::{Outcome, Reason, Refusal};
use gpumux_wire::record::ResponseRecord;
use gpumux_wire::request::{Rejection, Violation};
use gpumux_wire::wake;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Most channels that a worker serves.
pub(super) const CHANNELS_MAX: usize = 1024;
/// Entries taken from one ring before the others have their turn.
const ENTRIES_A_PASS: usize = 32;
/// Commands taken in one pass.
const COMMANDS_A_PASS: usize = 16;

/// How often a device that is busy is asked whether it is sound: a fault wakes nobody.
const SOUNDNESS_INTERVAL: Duration = Duration::from_millis(100);

/// The thread's state.
pub(super) struct Dispatch {
    clock: Clock,
    scheduler: Scheduler,
    functions: Vec<Function>,
    /// By lane.
    runners: Vec<Runner>,
    counters: Arc<Counters>,
    commands: Arc<Queue<Command>>,
    news: Arc<Queue<News>>,
    /// Room for `CHANNELS_MAX`; the first `places` have been in use.
    channels: Vec<Option<Box<Channel>>>,
    places: usize,
    open: OpenRequests,
    bed: Bed,
    spin: Spin,
    /// Whether to spin while the device works. The emulated one needs the core for that.
    spins_while_busy: bool,
    actions: Vec<Action>,
    /// What followed at once from the actions of an event.
    follow_ups: VecDeque<Event>,
    wake: MonoTime,
    draining: bool,
    stopped: bool,
    /// What the device answered when it could not go on.
    broken: Option<TransferError>,
    // Dropped last: lanes and plans go before their device.
    gpu: Gpu,
}

/// What the thread is made of.
pub(super) struct Parts {
    pub(super) clock: Clock,
    pub(super) scheduler: Scheduler,
    pub(super) functions: Vec<Function>,
    pub(super) runners: Vec<Runner>,
    pub(super) counters: Arc<Counters>,
    pub(super) commands: Arc<Queue<Command>>,
    pub(super) news: Arc<Queue<News>>,
    pub(super) spin: Spin,
    /// Most open requests.
    pub(super) requests: u32,
    pub(super) gpu: Gpu,
}

impl Dispatch {
    /// Reserves everything that serving needs.
    pub(super) fn new(parts: Parts) -> Result<Self, DispatchError> {
        Ok(Self {
            actions: Vec::with_capacity(parts.scheduler.actions_max()),
            follow_ups: VecDeque::with_capacity(parts.runners.len() * 2),
            bed: Bed::new(&parts.commands.bell(), &parts.gpu.wake)?,
            channels: (0..CHANNELS_MAX).map(|_| None).collect(),
            places: 0,
            open: OpenRequests::new(parts.requests),
            spins_while_busy: !parts.gpu.device.info().is_emulated,
            wake: MonoTime::NEVER,
            draining: false,
            stopped: false,
            broken: None,
            clock: parts.clock,
            scheduler: parts.scheduler,
            functions: parts.functions,
            runners: parts.runners,
            counters: parts.counters,
            commands: parts.commands,
            news: parts.news,
            spin: parts.spin,
            gpu: parts.gpu,
        })
    }

    /// Runs until the control thread says stop, or the device or the kernel refuses to go on.
    pub(super) fn run(mut self) -> Result<(), DispatchError> {
        let mut idle = false;
        while !self.stopped {
            if let Some(error) = self.broken.take() {
                return Err(error.into());
            }
            let now = self.clock.now();
            if self.pass(now) {
                self.spin.worked(now, idle);
                idle = false;
            } else if self.may_spin() && self.spin.goes_on(now) {
                idle = true;
                std::hint::spin_loop();
            } else {
                self.sleep(now)?;
                idle = false;
            }
        }
        Ok(())
    }

    fn may_spin(&self) -> bool {
        self.spins_while_busy || !self.runners.iter().any(Runner::is_busy)
    }

    /// Looks at everything once. Says whether there was anything to do.
    fn pass(&mut self, now: MonoTime) -> bool {
        let mut worked = self.take_commands(now);
        for place in 0..self.places {
            worked |= self.read_ring(now, place);
            self.empty(now, place);
        }
        worked |= self.take_retired(now);
        if self.wake <= now {
            self.wake = MonoTime::NEVER;
            self.feed(now, Event::Tick);
            worked = true;
        }
        if worked {
            let channels = self.channels[..self.places].iter_mut().flatten();
            channels.for_each(|channel| channel.announce());
            for (function, counters) in (0u16..).zip(&self.counters.functions) {
                counters.set_queued(self.scheduler.queued(FunctionId(function)));
            }
            if self.draining && self.scheduler.is_idle() {
                self.draining = false;
                self.tell(News::Drained);
            }
        }
        worked
    }

    /// Tells the scheduler of segments that have retired.
    fn take_retired(&mut self, now: MonoTime) -> bool {
        let mut worked = false;
        for index in 0..self.runners.len() {
            while let Some(batch) = self.runners[index].retired() {
                self.feed(now, Event::SegmentRetired { batch });
                worked = true;
            }
        }
        worked
    }

    fn take_commands(&mut self, now: MonoTime) -> bool {
        let mut worked = false;
        for _ in 0..COMMANDS_A_PASS {
            let Some(command) = self.commands.pop() else { break };
            worked = true;
            match command {
                Command::Attach(channel) => self.attach(channel),
                Command::Detach(attachment) => {
                    let channels = self.channels.iter();
                    let found = channels.enumerate().find(|(_, channel)| {
                        channel.as_ref().is_some_and(|channel| channel.attachment == attachment)
                    });
                    // One that left by itself, after a violation, is not there any more.
                    if let Some((place, _)) = found {
                        self.leave(place);
                    }
                }
                Command::Drain => {
                    self.draining = true;
                    self.feed(now, Event::Drain);
                }
                Command::Stop => self.stopped = true,
            }
        }
        worked
    }

    fn attach(&mut self, channel: Box<Channel>) {
        // The control thread counts channels, and never sends more than there are places.
        let place = self.channels.iter().position(Option::is_none).expect("a place is free");
        let function = channel.function;
        if self.bed.admit(place, &channel.wake).is_err() {
            return self.tell(News::Left(channel));
        }
        self.counters.functions[function.index()].set_channels(|count| count + 1);
        self.channels[place] = Some(channel);
        self.places = self.places.max(place + 1);
    }

    /// Reads what a peer asks, a bounded number of entries.
    fn read_ring(&mut self, now: MonoTime, place: usize) -> bool {
        for taken in 0..ENTRIES_A_PASS {
            let Some(channel) = &mut self.channels[place] else { return taken > 0 };
            if channel.stage != Stage::Serving {
                return taken > 0;
            }
            match channel.next() {
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
        let Some(channel) = &mut self.channels[place] else { return };
        let function = channel.function;
        let counters = &self.counters.functions[function.index()];
        counters.arrived();
        let arena_bytes = channel.side.geometry().arena_bytes();
        let signature = &self.functions[function.index()].signature;
        let read = channel.read(slot, generation).map_err(Rejection::Violation);
        let request = match read.and_then(|raw| raw.check(signature, arena_bytes)) {
            Ok(request) => request,
            Err(Rejection::Violation(violation)) => return self.violate(place, violation),
            Err(Rejection::Refused(refusal)) => {
                return self.refuse_unread(place, slot, generation, refusal);
            }
        };
        let seat = None;
        let open = Open { channel: place, slot, generation, function, arrived: now, request, seat };
        let Some(id) = self.open.insert(open) else {
            let refusal = Refusal::because(Reason::QueueFull);
            return self.refuse_unread(place, slot, generation, refusal);
        };
        channel.hold(slot, generation, id);
        let budget = request.budget_us().map(Duration::from_micros);
        let length = request.length();
        self.feed(now, Event::Arrived { request: id, function, length, budget });
    }

    /// Answers a slot whose request never reached the scheduler.
    fn refuse_unread(&mut self, place: usize, slot: u32, generation: u32, refusal: Refusal) {
        let Some(channel) = &mut self.channels[place] else { return };
        let outcome = Outcome::Refused(refusal);
        self.counters.functions[channel.function.index()].ended(outcome, Duration::ZERO);
        if let Err(violation) = channel.answer(slot, &ResponseRecord::of(generation, outcome)) {
            self.violate(place, violation);
        }
    }

    /// Gives the scheduler an event, and does what follows from it.
    fn feed(&mut self, now: MonoTime, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next {
            self.actions.clear();
            self.scheduler.on(now, event, &mut self.actions);
            for index in 0..self.actions.len() {
                let action = self.actions[index];
                self.perform(now, action);
            }
            next = self.follow_ups.pop_front();
        }
    }

    fn perform(&mut self, now: MonoTime, action: Action) {
        match action {
            Action::Begin { batch, lane } => self.begin(batch, lane),
            Action::Issue { batch: _, lane, segment } => self.issue(lane, segment),
            Action::Complete { request, ending } => self.complete(now, request, ending),
            Action::Release { batch } => {
                let holds = |runner: &&mut Runner| {
                    runner.running().is_some_and(|running| running.batch == batch)
                };
                self.runners.iter_mut().find(holds).into_iter().for_each(Runner::release);
            }
            Action::WakeAt(at) => self.wake = at,
        }
    }

    /// Gathers a batch for its lane.
    fn begin(&mut self, batch: BatchId, lane: LaneId) {
        let (mut count, mut longest, mut own) = (0u32, 0, 0);
        for member in self.scheduler.members(batch) {
            let open = self.open.get_mut(member);
            open.seat = Some(Seat { lane: lane.index(), place: count as usize });
            count += 1;
            longest = longest.max(open.request.length());
            own += u64::from(open.request.length());
        }
        let id = self.scheduler.function(batch);
        let function = &self.functions[id.index()];
        let binding = function.model.bind(count, longest);
        let (open, channels) = (&self.open, &self.channels);
        let members = self.scheduler.members(batch).map(|member| {
            let open = open.get(member);
            let channel = channels[open.channel].as_ref();
            (&open.request, &channel.expect("it stays while a request of it is open").side)
        });
        let runner = &mut self.runners[lane.index()];
        let segments = runner.begin(batch, (id, function), binding, members);
        let padded = function.model.computed(binding, own) - own;
        self.counters.functions[id.index()].batch(own, padded);
        self.counters.lanes[lane.index()].fetch_add(1, Ordering::Relaxed);
        let segments = u32::try_from(segments).expect("a plan has far fewer segments");
        self.follow_ups.push_back(Event::Begun { batch, segments });
    }

    fn issue(&mut self, lane: LaneId, segment: u32) {
        let runner = &mut self.runners[lane.index()];
        let Some(function) = runner.running().map(|running| running.function) else { return };
        if let Err(error) = runner.issue(&self.functions[function.index()], segment) {
            self.broken.get_or_insert(error);
        }
    }

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
    fn complete(&mut self, now: MonoTime, request: RequestId, ending: Ending) {
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

    /// A peer broke the protocol: its channel is left, and the supervisor ends its session.
    fn violate(&mut self, place: usize, violation: Violation) {
        let Some(channel) = &self.channels[place] else { return };
        if channel.stage == Stage::Serving {
            self.tell(News::Violation(channel.attachment, violation));
            self.leave(place);
        }
    }

    /// Stops serving a channel. What it holds is cancelled by the pass, not here: this may be called
    /// while an event's actions are being performed.
    fn leave(&mut self, place: usize) {
        if let Some(channel) = &mut self.channels[place]
            && channel.stage == Stage::Serving
        {
            channel.stage = Stage::Leaving;
        }
    }

    /// Cancels what a leaving channel holds: what is queued ends now, what runs is awaited.
    fn empty(&mut self, now: MonoTime, place: usize) {
        let Some(channel) = &mut self.channels[place] else { return };
        if channel.stage != Stage::Leaving {
            return;
        }
        channel.stage = Stage::Emptying;
        for slot in 0..channel.slot_count() {
            // The last cancellation may have taken the channel out of the table.
            let held = self.channels[place].as_ref().and_then(|channel| channel.held(slot));
            if let Some(request) = held {
                self.feed(now, Event::Cancelled { request });
            }
        }
        self.part_if_done(place);
    }

    fn part_if_done(&mut self, place: usize) {
        if let Some(channel) = self.channels[place].take_if(|channel| channel.is_done()) {
            self.bed.dismiss(&channel.wake);
            self.counters.functions[channel.function.index()].set_channels(|count| count - 1);
            self.tell(News::Left(channel));
        }
    }

    fn tell(&self, news: News) {
        // There is room for everything that the channels there are can cause.
        assert!(self.news.push(news).is_ok(), "the news queue holds two of each channel");
    }

    /// Sleeps until a peer, a command, the device or the scheduler's moment.
    fn sleep(&mut self, now: MonoTime) -> Result<(), DispatchError> {
        let mut until = self.wake;
        if self.runners.iter().any(Runner::is_busy) {
            until = until.min(now.after(SOUNDNESS_INTERVAL));
        }
        let places = || self.channels[..self.places].iter().filter_map(Option::as_deref);
        let channels = || places().filter(|channel| channel.stage == Stage::Serving);
        channels().for_each(|channel| channel.side.submissions.announce_sleep());
        if !channels().any(Channel::has_work) && self.commands.is_empty() {
            let (mut gone, mut timed_out) = (None, false);
            for waker in self.bed.sleep(now, until)? {
                match waker {
                    Waker::Commands => self.commands.quiet(),
                    Waker::Device => drop(self.gpu.wake.drain()),
                    Waker::Timer => timed_out = true,
                    Waker::Channel(place) => {
                        let Some(channel) = &self.channels[place] else { continue };
                        // A peer that is gone would end every sleep; the supervisor detaches it.
                        if wake::drain(&channel.wake).is_err() {
                            gone = Some(place);
                        }
                    }
                }
            }
            if let Some(channel) = gone.and_then(|place: usize| self.channels[place].as_ref()) {
                self.bed.dismiss(&channel.wake);
            }
            if timed_out {
                for runner in self.runners.iter().filter(|runner| runner.is_busy()) {
                    runner.check().map_err(TransferError::from)?;
                }
            }
        }
        for channel in self.channels[..self.places].iter().flatten() {
            channel.side.submissions.withdraw_sleep();
        }
        self.spin.slept(now, self.clock.now());
        Ok(())
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
