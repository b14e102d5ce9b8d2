//! Streams and events as the program holds them: handles onto the schedule.

use crate::clock::Moment;
use crate::code::{Code, Outcome};
use crate::context::{self, Context, View};
use crate::handle::{Handle, Table};
use crate::partition::{self, Found, Green, Structure};
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
        let structure = Structure::create(view.context.device().claim().driver)?;
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

    /// What it belongs to.
    pub(crate) fn view(&self) -> View {
        View { context: Arc::clone(&self.context), green: self.green.clone() }
    }

    /// Appends work. A launch takes the mask that the stream's structure holds now: a store into it
    /// concerns what is enqueued later.
    pub(crate) fn enqueue(&self, work: Work) -> Outcome<Point> {
        let work = match (work, &self.structure) {
            (Work::Launch(grid), Some(structure)) => self.confine(grid, structure)?,
            (work, _) => work,
        };
        SCHEDULE.enqueue(self.id, work, &[])
    }

    /// A launch on those of the stream's SMs that its mask leaves. A mask that leaves none makes the
    /// launch fail for want of resources; what a real device does then is not documented.
    fn confine(&self, grid: Box<dyn Grid>, structure: &Structure) -> Outcome<Work> {
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
        if let Some(tail) = SCHEDULE.tail(self.id) {
            SCHEDULE.wait(tail);
        }
        self.context.check()
    }

    /// Appends work and waits for it.
    pub(crate) fn run(&self, work: Work) -> Outcome {
        let point = self.enqueue(work)?;
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
struct Record {
    point: Point,
    at: Arc<OnceLock<Moment>>,
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

    /// Records it in a stream of its own context.
    pub(crate) fn record(&self, stream: &Stream) -> Outcome {
        if !self.context.is(&stream.context) {
            return Err(Code::INVALID_HANDLE);
        }
        let at = Arc::new(OnceLock::new());
        let mut last = self.last();
        let point = stream.enqueue(Work::Mark(Arc::clone(&at)))?;
        *last = Some(Record { point, at });
        Ok(())
    }

    /// Records all that is in the streams of `view` now, which is of its own context.
    pub(crate) fn record_all(&self, view: &View) -> Outcome {
        if !self.context.is(&view.context) {
            return Err(Code::INVALID_HANDLE);
        }
        let at = Arc::new(OnceLock::new());
        let mut last = self.last();
        let point = SCHEDULE.gather(view, Work::Mark(Arc::clone(&at)))?;
        *last = Some(Record { point, at });
        Ok(())
    }

    /// Makes what is enqueued in the streams of `view` from now on wait for the latest record.
    pub(crate) fn hold_back_all(&self, view: &View) {
        if let Some(record) = self.last().clone() {
            SCHEDULE.hold_back(view, record.point);
        }
    }

    /// Makes what is enqueued in `stream` from now on wait for the latest record.
    pub(crate) fn hold_back(&self, stream: &Stream) -> Outcome {
        let Some(record) = self.last().clone() else { return Ok(()) };
        SCHEDULE.enqueue(stream.id, Work::Nothing, &[record.point]).map(|_| ())
    }

    /// Whether the latest record was reached; an event that was never recorded counts as reached.
    pub(crate) fn is_past(&self) -> bool {
        self.last().as_ref().is_none_or(|record| SCHEDULE.is_past(record.point))
    }

    /// Waits for the latest record.
    pub(crate) fn synchronize(&self) -> Outcome {
        let record = self.last().clone();
        if let Some(record) = record {
            SCHEDULE.wait(record.point);
        }
        self.context.check()
    }

    /// Milliseconds from the record of `self` to that of `end`.
    pub(crate) fn millis_until(&self, end: &Event) -> Outcome<f32> {
        if !self.timed || !end.timed {
            return Err(Code::INVALID_HANDLE);
        }
        let at = |event: &Event| {
            let record = event.last().clone().ok_or(Code::INVALID_HANDLE)?;
            record.at.get().copied().ok_or(Code::NOT_READY)
        };
        Ok(at(end)?.millis_since(at(self)?))
    }

    fn last(&self) -> MutexGuard<'_, Option<Record>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
