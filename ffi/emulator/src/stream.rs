//! Streams and events as the program holds them: handles onto the schedule.

use crate::capture::{CAPTURES, Captured};
use crate::clock::Moment;
use crate::code::{Code, Outcome};
use crate::context::{self, Context, View};
use crate::graph::Task;
use crate::handle::{Handle, Table};
use crate::partition::{self, Found, Green, Structure};
use crate::placement;
use crate::schedule::{Manner, Point, SCHEDULE, StreamId, Work};
use crate::sm::Grid;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// All live streams that the program made, by the address of the structure behind each.
pub(crate) static STREAMS: Table<Stream> = Table::new(0x6702);
/// All live events.
pub(crate) static EVENTS: Table<Event> = Table::new(0x6703);

/// `CU_STREAM_NON_BLOCKING`.
pub(crate) const NON_BLOCKING: u32 = 1;
/// `CU_STREAM_LEGACY`.
const LEGACY: usize = 1;
/// `CU_STREAM_PER_THREAD`.
const PER_THREAD: usize = 2;
/// The greatest priority; 0 is the least.
pub(crate) const GREATEST_PRIORITY: i32 = -5;

/// A stream.
#[derive(Clone)]
pub(crate) struct Stream {
    /// Its queue.
    pub(crate) id: StreamId,
    /// Its context.
    pub(crate) context: Arc<Context>,
    /// The green context that it belongs to.
    pub(crate) green: Option<Arc<Green>>,
    /// Flags that it was made with.
    pub(crate) flags: u32,
    /// Its priority, within the range that the device states.
    pub(crate) priority: i32,
    /// The memory behind its handle; the default streams have none.
    structure: Option<Arc<Structure>>,
}

impl Stream {
    /// Makes a stream in the calling thread's current context.
    pub(crate) fn create(flags: u32, priority: i32) -> Outcome<Handle> {
        Self::create_in(context::current_view()?, flags, priority)
    }

    /// Makes a stream in this context.
    pub(crate) fn create_in(view: View, flags: u32, priority: i32) -> Outcome<Handle> {
        if flags & !NON_BLOCKING != 0 {
            return Err(Code::INVALID_VALUE);
        }
        let structure = Structure::create(view.context.device().claim().mask_driver())?;
        let number = structure.number();
        let manner = if flags == NON_BLOCKING { Manner::NonBlocking } else { Manner::Blocking };
        let id = SCHEDULE.open(&view, manner);
        let priority = priority.clamp(GREATEST_PRIORITY, 0);
        let View { context, green } = view;
        let structure = Some(Arc::new(structure));
        STREAMS.enter(number, Arc::new(Stream { id, context, green, flags, priority, structure }));
        Ok(number.into())
    }

    /// Ends a stream; work that is in it still runs to its end.
    pub(crate) fn destroy(handle: Handle) -> Outcome {
        let stream = STREAMS.remove(handle)?;
        if let Some(structure) = &stream.structure {
            structure.close();
        }
        CAPTURES.leave(stream.id);
        SCHEDULE.close(stream.id);
        stream.context.check()
    }

    /// The stream behind a handle, usable now. Null and the two special handles mean the default
    /// streams of the calling thread's current context.
    pub(crate) fn of(handle: Handle) -> Outcome<Stream> {
        let default = |id: fn(&View) -> Outcome<StreamId>| {
            let view = context::current_view()?;
            let id = id(&view)?;
            let View { context, green } = view;
            Ok(Stream { id, context, green, flags: 0, priority: 0, structure: None })
        };
        match handle.number() {
            0 | LEGACY => default(View::legacy),
            PER_THREAD => default(View::per_thread),
            _ => {
                let stream = STREAMS.get(handle)?;
                stream.context.check()?;
                if let Some(green) = &stream.green {
                    green.check_stream()?;
                }
                Ok((*stream).clone())
            }
        }
    }

    /// Whether it is the null stream of what it belongs to.
    pub(crate) fn is_legacy(&self) -> bool {
        self.view().legacy() == Ok(self.id)
    }

    /// Whether it belongs to the same context, and the same green one, as another.
    pub(crate) fn is_beside(&self, other: &Stream) -> bool {
        let green = |stream: &Stream| stream.green.as_ref().map(|green| green.number());
        self.context.is(&other.context) && green(self) == green(other)
    }

    /// Whether it and the legacy stream wait for each other.
    pub(crate) fn is_blocking(&self) -> bool {
        self.flags & NON_BLOCKING == 0
    }

    /// Appends work, or notes it where the stream is captured.
    pub(crate) fn enqueue(&self, work: Work) -> Outcome {
        self.enqueue_task(Task::Work(work))
    }

