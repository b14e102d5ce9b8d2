//! Streams as ordered queues: what may run now, what waits for what, what is over.
//!
//! Work in a stream is numbered from 1 and ends in order, so "all of stream S up to number N" names
//! any point that events, the legacy stream or a host thread can wait for. Whoever ends a piece of
//! work starts what waited for it. One lock for all streams of the process: it is held for moments
//! only, and no engine or SM is ever waited for under it.

use crate::block::Fault;
use crate::clock::{self, Moment};
use crate::code::{Code, Outcome};
use crate::context::{Context, View};
use crate::device::Device;
use crate::fault;
use crate::machine::Machine;
use crate::sm::{Grid, Owner};
use crate::transfer::{Transfer, Until, Word};
use scope::Hold;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// Copies and fills up to this size are done where they may start, by whoever finds that they may: to
/// wake an engine's thread takes longer.
const AT_ONCE_BYTES_MAX: u64 = 64 << 10;

mod scope;
mod steps;

pub(crate) use steps::Step;

/// All streams of the process.
pub(crate) static SCHEDULE: Schedule = Schedule {
    state: Mutex::new(State { queues: BTreeMap::new(), next: 1, holds: Vec::new(), waiting: 0 }),
    moved: Condvar::new(),
};

/// A stream's number. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamId(u64);

impl StreamId {
    /// The bare number.
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// A point in a stream: all of its work up to and with number `count`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    stream: StreamId,
    count: u64,
}

/// How a stream relates to the legacy stream of its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It is the legacy stream: it waits for every blocking stream, and they for it.
    Legacy,
    /// An ordinary stream.
    Blocking,
    /// `CU_STREAM_NON_BLOCKING`: the legacy stream means nothing to it.
    NonBlocking,
}

/// One piece of work. A graph keeps it and runs clones of it.
#[derive(Clone)]
pub(crate) enum Work {
    /// Nothing: a place for what it waits for.
    Nothing,
    /// Notes when it was reached.
    Mark(Arc<OnceLock<Moment>>),
    /// Writes a word.
    Write(u64, Word),
    /// Waits for a word.
    Await(u64, Word, Until),
    /// Runs a grid on the stream's SMs.
    Launch(Arc<dyn Grid>),
    /// Runs a grid on some of the stream's SMs.
    Confined(Arc<dyn Grid>, Arc<[u32]>),
    /// Moves or sets bytes.
    Transfer(Transfer),
    /// Frees an allocation.
    Free(u64),
    /// Calls the program.
    Call(Arc<dyn Fn() + Send + Sync>),
}

struct Queue {
    context: Arc<Context>,
    /// The number of the green context that it belongs to.
    green: Option<usize>,
    manner: Manner,
    sms: Arc<[u32]>,
    pending: VecDeque<(Work, Vec<Point>)>,
    enqueued: u64,
    ended: u64,
    /// The oldest unfinished piece is on an engine or on the SMs.
    running: bool,
    /// The oldest piece waits for a point of another stream, which knows of it.
    waiting: bool,
    /// Streams that wait for a point of this one.
    waiters: Vec<(u64, StreamId)>,
    /// Destroyed by the program; goes when it is empty.
    closing: bool,
}

impl Queue {
    fn new(context: &Arc<Context>, green: Option<usize>, manner: Manner, sms: Arc<[u32]>) -> Self {
        Self {
            context: Arc::clone(context),
            green,
            manner,
            sms,
            pending: VecDeque::new(),
            enqueued: 0,
            ended: 0,
            running: false,
            waiting: false,
            waiters: Vec::new(),
            closing: false,
        }
    }

    fn append(&mut self, stream: StreamId, work: Work, after: Vec<Point>) -> Point {
        self.enqueued += 1;
        self.pending.push_back((work, after));
        Point { stream, count: self.enqueued }
    }

    fn tail(&self, stream: StreamId) -> Option<Point> {
        (self.ended < self.enqueued).then_some(Point { stream, count: self.enqueued })
    }
}

