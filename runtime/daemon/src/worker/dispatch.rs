//! The dispatch thread: reads the rings, asks the scheduler, does what it says.
//!
//! What a pass does is in four files beside this one: `intake` reads what peers ask, `completion` tells
//! them how it ended, `attendance` has channels come and go, `recovery` takes up what another worker
//! had accepted. One pass looks at everything once, with a bound on each, and then either goes round again or
//! sleeps. After its start this thread does not allocate, lock, log or format.

use super::beat::Beat;
use super::channel::{Channel, Stage};
use super::commands::{Command, News, Queue};
use super::counters::Counters;
use super::function::Function;
use super::gpu::Gpu;
use super::open::{OpenRequests, Seat};
use super::runner::Runner;
use super::sleep::{Bed, Waker};
use super::spin::Spin;
use super::startup::DispatchError;
use crate::clock::Clock;
use gpumux_core::{Action, BatchId, Event, FunctionId, LaneId, MonoTime, Scheduler};
use gpumux_cuda::TransferError;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Most channels that a worker serves.
pub(super) const CHANNELS_MAX: usize = 1024;
/// Commands taken in one pass.
const COMMANDS_A_PASS: usize = 16;

/// How often a device that is busy is asked whether it is sound: a fault wakes nobody.
const SOUNDNESS_INTERVAL: Duration = Duration::from_millis(100);

/// The thread's state.
pub(super) struct Dispatch {
    pub(super) scheduler: Scheduler,
    pub(super) functions: Vec<Function>,
    /// By lane.
    pub(super) runners: Vec<Runner>,
    pub(super) counters: Arc<Counters>,
    commands: Arc<Queue<Command>>,
    news: Arc<Queue<News>>,
    /// Room for `CHANNELS_MAX`; the first `places` have been in use.
    pub(super) channels: Vec<Option<Box<Channel>>>,
    pub(super) places: usize,
    pub(super) open: OpenRequests,
    pub(super) bed: Bed,
    spin: Spin,
    /// Whether to spin while the device works. The emulated one needs the core for that.
    spins_while_busy: bool,
    actions: Vec<Action>,
    /// What followed at once from the actions of an event.
    follow_ups: VecDeque<Event>,
    wake: MonoTime,
    draining: bool,
    pub(super) retirement: Retirement,
    /// What is on the device is finished, and nothing else: what waits is left in its slots, for whoever
    /// serves the channels next.
    finishing: bool,
    /// Numbers batches for the ledger; no other worker of the device uses the same.
    serial: u64,
    hang_limit: Duration,
    beat: Arc<Beat>,
    /// When to ask next whether the device is sound.
    next_look: MonoTime,
    /// Why the device cannot go on.
    broken: Option<DispatchError>,
    // Dropped last: lanes and plans go before their device.
    _gpu: Gpu,
}

/// What retires before another worker comes with other functions.
#[derive(Debug)]
pub(super) struct Retirement {
    /// By function. Nothing more is read that is asked of it.
    retires: Box<[bool]>,
    /// Whether to say when nothing of them is open.
    is_awaited: bool,
}

impl Retirement {
    /// Whether a channel's peer is heard.
    pub(super) fn hears(&self, channel: &Channel) -> bool {
        channel.stage == Stage::Serving && !self.retires[channel.function.index()]
    }
}