    /// Appends work, or notes the task where the stream is captured.
    pub(crate) fn enqueue_task(&self, task: Task) -> Outcome {
        match CAPTURES.take(self, task)? {
            None => Ok(()),
            Some(Task::Work(work)) => {
                SCHEDULE.enqueue(self.id, self.confined(work)?, &[]).map(|_| ())
            }
            Some(Task::Record(event)) => event.record_now(self),
            Some(Task::Wait(event)) => event.hold_back_now(self),
            Some(Task::Graph(_)) => Err(Code::NOT_SUPPORTED),
        }
    }

    /// What it belongs to.
    pub(crate) fn view(&self) -> View {
        View { context: Arc::clone(&self.context), green: self.green.clone() }
    }

    /// A task as a graph keeps it: launches stay on the SMs of the stream in which they were captured,
    /// whatever stream the graph runs in. That is documented for green contexts; for masks nobody
    /// knows.
    pub(crate) fn placed(&self, task: Task) -> Outcome<Task> {
        let Task::Work(work) = task else { return Ok(task) };
        Ok(Task::Work(match self.confined(work)? {
            Work::Launch(grid) => Work::Confined(grid, self.view().sms()),
            work => work,
        }))
    }

    /// The work as the stream runs it. A launch takes the mask that the stream's structure holds now:
    /// a store into it concerns what is enqueued later.
    pub(crate) fn confined(&self, work: Work) -> Outcome<Work> {
        match (placement::noted(self.context.device(), work), &self.structure) {
            (Work::Launch(grid), Some(structure)) => self.confine(grid, structure),
            (work, _) => Ok(work),
        }
    }

    /// A launch on those of the stream's SMs that its mask leaves. A mask that leaves none makes the
    /// launch fail for want of resources; what a real device does then is not documented.
    fn confine(&self, grid: Arc<dyn Grid>, structure: &Structure) -> Outcome<Work> {
        match structure.consult()? {
            Found::Unmasked => Ok(Work::Launch(grid)),
            Found::Disabled(disabled) => {
                let capability = self.context.device().claim().capability;
                let sms = partition::allowed(&self.view().sms(), disabled, capability);
                if sms.is_empty() {
                    return Err(Code::LAUNCH_OUT_OF_RESOURCES);
                }
                Ok(Work::Confined(grid, sms))
            }
            Found::Fault => {
                self.context.poison(Code::ILLEGAL_ADDRESS);
                SCHEDULE.drop_what_is_over();
                Err(Code::ILLEGAL_ADDRESS)
            }
        }
    }

    /// Waits for all that is in the stream now.
    pub(crate) fn synchronize(&self) -> Outcome {
        CAPTURES.refuse(self)?;
        CAPTURES.refuse_unsafe()?;
        if let Some(tail) = SCHEDULE.tail(self.id) {
            SCHEDULE.wait(tail);
        }
        self.context.check()
    }

    /// Appends work and waits for it.
    pub(crate) fn run(&self, work: Work) -> Outcome {
        CAPTURES.refuse(self)?;
        // The legacy stream is never captured; the work comes back unless it must not run.
        let Some(Task::Work(work)) = CAPTURES.take(self, Task::Work(work))? else {
            return Err(Code::CAPTURE_UNSUPPORTED);
        };
        let point = SCHEDULE.enqueue(self.id, self.confined(work)?, &[])?;
        SCHEDULE.wait(point);
        self.context.check()
    }
}

/// An event.
pub(crate) struct Event {
    context: Arc<Context>,
    timed: bool,
    last: Mutex<Option<Record>>,
}

/// The latest record of an event.
#[derive(Clone)]
enum Record {
    /// In a stream.
    Point(Point, Arc<OnceLock<Moment>>),
    /// In a capture, where it is never reached.
    Captured(Captured),
}

/// `CU_EVENT_DISABLE_TIMING`.
const DISABLE_TIMING: u32 = 2;
/// `CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING`: all that an event of one process can be.
const EVENT_FLAGS: u32 = 3;

impl Event {
    /// Makes an event in the calling thread's current context.
    pub(crate) fn create(flags: u32) -> Outcome<Handle> {
        let context = context::current()?;
        if flags & !EVENT_FLAGS != 0 {
            return Err(Code::INVALID_VALUE);
        }
        let timed = flags & DISABLE_TIMING == 0;
        Ok(EVENTS.add(Event { context, timed, last: Mutex::new(None) }))
    }

    /// The event behind a handle, usable now.
    pub(crate) fn of(handle: Handle) -> Outcome<Arc<Event>> {
        let event = EVENTS.get(handle)?;
        event.context.check()?;
        Ok(event)
    }