struct State {
    queues: BTreeMap<StreamId, Queue>,
    next: u64,
    /// What every stream of a context waits for, also those that are yet to be made.
    holds: Vec<Hold>,
    /// Host threads that wait for something to end.
    waiting: u32,
}

/// See the head of this file.
pub(crate) struct Schedule {
    state: Mutex<State>,
    moved: Condvar,
}

impl Schedule {
    /// Makes a stream whose work runs on the SMs of `view`.
    pub(crate) fn open(&self, view: &View, manner: Manner) -> StreamId {
        let green = view.green.as_ref().map(|green| green.number());
        self.state().open(Queue::new(&view.context, green, manner, view.sms()))
    }

    /// Lets a stream go once its work has ended. Does not wait.
    pub(crate) fn close(&self, stream: StreamId) {
        let mut state = self.state();
        if let Some(queue) = state.queues.get_mut(&stream) {
            queue.closing = true;
            state.remove_if_over(stream);
        }
    }

    /// Appends work that also waits for `after`, and starts it where nothing stands before it.
    pub(crate) fn enqueue(&self, stream: StreamId, work: Work, after: &[Point]) -> Outcome<Point> {
        let mut state = self.state();
        let (point, moved) = state.enqueue(stream, work, after.to_vec())?;
        if moved {
            self.tell(state);
        }
        Ok(point)
    }

    /// The end of what is in a stream now, or `None` where it is idle.
    pub(crate) fn tail(&self, stream: StreamId) -> Option<Point> {
        self.state().queues.get(&stream)?.tail(stream)
    }

    /// Whether a point has been passed.
    pub(crate) fn is_past(&self, point: Point) -> bool {
        self.state().is_past(point)
    }

    /// Blocks the calling thread until a point has been passed.
    pub(crate) fn wait(&self, point: Point) {
        let mut state = self.state();
        while !state.is_past(point) {
            state = self.await_news(state);
        }
    }