/// What the thread is made of.
pub(super) struct Parts {
    pub(super) scheduler: Scheduler,
    pub(super) functions: Vec<Function>,
    pub(super) runners: Vec<Runner>,
    pub(super) counters: Arc<Counters>,
    pub(super) commands: Arc<Queue<Command>>,
    pub(super) news: Arc<Queue<News>>,
    pub(super) spin: Spin,
    /// Most open requests.
    pub(super) requests: u32,
    /// Longest time without progress on a busy lane.
    pub(super) hang_limit: Duration,
    /// Which worker of its device this is.
    pub(super) incarnation: u32,
    pub(super) beat: Arc<Beat>,
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
            retirement: Retirement {
                retires: vec![false; parts.functions.len()].into(),
                is_awaited: false,
            },
            finishing: false,
            // Far fewer than 2^40 batches run in the life of one worker.
            serial: u64::from(parts.incarnation) << 40,
            hang_limit: parts.hang_limit,
            beat: parts.beat,
            next_look: MonoTime::ZERO,
            broken: None,
            scheduler: parts.scheduler,
            functions: parts.functions,
            runners: parts.runners,
            counters: parts.counters,
            commands: parts.commands,
            news: parts.news,
            spin: parts.spin,
            _gpu: parts.gpu,
        })
    }

    /// Runs until the control thread says stop, or the device or the kernel refuses to go on.
    pub(super) fn run(mut self) -> Result<(), DispatchError> {
        let ended = self.serve();
        if ended.is_err() {
            // Who knows what still runs: to give lanes back would be to wait for it. The process
            // ends, and its supervisor sees to that.
            std::mem::forget(self);
        }
        ended
    }

    fn serve(&mut self) -> Result<(), DispatchError> {
        let mut idle = false;
        while !(self.finishing && self.scheduler.runs_nothing()) {
            if let Some(error) = self.broken.take() {
                return Err(error);
            }
            let now = Clock.now();
            self.beat.awake(now);
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
            if !self.finishing {
                worked |= self.read_ring(now, place);
                self.empty(now, place);
            }
        }
        worked |= self.take_retired(now);
        if self.next_look <= now {
            self.look(now);
        }
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
            if self.retirement.is_awaited && self.have_retired() {
                self.retirement.is_awaited = false;
                self.tell(News::Retired);
            }
        }
        worked
    }

    /// Whether nothing is open of the functions that retire.
    fn have_retired(&self) -> bool {
        let mut channels = self.channels[..self.places].iter().flatten();
        let retires = |channel: &Channel| self.retirement.retires[channel.function.index()];
        channels.all(|channel| !retires(channel) || channel.is_idle())
    }

    /// Tells the scheduler of segments that have retired.
    fn take_retired(&mut self, now: MonoTime) -> bool {
        let mut worked = false;
        for index in 0..self.runners.len() {
            while let Some(batch) = self.runners[index].retired(now) {
                self.feed(now, Event::SegmentRetired { batch });
                worked = true;
            }
        }
        worked
    }

    /// Asks whether the device is sound, and whether it makes progress: neither wakes anybody.
    fn look(&mut self, now: MonoTime) {
        self.next_look = now.after(SOUNDNESS_INTERVAL);
        for runner in &self.runners {
            let Some(since) = runner.stands_since() else { continue };
            if let Err(error) = runner.check() {
                self.broken.get_or_insert(TransferError::from(error).into());
            } else if now.since(since) > self.hang_limit {
                self.broken.get_or_insert(DispatchError::Hung(self.hang_limit));
            }
        }
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
                Command::Resume => self.resume(now),
                Command::Retire(function) => self.retirement.retires[function.index()] = true,
                Command::Retired => self.retirement.is_awaited = true,
                Command::Drain => {
                    self.draining = true;
                    self.feed(now, Event::Drain);
                }
                Command::Finish => {
                    self.finishing = true;
                    self.feed(now, Event::Halt);
                }
            }
        }
        worked
    }

    /// Gives the scheduler an event, and does what follows from it.
    pub(super) fn feed(&mut self, now: MonoTime, event: Event) {
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
            Action::Begin { batch, lane } => self.begin(now, batch, lane),
            Action::Issue { batch: _, lane, segment } => self.issue(now, lane, segment),
            Action::Complete { request, ending } => self.complete(now, request, ending),
            Action::Release { batch } => self.release(now, batch),
            Action::WakeAt(at) => self.wake = at,
        }
    }

    /// Gathers a batch for its lane.
    fn begin(&mut self, now: MonoTime, batch: BatchId, lane: LaneId) {
        let (mut count, mut longest, mut own) = (0u32, 0, 0);
        self.serial += 1;
        for member in self.scheduler.members(batch) {
            let open = self.open.get_mut(member);
            open.seat = Some(Seat { lane: lane.index(), place: count as usize });
            count += 1;
            longest = longest.max(open.request.length());
            own += u64::from(open.request.length());
            let channel = self.channels[open.channel].as_ref();
            channel
                .expect("it stays while a request of it is open")
                .ledger
                .run(open.slot, self.serial);
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
        self.counters.functions[id.index()].batch(count, own, padded);
        self.counters.lanes[lane.index()].began();
        runner.note(now, Clock.now(), own);
        let segments = u32::try_from(segments).expect("a plan has far fewer segments");
        self.follow_ups.push_back(Event::Begun { batch, segments });
    }

    /// A batch is over: its lane is free.
    fn release(&mut self, now: MonoTime, batch: BatchId) {
        for (runner, counters) in self.runners.iter_mut().zip(&self.counters.lanes) {
            if let Some(running) = runner.running().filter(|running| running.batch == batch) {
                counters.ended(running.held(now));
                runner.release();
            }
        }
    }

    fn issue(&mut self, now: MonoTime, lane: LaneId, segment: u32) {
        let runner = &mut self.runners[lane.index()];
        let Some(function) = runner.running().map(|running| running.function) else { return };
        if let Err(error) = runner.issue(now, &self.functions[function.index()], segment) {
            self.broken.get_or_insert(error.into());
        }
    }

    pub(super) fn tell(&self, news: News) {
        // There is room for everything that the channels there are can cause.
        assert!(self.news.push(news).is_ok(), "the news queue holds two of each channel");
    }

    /// Sleeps until a peer, a command, the device or the scheduler's moment.
    fn sleep(&mut self, now: MonoTime) -> Result<(), DispatchError> {
        let mut until = self.wake;
        if self.runners.iter().any(Runner::is_busy) {
            until = until.min(self.next_look);
        }
        let mut has_work = false;
        for channel in self.channels[..self.places].iter_mut().flatten() {
            if self.retirement.hears(channel) {
                has_work |= channel.announce_sleep();
            }
        }
        if !has_work && self.commands.is_empty() {
            let mut gone = None;
            self.beat.sleep();
            for waker in self.bed.sleep(now, until)? {
                match waker {
                    Waker::Commands => self.commands.quiet(),
                    Waker::Device | Waker::Timer => (),
                    Waker::Channel(place) => {
                        let Some(channel) = &mut self.channels[place] else { continue };
                        // A peer that is gone would end every sleep; the supervisor detaches it.
                        if !channel.woken() {
                            gone = Some(place);
                        }
                    }
                }
            }
            if let Some(channel) = gone.and_then(|place: usize| self.channels[place].as_ref()) {
                self.bed.dismiss(&channel.wake);
            }
        }
        self.channels[..self.places].iter_mut().flatten().for_each(|channel| channel.slept());
        self.spin.slept(Clock.now());
        Ok(())
    }
}
