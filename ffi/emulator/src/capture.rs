//! Stream capture: work that is noted in a graph instead of run. A capture begins in one stream and
//! spreads to others through events; each of its streams has a front, the nodes that the next one
//! waits for. What would break a capture is refused, and the capture is void from then on.

use crate::code::{Code, Outcome};
use crate::context::Context;
use crate::graph::{Graph, Node, Task};
use crate::schedule::StreamId;
use crate::stream::Stream;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

/// All captures of the process.
pub(crate) static CAPTURES: Captures = Captures {
    under_way: AtomicUsize::new(0),
    state: Mutex::new(State { captures: BTreeMap::new(), next: 1 }),
};

thread_local! {
    /// How far captures forbid the calling thread what may be unsafe while they last.
    static THREAD_MODE: Cell<Mode> = const { Cell::new(Mode::Global) };
}

/// `CUstreamCaptureMode`: whom a capture keeps from calls that may be unsafe beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Every thread.
    Global,
    /// The thread that began it.
    ThreadLocal,
    /// Nobody.
    Relaxed,
}

/// Sets the calling thread's mode; returns the one before.
pub(crate) fn exchange_thread_mode(mode: Mode) -> Mode {
    THREAD_MODE.replace(mode)
}

/// What a stream's capture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// There is none.
    None,
    /// It goes on; its number.
    Active(u64),
    /// It has to be ended, and gives no graph.
    Invalidated(u64),
}

/// Where an event was recorded in a capture.
#[derive(Clone, Debug)]
pub(crate) struct Captured {
    capture: u64,
    front: Vec<usize>,
}

struct Capture {
    origin: StreamId,
    mode: Mode,
    thread: ThreadId,
    graph: Graph,
    /// Its streams and the front of each.
    streams: BTreeMap<StreamId, (Stream, Vec<usize>)>,
    valid: bool,
}

impl Capture {
    fn context(&self) -> &Context {
        self.graph.context()
    }

    /// Whether this legacy stream would have to wait for it.
    fn bars_legacy(&self, legacy: &Stream) -> bool {
        let waits = |stream: &Stream| stream.is_blocking() && stream.is_beside(legacy);
        self.streams.values().any(|(stream, _)| waits(stream))
    }

    /// Whether a call that may be unsafe is forbidden to the calling thread.
    fn forbids(&self, thread: ThreadId, mode: Mode) -> bool {
        let own = self.thread == thread && self.mode != Mode::Relaxed;
        match mode {
            Mode::Global => own || self.mode == Mode::Global,
            Mode::ThreadLocal => own,
            Mode::Relaxed => false,
        }
    }
}

struct State {
    captures: BTreeMap<u64, Capture>,
    next: u64,
}

impl State {
    fn of(&mut self, stream: StreamId) -> Option<(u64, &mut Capture)> {
        let mut captures = self.captures.iter_mut();
        captures
            .find(|(_, capture)| capture.streams.contains_key(&stream))
            .map(|(id, capture)| (*id, capture))
    }

    /// Invalidates the captures that `hit` names; whether there were any.
    fn invalidate(&mut self, hit: impl Fn(&Capture) -> bool) -> bool {
        let mut any = false;
        for capture in self.captures.values_mut().filter(|capture| hit(capture)) {
            capture.valid = false;
            any = true;
        }
        any
    }
}

/// See the head of this file.
pub(crate) struct Captures {
    /// How many there are, so that a program without any pays one load.
    under_way: AtomicUsize,
    state: Mutex<State>,
}

impl Captures {
    /// Begins a capture in a stream.
    pub(crate) fn begin(&self, stream: &Stream, mode: Mode) -> Outcome {
        if stream.is_legacy() {
            return Err(Code::CAPTURE_UNSUPPORTED);
        }
        let mut state = self.state();
        if state.of(stream.id).is_some() {
            return Err(Code::ILLEGAL_STATE);
        }
        let id = state.next;
        state.next += 1;
        let capture = Capture {
            origin: stream.id,
            mode,
            thread: std::thread::current().id(),
            graph: Graph::new(&stream.context),
            streams: BTreeMap::from([(stream.id, (stream.clone(), Vec::new()))]),
            valid: true,
        };
        state.captures.insert(id, capture);
        self.count(&state);
        Ok(())
    }