    /// Drops the work that waits in streams whose context is over (lost or destroyed).
    pub(crate) fn drop_what_is_over(&self) {
        let mut state = self.state();
        let over: Vec<_> = state
            .queues
            .iter()
            .filter(|(_, queue)| queue.context.is_over())
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            state.advance(id);
        }
        self.tell(state);
    }

    /// Waits until nothing of a destroyed context runs, then forgets its streams.
    pub(crate) fn bury(&self, context: &Context) {
        self.drop_what_is_over();
        let mut state = self.state();
        while state.queues.values().any(|queue| queue.running && queue.context.is(context)) {
            state = self.await_news(state);
        }
        state.queues.retain(|_, queue| !queue.context.is(context));
    }

    /// News from an engine or the SMs: the oldest work of `stream` has ended.
    fn ended(&self, stream: StreamId, outcome: Outcome) {
        let mut state = self.state();
        let Some(queue) = state.queues.get(&stream) else { return };
        let context = Arc::clone(&queue.context);
        // Before anything follows from the end of this work.
        if let Err(code) = outcome {
            context.poison(code);
        }
        let mut ready = vec![stream];
        state.retire(stream, &mut ready);
        for stream in ready {
            state.advance(stream);
        }
        self.tell(state);
        if context.is_over() {
            self.drop_what_is_over();
        }
    }

    /// Sleeps until something has ended.
    fn await_news<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.waiting += 1;
        let mut state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state
    }

    /// Tells the host threads that wait, if there are any, that something has ended: to tell nobody
    /// is a call of the kernel, too.
    fn tell(&self, state: MutexGuard<'_, State>) {
        let is_awaited = state.waiting > 0;
        drop(state);
        if is_awaited {
            self.moved.notify_all();
        }
    }

    // What the lock guards changes in steps that cannot panic half way, short of a broken invariant
    // of ours, which the edge of the ABI reports.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open(&mut self, queue: Queue) -> StreamId {
        let id = StreamId(self.next);
        self.next += 1;
        self.queues.insert(id, queue);
        self.hold_new(id);
        id
    }

    /// Appends work. Returns its point, and whether anything ended at once.
    fn enqueue(
        &mut self,
        stream: StreamId,
        work: Work,
        mut after: Vec<Point>,
    ) -> Outcome<(Point, bool)> {
        self.add_legacy_order(stream, &mut after)?;
        let queue = self.queues.get_mut(&stream).ok_or(Code::INVALID_HANDLE)?;
        let point = queue.append(stream, work, after);
        let idle = !queue.running && !queue.waiting;
        Ok((point, idle && self.advance(stream)))
    }

    fn is_past(&self, point: Point) -> bool {
        self.queues.get(&point.stream).is_none_or(|queue| point.count <= queue.ended)
    }

    /// The legacy stream waits for all blocking streams of its context, and they for it.
    fn add_legacy_order(&self, stream: StreamId, after: &mut Vec<Point>) -> Outcome {
        let this = self.queues.get(&stream).ok_or(Code::INVALID_HANDLE)?;
        let partner = match this.manner {
            Manner::Legacy => Manner::Blocking,
            Manner::Blocking => Manner::Legacy,
            Manner::NonBlocking => return Ok(()),
        };
        let is_partner = |queue: &Queue| {
            let together = queue.context.is(&this.context) && queue.green == this.green;
            queue.manner == partner && together
        };
        let partners = self.queues.iter().filter(|(_, queue)| is_partner(queue));
        after.extend(partners.filter_map(|(id, queue)| queue.tail(*id)));
        Ok(())
    }

    /// Starts what can start, beginning with `first`. Returns whether anything ended at once.
    fn advance(&mut self, first: StreamId) -> bool {
        let mut moved = false;
        let mut ready = vec![first];
        while let Some(id) = ready.pop() {
            moved |= self.discard_if_over(id, &mut ready);
            while let Some(work) = self.next(id) {
                if !self.begin(id, work) {
                    break;
                }
                moved = true;
                self.retire(id, &mut ready);
            }
            self.remove_if_over(id);
        }
        moved
    }

    /// Takes the oldest piece of a stream, if it may start.
    fn next(&mut self, id: StreamId) -> Option<Work> {
        let queue = self.queues.get(&id)?;
        if queue.running || queue.waiting {
            return None;
        }
        let (_, after) = queue.pending.front()?;
        let unmet = after.iter().find(|point| !self.is_past(**point)).copied();
        if let Some(point) = unmet {
            // Present, or the point would count as passed.
            if let Some(other) = self.queues.get_mut(&point.stream) {
                other.waiters.push((point.count, id));
            }
        }
        let queue = self.queues.get_mut(&id)?;
        queue.waiting = unmet.is_some();
        queue.running = unmet.is_none();
        if queue.waiting { None } else { queue.pending.pop_front().map(|(work, _)| work) }
    }

    /// Starts a piece of work. Returns whether it has ended already.
    fn begin(&mut self, id: StreamId, work: Work) -> bool {
        let Some(queue) = self.queues.get(&id) else { return true };
        let context = &queue.context;
        let device = context.device();
        let machine = Machine::made();
        match work {
            Work::Nothing => return true,
            Work::Mark(at) => {
                // Each record has a mark of its own, so it is set once.
                let _ = at.set(clock::now());
                return true;
            }
            Work::Write(address, word) => match word.write(machine, address) {
                Ok(()) => return true,
                // Poisoning takes locks that we hold: leave it to an engine.
                Err(code) => {
                    device.transfers().submit(Box::new(move || SCHEDULE.ended(id, Err(code))));
                }
            },
            Work::Await(address, word, until) => {
                let context = Arc::clone(context);
                device.watches().watch(Box::new(move || {
                    let seen = word.is_there(machine, address, until);
                    let over = context.is_over() || seen != Ok(false);
                    if over {
                        SCHEDULE.ended(id, seen.map(|_| ()));
                    }
                    over
                }));
            }
            Work::Launch(grid) => start_launch(id, queue, grid, &queue.sms),
            Work::Confined(grid, sms) => start_launch(id, queue, grid, &sms),
            Work::Transfer(transfer) => return start_transfer(id, device, transfer),
            Work::Free(address) => {
                let run = move || {
                    machine.finish_free(address);
                    SCHEDULE.ended(id, Ok(()));
                };
                device.transfers().submit(Box::new(run));
            }
            Work::Call(call) => {
                let run = move || {
                    call();
                    SCHEDULE.ended(id, Ok(()));
                };
                device.calls().submit(Box::new(run));
            }
        }
        false
    }

    /// Notes that the oldest piece of a stream has ended, and finds who waited for that.
    fn retire(&mut self, id: StreamId, ready: &mut Vec<StreamId>) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        queue.running = false;
        queue.ended += 1;
        self.wake_waiters(id, ready);
    }

    fn wake_waiters(&mut self, id: StreamId, ready: &mut Vec<StreamId>) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let ended = queue.ended;
        let woken: Vec<_> = queue.waiters.extract_if(.., |(count, _)| *count <= ended).collect();
        for (_, waiter) in woken {
            if let Some(queue) = self.queues.get_mut(&waiter) {
                queue.waiting = false;
                ready.push(waiter);
            }
        }
    }

    /// Work of a lost or destroyed context never starts: it ends here.
    fn discard_if_over(&mut self, id: StreamId, ready: &mut Vec<StreamId>) -> bool {
        let Some(queue) = self.queues.get_mut(&id) else { return false };
        if queue.running || queue.pending.is_empty() || !queue.context.is_over() {
            return false;
        }
        queue.pending.clear();
        queue.waiting = false;
        queue.ended = queue.enqueued;
        self.wake_waiters(id, ready);
        true
    }

    fn remove_if_over(&mut self, id: StreamId) {
        let over = |queue: &Queue| queue.closing && !queue.running && queue.ended == queue.enqueued;
        if self.queues.get(&id).is_some_and(over) {
            self.queues.remove(&id);
        }
    }
}

