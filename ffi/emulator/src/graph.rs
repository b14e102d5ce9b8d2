//! Graphs: pieces of work and what each waits for, launched as one. A graph that can be launched
//! was checked and is never changed again.

use crate::code::{Code, Outcome};
use crate::context::Context;
use crate::handle::{Handle, Table};
use crate::schedule::{Point, SCHEDULE, Step, Work};
use crate::stream::{Event, Stream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All live graphs.
pub(crate) static GRAPHS: Table<Graph> = Table::new(0x6706);
/// All graphs that can be launched.
pub(crate) static EXECUTABLES: Table<Executable> = Table::new(0x6707);

/// What a node does.
#[derive(Clone)]
pub(crate) enum Task {
    /// Runs a piece of work.
    Work(Work),
    /// Records an event.
    Record(Arc<Event>),
    /// Waits for the latest record of an event.
    Wait(Arc<Event>),
    /// Runs another graph.
    Graph(Arc<Graph>),
}

/// A node: what it does, and the nodes before it.
#[derive(Clone)]
pub(crate) struct Node {
    /// What it does.
    pub(crate) task: Task,
    /// Earlier nodes, by their index.
    pub(crate) after: Vec<usize>,
}

/// A graph. Nodes wait only for nodes that were added before them, so there is no circle.
#[derive(Clone)]
pub(crate) struct Graph {
    context: Arc<Context>,
    nodes: Vec<Node>,
}

impl Graph {
    /// Without nodes.
    pub(crate) fn new(context: &Arc<Context>) -> Self {
        Self { context: Arc::clone(context), nodes: Vec::new() }
    }

    /// The graph behind a handle.
    pub(crate) fn of(handle: Handle) -> Outcome<Arc<Graph>> {
        GRAPHS.get(handle).map_err(|_| Code::INVALID_VALUE)
    }

    /// The context that its work runs in.
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// How many nodes it has.
    pub(crate) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Adds a node; returns its index.
    pub(crate) fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Adds another graph, which waits for `after`; returns what is to be waited for after it.
    pub(crate) fn append(&mut self, other: &Graph, after: &[usize]) -> Vec<usize> {
        let first = self.nodes.len();
        for node in &other.nodes {
            let mut before: Vec<_> = node.after.iter().map(|index| first + index).collect();
            if before.is_empty() {
                before.extend(after);
            }
            self.nodes.push(Node { task: node.task.clone(), after: before });
        }
        if other.nodes.is_empty() {
            return after.to_vec();
        }
        self.last_from(first)
    }

    /// The nodes from `first` on that no other waits for.
    fn last_from(&self, first: usize) -> Vec<usize> {
        let waited_for = |index: &usize| self.nodes.iter().any(|node| node.after.contains(index));
        (first..self.nodes.len()).filter(|index| !waited_for(index)).collect()
    }

    /// Whether each node is one of `front` or comes before one of them.
    pub(crate) fn all_lead_to(&self, front: &[usize]) -> bool {
        let mut reached = vec![false; self.nodes.len()];
        let mut todo = front.to_vec();
        while let Some(index) = todo.pop() {
            if !std::mem::replace(&mut reached[index], true) {
                todo.extend(&self.nodes[index].after);
            }
        }
        reached.iter().all(|reached| *reached)
    }

    /// The steps of one launch, with a first that waits for `outside` and a last that waits for
    /// all. A chain stays in one branch; what parts from it gets another.
    fn steps(&self, outside: Vec<Point>) -> Outcome<Vec<Step>> {
        let first = Step { work: Work::Nothing, branch: 0, after: Vec::new(), outside };
        let mut steps = vec![first];
        // The step that each branch ends with.
        let mut ends = vec![0];
        for (index, node) in self.nodes.iter().enumerate() {
            // Steps are counted from the first, which no node is.
            let mut after: Vec<_> = node.after.iter().map(|before| before + 1).collect();
            if after.is_empty() {
                after.push(0);
            }
            let branch = ends.iter().position(|end| after.contains(end)).unwrap_or(ends.len());
            if branch == ends.len() {
                ends.push(0);
            }
            ends[branch] = index + 1;
            let (work, outside) = node.task.work()?;
            steps.push(Step { work, branch, after, outside });
        }
        steps.push(Step { work: Work::Nothing, branch: 0, after: ends, outside: Vec::new() });
        Ok(steps)
    }
}

impl Task {
    /// The work of one launch, and the points besides its graph that it waits for.
    fn work(&self) -> Outcome<(Work, Vec<Point>)> {
        match self {
            Task::Work(work) => Ok((work.clone(), Vec::new())),
            Task::Record(_) => Ok((Work::Mark(Arc::default()), Vec::new())),
            Task::Wait(event) => Ok((Work::Nothing, event.point()?.into_iter().collect())),
            // Graphs are taken apart when they become part of another.
            Task::Graph(_) => Err(Code::NOT_SUPPORTED),
        }
    }
}

/// A graph that can be launched. One launch of it runs at a time.
pub(crate) struct Executable {
    graph: Arc<Graph>,
    last: Mutex<Option<Point>>,
}

impl Executable {
    /// Makes a graph launchable.
    pub(crate) fn new(graph: &Graph) -> Self {
        Self { graph: Arc::new(graph.clone()), last: Mutex::new(None) }
    }

    /// The launchable graph behind a handle.
    pub(crate) fn of(handle: Handle) -> Outcome<Arc<Executable>> {
        EXECUTABLES.get(handle).map_err(|_| Code::INVALID_VALUE)
    }

    /// The graph as it is launched.
    pub(crate) fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// Launches it in a stream of its own context.
    pub(crate) fn launch(&self, stream: &Stream) -> Outcome {
        if !self.graph.context.is(&stream.context) {
            return Err(Code::NOT_SUPPORTED);
        }
        let mut last = self.last();
        let steps = self.graph.steps(last.iter().copied().collect())?;
        let marks: Vec<_> = steps
            .iter()
            .map(|step| match &step.work {
                Work::Mark(at) => Some(Arc::clone(at)),
                _ => None,
            })
            .collect();
        let points = SCHEDULE.enqueue_steps(stream.id, steps)?;
        for (index, node) in self.graph.nodes.iter().enumerate() {
            if let (Task::Record(event), Some(at)) = (&node.task, &marks[index + 1]) {
                event.note(points[index + 1], Arc::clone(at));
            }
        }
        *last = points.last().copied();
        Ok(())
    }

    fn last(&self) -> MutexGuard<'_, Option<Point>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