    /// Its context.
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// Records it in a stream of its own context; in a captured one, marks where the capture is.
    pub(crate) fn record(&self, stream: &Stream) -> Outcome {
        match CAPTURES.record(stream)? {
            Some(captured) if self.context.is(&stream.context) => {
                *self.last() = Some(Record::Captured(captured));
                Ok(())
            }
            Some(_) => Err(Code::INVALID_HANDLE),
            None => self.record_now(stream),
        }
    }

    /// Records it in a stream that is not captured.
    pub(crate) fn record_now(&self, stream: &Stream) -> Outcome {
        if !self.context.is(&stream.context) {
            return Err(Code::INVALID_HANDLE);
        }
        let at = Arc::new(OnceLock::new());
        let mut last = self.last();
        let mark = Task::Work(Work::Mark(Arc::clone(&at)));
        // The legacy stream may not be used beside some captures.
        let Some(Task::Work(mark)) = CAPTURES.take(stream, mark)? else {
            return Err(Code::CAPTURE_UNSUPPORTED);
        };
        *last = Some(Record::Point(SCHEDULE.enqueue(stream.id, mark, &[])?, at));
        Ok(())
    }

    /// Notes a record that a graph made.
    pub(crate) fn note(&self, point: Point, at: Arc<OnceLock<Moment>>) {
        *self.last() = Some(Record::Point(point, at));
    }

    /// Records all that is in the streams of `view` now, which is of its own context.
    pub(crate) fn record_all(&self, view: &View) -> Outcome {
        if !self.context.is(&view.context) {
            return Err(Code::INVALID_HANDLE);
        }
        CAPTURES.refuse_context(&view.context)?;
        let at = Arc::new(OnceLock::new());
        let mut last = self.last();
        let point = SCHEDULE.gather(view, Work::Mark(Arc::clone(&at)))?;
        *last = Some(Record::Point(point, at));
        Ok(())
    }

    /// Makes what is enqueued in the streams of `view` from now on wait for the latest record.
    pub(crate) fn hold_back_all(&self, view: &View) -> Outcome {
        CAPTURES.refuse_context(&view.context)?;
        if let Some(point) = self.point()? {
            SCHEDULE.hold_back(view, point);
        }
        Ok(())
    }

    /// Makes what is enqueued in `stream` from now on wait for the latest record.
    pub(crate) fn hold_back(&self, stream: &Stream) -> Outcome {
        let last = self.last().clone();
        match last {
            None => Ok(()),
            Some(Record::Captured(captured)) => CAPTURES.join(stream, &captured),
            Some(Record::Point(..)) => {
                CAPTURES.refuse_foreign_event(stream)?;
                self.hold_back_now(stream)
            }
        }
    }

    /// As [`Event::hold_back`], for a stream that is not captured.
    pub(crate) fn hold_back_now(&self, stream: &Stream) -> Outcome {
        let Some(point) = self.point()? else { return Ok(()) };
        SCHEDULE.enqueue(stream.id, Work::Nothing, &[point]).map(|_| ())
    }

    /// The point of the latest record, where there is one.
    ///
    /// # Errors
    /// It was recorded in a capture (907).
    pub(crate) fn point(&self) -> Outcome<Option<Point>> {
        match self.last().as_ref() {
            None => Ok(None),
            Some(Record::Point(point, _)) => Ok(Some(*point)),
            Some(Record::Captured(captured)) => Err(CAPTURES.refuse_event(captured)),
        }
    }

    /// Whether the latest record was reached; an event that was never recorded counts as reached.
    pub(crate) fn is_past(&self) -> Outcome<bool> {
        let point = self.point()?;
        CAPTURES.refuse_unsafe()?;
        Ok(point.is_none_or(|point| SCHEDULE.is_past(point)))
    }

    /// Waits for the latest record.
    pub(crate) fn synchronize(&self) -> Outcome {
        let point = self.point()?;
        CAPTURES.refuse_unsafe()?;
        if let Some(point) = point {
            SCHEDULE.wait(point);
        }
        self.context.check()
    }

    /// Milliseconds from the record of `self` to that of `end`.
    pub(crate) fn millis_until(&self, end: &Event) -> Outcome<f32> {
        if !self.timed || !end.timed {
            return Err(Code::INVALID_HANDLE);
        }
        let at = |event: &Event| match event.last().as_ref() {
            None => Err(Code::INVALID_HANDLE),
            Some(Record::Point(_, at)) => at.get().copied().ok_or(Code::NOT_READY),
            Some(Record::Captured(captured)) => Err(CAPTURES.refuse_event(captured)),
        };
        Ok(at(end)?.millis_since(at(self)?))
    }

    fn last(&self) -> MutexGuard<'_, Option<Record>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