    /// Ends the capture that began in a stream.
    ///
    /// # Errors
    /// There is none (401), another stream (903) or thread (908) began it: these leave it as it is.
    /// It was invalidated (901), or has work that the stream did not wait for (904).
    pub(crate) fn end(&self, stream: &Stream) -> Outcome<Graph> {
        let mut state = self.state();
        let (id, capture) = state.of(stream.id).ok_or(Code::ILLEGAL_STATE)?;
        if capture.origin != stream.id {
            return Err(Code::CAPTURE_UNMATCHED);
        }
        if capture.mode != Mode::Relaxed && capture.thread != std::thread::current().id() {
            return Err(Code::CAPTURE_WRONG_THREAD);
        }
        let capture = state.captures.remove(&id).ok_or(Code::ILLEGAL_STATE)?;
        self.count(&state);
        if !capture.valid {
            return Err(Code::CAPTURE_INVALIDATED);
        }
        let front = &capture.streams[&stream.id].1;
        if !capture.graph.all_lead_to(front) {
            return Err(Code::CAPTURE_UNJOINED);
        }
        Ok(capture.graph)
    }

    /// What a stream's capture is.
    pub(crate) fn status(&self, stream: &Stream) -> Status {
        if self.none() {
            return Status::None;
        }
        match self.state().of(stream.id) {
            None => Status::None,
            Some((id, capture)) if capture.valid => Status::Active(id),
            Some((id, _)) => Status::Invalidated(id),
        }
    }

    /// Whether this legacy stream may not be used now.
    pub(crate) fn bars_legacy(&self, legacy: &Stream) -> bool {
        !self.none() && self.state().captures.values().any(|capture| capture.bars_legacy(legacy))
    }

    /// Takes work that is enqueued in a stream, where the stream is captured. Returns it where it
    /// is to be run.
    ///
    /// # Errors
    /// The capture is void (901); the legacy stream is used while a stream that waits for it is
    /// captured (906).
    pub(crate) fn take(&self, stream: &Stream, task: Task) -> Outcome<Option<Task>> {
        if self.none() {
            return Ok(Some(task));
        }
        let mut state = self.state();
        if stream.is_legacy() {
            let hit = state.invalidate(|capture| capture.bars_legacy(stream));
            return if hit { Err(Code::CAPTURE_IMPLICIT) } else { Ok(Some(task)) };
        }
        let Some((_, capture)) = state.of(stream.id) else { return Ok(Some(task)) };
        if !capture.valid {
            return Err(Code::CAPTURE_INVALIDATED);
        }
        let Some((_, front)) = capture.streams.get_mut(&stream.id) else { return Ok(Some(task)) };
        match task {
            // A graph that is launched into a capture becomes part of it.
            Task::Graph(graph) => *front = capture.graph.append(&graph, front),
            task => {
                let task = stream.placed(task)?;
                *front = vec![capture.graph.add(Node { task, after: std::mem::take(front) })];
            }
        }
        Ok(None)
    }

    /// Refuses work that the capture cannot hold: allocations, and what the host waits for.
    ///
    /// # Errors
    /// The stream is captured (900), and the capture is void from now on.
    pub(crate) fn refuse(&self, stream: &Stream) -> Outcome {
        if self.none() {
            return Ok(());
        }
        let mut state = self.state();
        let hit = state.invalidate(|capture| capture.streams.contains_key(&stream.id));
        if hit { Err(Code::CAPTURE_UNSUPPORTED) } else { Ok(()) }
    }

    /// Refuses to wait for all work of a context.
    ///
    /// # Errors
    /// One of its streams is captured (900).
    pub(crate) fn refuse_context(&self, context: &Context) -> Outcome {
        if self.none() {
            return Ok(());
        }
        let hit = self.state().invalidate(|capture| capture.context().is(context));
        if hit { Err(Code::CAPTURE_UNSUPPORTED) } else { Ok(()) }
    }

