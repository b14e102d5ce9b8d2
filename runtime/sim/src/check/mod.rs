//! Invariants of the scheduler, checked on everything that is seen of it and by nothing of its own.
//!
//! [`Books`] holds what the history so far means; each of [`rules::RULES`] says whether the next thing
//! may follow. The rules know neither the scheduler's tables nor its policy.

mod books;
mod rules;

use crate::history::{Seen, Watch};
use crate::simulation::World;
use books::Books;
use gpumux_core::MonoTime;
use std::time::Duration;
use thiserror::Error;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{rule} at {:?}: {what}", Duration::from_nanos(at.as_nanos()))]
pub struct Broken {
    /// The rule's name.
    pub rule: &'static str,
    /// When.
    pub at: MonoTime,
    /// What happened that may not.
    pub what: String,
}

/// Looks on, and remembers the first rule that was broken.
#[derive(Debug)]
pub struct Checker {
    books: Books,
    broken: Option<Broken>,
}

impl Checker {
    /// For a simulation of this world, from its beginning.
    pub fn new(world: &World) -> Self {
        Self { books: Books::new(world), broken: None }
    }

    /// The rule that was broken first, if one was.
    pub fn into_broken(self) -> Option<Broken> {
        self.broken
    }
}

impl Watch for Checker {
    fn see(&mut self, now: MonoTime, seen: Seen<'_>) {
        if self.broken.is_some() {
            return;
        }
        for (rule, holds) in rules::RULES {
            if let Err(what) = holds(&self.books, now, &seen) {
                self.broken = Some(Broken { rule, at: now, what });
                return;
            }
        }
        self.books.enter(now, &seen);
    }

    /// What follows a broken rule is not worth looking at, and may have no end.
    fn is_over(&self) -> bool {
        self.broken.is_some()
    }
}

#[cfg(test)]
mod tests;
