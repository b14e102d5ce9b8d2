//! Threads that do what SMs do not: copies, host functions, and waits for a value in memory. An
//! engine runs what it is given in order, and sleeps while there is nothing.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often waits for a value are looked at. Nobody tells the driver when the program stores to
/// memory, so it has to look; it does so only while such a wait is outstanding.
const LOOK_EVERY: Duration = Duration::from_micros(200);

type Errand = Box<dyn FnOnce() + Send>;
/// Returns true when it is over.
type Watch = Box<dyn FnMut() -> bool + Send>;

/// One thread and what it has to do.
pub(crate) struct Engine {
    name: &'static str,
    todo: Mutex<Todo>,
    more: Condvar,
}

#[derive(Default)]
struct Todo {
    errands: VecDeque<Errand>,
    watches: Vec<Watch>,
    /// Its thread sleeps; nobody else need be told of what comes.
    asleep: bool,
}

impl Engine {
    /// An engine that does not run yet.
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, todo: Mutex::default(), more: Condvar::new() }
    }

    /// Starts its thread, which lives as long as the process.
    pub(crate) fn start(self: &Arc<Self>) -> io::Result<()> {
        let engine = Arc::clone(self);
        std::thread::Builder::new().name(self.name.to_owned()).spawn(move || engine.serve())?;
        Ok(())
    }

    /// Hands it something to do once.
    pub(crate) fn submit(&self, errand: Errand) {
        self.hand_over(|todo| todo.errands.push_back(errand));
    }

    /// Hands it something to look at until it says that it is over.
    pub(crate) fn watch(&self, watch: Watch) {
        self.hand_over(|todo| todo.watches.push(watch));
    }

    fn hand_over(&self, add: impl FnOnce(&mut Todo)) {
        let mut todo = self.todo();
        add(&mut todo);
        let asleep = std::mem::take(&mut todo.asleep);
        drop(todo);
        if asleep {
            self.more.notify_one();
        }
    }

    fn serve(&self) {
        let mut todo = self.todo();
        loop {
            if let Some(errand) = todo.errands.pop_front() {
                drop(todo);
                errand();
                todo = self.todo();
            } else if todo.watches.is_empty() {
                todo.asleep = true;
                todo = self.more.wait(todo).unwrap_or_else(PoisonError::into_inner);
            } else {
                todo = self.look(todo);
            }
        }
    }

    fn look<'a>(&'a self, mut todo: MutexGuard<'a, Todo>) -> MutexGuard<'a, Todo> {
        // Taken out while they run: what they set off may hand us more.
        let mut watches = std::mem::take(&mut todo.watches);
        drop(todo);
        watches.retain_mut(|watch| !watch());
        todo = self.todo();
        todo.watches.append(&mut watches);
        if todo.watches.is_empty() || !todo.errands.is_empty() {
            return todo;
        }
        todo.asleep = true;
        let waited = self.more.wait_timeout(todo, LOOK_EVERY);
        let mut todo = waited.unwrap_or_else(PoisonError::into_inner).0;
        todo.asleep = false;
        todo
    }

    // Errands run outside the lock; a panic in one cannot leave the list half changed.
    fn todo(&self) -> MutexGuard<'_, Todo> {
        self.todo.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
