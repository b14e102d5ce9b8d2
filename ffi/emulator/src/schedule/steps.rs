//! Several pieces of work that are one thing to their stream, as the nodes of a graph are. Those that
//! need not wait for each other run side by side, in streams that live as long as they do.

use super::{Manner, Point, Queue, Schedule, State, StreamId, Work};
use crate::code::{Code, Outcome};
use std::sync::Arc;

/// A piece of work that belongs to several; see [`Schedule::enqueue_steps`].
pub(crate) struct Step {
    /// The work.
    pub(crate) work: Work,
    /// Zero is the stream itself; others are streams that live as long as the steps.
    pub(crate) branch: usize,
    /// Earlier steps that it waits for, by their index.
    pub(crate) after: Vec<usize>,
    /// Points besides that it waits for.
    pub(crate) outside: Vec<Point>,
}

impl Schedule {
    /// Appends steps that are one thing to their stream: what others enqueue comes before all of
    /// them or after all of them. Returns the point of each.
    pub(crate) fn enqueue_steps(&self, stream: StreamId, steps: Vec<Step>) -> Outcome<Vec<Point>> {
        let mut state = self.state();
        let outcome = state.enqueue_steps(stream, steps);
        self.tell(state);
        outcome
    }
}

impl State {
    fn enqueue_steps(&mut self, stream: StreamId, steps: Vec<Step>) -> Outcome<Vec<Point>> {
        let queue = self.queues.get(&stream).ok_or(Code::INVALID_HANDLE)?;
        let (context, green, sms) = (Arc::clone(&queue.context), queue.green, queue.sms.clone());
        let branches = steps.iter().map(|step| step.branch).max().unwrap_or(0);
        let mut streams = vec![stream];
        for _ in 0..branches {
            let branch = Queue::new(&context, green, Manner::NonBlocking, sms.clone());
            streams.push(self.open(branch));
        }
        let mut points: Vec<Point> = Vec::with_capacity(steps.len());
        for step in steps {
            let mut after = step.outside;
            after.extend(step.after.iter().map(|earlier| points[*earlier]));
            points.push(self.enqueue(streams[step.branch], step.work, after)?.0);
        }
        for branch in &streams[1..] {
            if let Some(queue) = self.queues.get_mut(branch) {
                queue.closing = true;
            }
            self.remove_if_over(*branch);
        }
        Ok(points)
    }
}