    /// Refuses a call that may be unsafe while something is captured, as the modes of captures and
    /// of the calling thread have it.
    ///
    /// # Errors
    /// A capture forbids it (900), and is void from now on.
    pub(crate) fn refuse_unsafe(&self) -> Outcome {
        if self.none() {
            return Ok(());
        }
        let (thread, mode) = (std::thread::current().id(), THREAD_MODE.get());
        let hit = self.state().invalidate(|capture| capture.forbids(thread, mode));
        if hit { Err(Code::CAPTURE_UNSUPPORTED) } else { Ok(()) }
    }

    /// Notes where an event stands in a captured stream; `None` where the stream is not captured.
    pub(crate) fn record(&self, stream: &Stream) -> Outcome<Option<Captured>> {
        if self.none() {
            return Ok(None);
        }
        let mut state = self.state();
        let Some((id, capture)) = state.of(stream.id) else { return Ok(None) };
        if !capture.valid {
            return Err(Code::CAPTURE_INVALIDATED);
        }
        Ok(Some(Captured { capture: id, front: capture.streams[&stream.id].1.clone() }))
    }

    /// Makes a stream wait for an event of a capture, which it joins where it is in none.
    ///
    /// # Errors
    /// The capture is over (907) or void (901); the stream is in another (902), or can be in none.
    pub(crate) fn join(&self, stream: &Stream, event: &Captured) -> Outcome {
        let mut state = self.state();
        let other = state.of(stream.id).map(|(id, _)| id).filter(|id| *id != event.capture);
        if let Some(other) = other {
            let both = [other, event.capture];
            for id in both {
                if let Some(capture) = state.captures.get_mut(&id) {
                    capture.valid = false;
                }
            }
            return Err(Code::CAPTURE_MERGE);
        }
        let capture = state.captures.get_mut(&event.capture).ok_or(Code::CAPTURED_EVENT)?;
        if !capture.valid {
            return Err(Code::CAPTURE_INVALIDATED);
        }
        if stream.is_legacy() || !capture.context().is(&stream.context) {
            capture.valid = false;
            return Err(Code::CAPTURE_UNSUPPORTED);
        }
        let (_, front) =
            capture.streams.entry(stream.id).or_insert_with(|| (stream.clone(), Vec::new()));
        front.extend(
            event.front.iter().filter(|node| !front.contains(node)).copied().collect::<Vec<_>>(),
        );
        Ok(())
    }

    /// Refuses to make a captured stream wait for an event that was recorded outside.
    ///
    /// # Errors
    /// The stream is captured (905), and the capture is void from now on.
    pub(crate) fn refuse_foreign_event(&self, stream: &Stream) -> Outcome {
        match self.refuse(stream) {
            Err(_) => Err(Code::CAPTURE_ISOLATION),
            Ok(()) => Ok(()),
        }
    }

    /// Refuses to look at an event of a capture.
    ///
    /// # Errors
    /// Always (907); the capture is void from now on.
    pub(crate) fn refuse_event(&self, event: &Captured) -> Code {
        if let Some(capture) = self.state().captures.get_mut(&event.capture) {
            capture.valid = false;
        }
        Code::CAPTURED_EVENT
    }

    /// A stream is destroyed: a capture that began in it is gone, another is void.
    pub(crate) fn leave(&self, stream: StreamId) {
        if self.none() {
            return;
        }
        let mut state = self.state();
        state.captures.retain(|_, capture| capture.origin != stream);
        state.invalidate(|capture| capture.streams.contains_key(&stream));
        self.count(&state);
    }

    /// Forgets the captures of a context.
    pub(crate) fn drop_context(&self, context: &Context) {
        let mut state = self.state();
        state.captures.retain(|_, capture| !capture.context().is(context));
        self.count(&state);
    }

    fn none(&self) -> bool {
        self.under_way.load(Ordering::Acquire) == 0
    }

    fn count(&self, state: &State) {
        self.under_way.store(state.captures.len(), Ordering::Release);
    }

    // Changes under the lock are single steps that cannot leave it half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