/// A launch that the SMs have.
struct Running {
    stream: StreamId,
    context: Arc<Context>,
    over: Arc<AtomicBool>,
}

impl Owner for Running {
    fn faulted(&self, fault: Fault) {
        if let Some(code) = fault::code_of(fault) {
            self.context.poison(code);
        }
    }

    fn retired(&self) {
        self.over.store(true, Ordering::Release);
        SCHEDULE.ended(self.stream, Ok(()));
    }
}

/// Hands a grid to the SMs, and a watch over its time to the engine that has an eye on such things.
fn start_launch(stream: StreamId, queue: &Queue, grid: Arc<dyn Grid>, sms: &[u32]) {
    let context = &queue.context;
    let device = context.device();
    let over = Arc::new(AtomicBool::new(false));
    if let Some(limit) = device.claim().launch_limit {
        let (started, context, over) = (clock::now(), Arc::clone(context), Arc::clone(&over));
        device.watches().watch(Box::new(move || {
            let late = clock::now().since(started) > limit;
            if late && !over.load(Ordering::Acquire) {
                // Its blocks see that they are to stop; the launch ends as they do.
                context.poison(Code::LAUNCH_TIMEOUT);
            }
            late || over.load(Ordering::Acquire)
        }));
    }
    let owner = Running { stream, context: Arc::clone(context), over };
    let grid = device.mischief().launch(grid);
    device.sms().submit(grid, sms, context.stop(), Box::new(owner));
}

/// Has the bytes moved: here where they are few, else by an engine. Returns whether they were.
fn start_transfer(stream: StreamId, device: &Device, transfer: Transfer) -> bool {
    let (bytes, mischief) = (transfer.bytes(), Arc::clone(device.mischief()));
    let run = move || {
        let machine = Machine::made();
        let outcome = transfer.run(machine);
        if outcome.is_ok() {
            mischief.taste(&transfer, machine);
        }
        outcome
    };
    if bytes > AT_ONCE_BYTES_MAX {
        device.transfers().submit(Box::new(move || SCHEDULE.ended(stream, run())));
        return false;
    }
    let Err(code) = run() else { return true };
    // Poisoning takes locks that are held here: leave it to an engine.
    device.transfers().submit(Box::new(move || SCHEDULE.ended(stream, Err(code))));
    false
}
