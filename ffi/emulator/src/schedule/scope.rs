//! All streams of a context at once: waiting for them, marking what they hold, holding them back.
//! Apart from the schedule's own steps, because nothing else looks at more than one stream.

use super::{Manner, Point, Queue, Schedule, State, StreamId, Work};
use crate::code::Outcome;
use crate::context::{Context, View};
use crate::device::Device;
use crate::partition::Green;

/// The streams of a green context, or of a context and of all green ones within it.
#[derive(Clone, Copy)]
struct Scope {
    context: usize,
    green: Option<usize>,
}

impl Scope {
    fn new(context: &Context, green: Option<&Green>) -> Self {
        Self { context: context.number(), green: green.map(Green::number) }
    }

    fn holds(self, queue: &Queue) -> bool {
        let within = self.green.is_none() || self.green == queue.green;
        within && queue.context.number() == self.context
    }
}

/// A point that all work of some streams waits for, if it came later.
pub(super) struct Hold {
    scope: Scope,
    point: Point,
}

impl Schedule {
    /// Blocks the calling thread until all that is in the streams of a context now has ended.
    pub(crate) fn wait_for(&self, context: &Context, green: Option<&Green>) {
        for tail in self.tails(Scope::new(context, green)) {
            self.wait(tail);
        }
    }

    /// A point that is passed once all that is in the streams of `view` now has ended and `mark` was
    /// done.
    pub(crate) fn gather(&self, view: &View, mark: Work) -> Outcome<Point> {
        let tails = self.tails(Scope::new(&view.context, view.green.as_deref()));
        // A stream for this one piece of work, so that it waits for nothing else.
        let stream = self.open(view, Manner::NonBlocking);
        let point = self.enqueue(stream, mark, &tails);
        self.close(stream);
        point
    }

    /// Makes all that is enqueued in the streams of `view` from now on wait for `point`.
    pub(crate) fn hold_back(&self, view: &View, point: Point) {
        let scope = Scope::new(&view.context, view.green.as_deref());
        let mut state = self.state();
        if state.is_past(point) {
            return;
        }
        state.forget_past_holds();
        state.holds.push(Hold { scope, point });
        let held = state.queues.iter().filter(|(_, queue)| scope.holds(queue) && !queue.closing);
        let held: Vec<_> = held.map(|(id, _)| *id).collect();
        for id in held {
            state.hold(id, vec![point]);
        }
        // Where a context is over, what its streams held has ended here.
        self.tell(state);
    }

    /// Lets all streams of a device meet: what is enqueued from now on begins when all that is there
    /// now has ended, in whatever stream. Returns the points at which they have met.
    pub(crate) fn join_streams(&self, device: &Device) -> Vec<Point> {
        let mut state = self.state();
        let of_device = |queue: &Queue| queue.context.device().ordinal() == device.ordinal();
        let queues = state.queues.iter().filter(|(_, queue)| of_device(queue));
        let ids: Vec<_> = queues.map(|(id, _)| *id).collect();
        let tails: Vec<_> = ids.iter().filter_map(|id| state.queues[id].tail(*id)).collect();
        let points = ids.into_iter().filter_map(|id| state.hold(id, tails.clone())).collect();
        // Idle streams have met at once.
        self.tell(state);
        points
    }

    fn tails(&self, scope: Scope) -> Vec<Point> {
        let state = self.state();
        let queues = state.queues.iter().filter(|(_, queue)| scope.holds(queue));
        queues.filter_map(|(id, queue)| queue.tail(*id)).collect()
    }
}

impl State {
    /// Makes a new stream wait for what its context is held back for.
    pub(super) fn hold_new(&mut self, id: StreamId) {
        self.forget_past_holds();
        let Some(queue) = self.queues.get(&id) else { return };
        let holds = self.holds.iter().filter(|hold| hold.scope.holds(queue));
        let points: Vec<_> = holds.map(|hold| hold.point).collect();
        if !points.is_empty() {
            self.hold(id, points);
        }
    }

    /// Makes what comes later in a stream wait for `after`. Returns the point where it waits.
    fn hold(&mut self, id: StreamId, after: Vec<Point>) -> Option<Point> {
        let queue = self.queues.get_mut(&id)?;
        let point = queue.append(id, Work::Nothing, after);
        if !queue.running && !queue.waiting {
            self.advance(id);
        }
        Some(point)
    }

    fn forget_past_holds(&mut self) {
        let past: Vec<_> = self.holds.iter().map(|hold| self.is_past(hold.point)).collect();
        let mut past = past.into_iter();
        self.holds.retain(|_| past.next() == Some(false));
    }
}
