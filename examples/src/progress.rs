//! How an example tells who started it how far it is: a line `progress DONE OF` on standard output
//! from time to time. Its results follow after the last.

use crate::Failure;
use std::io::Write;

/// Lines for the whole way.
const LINES: usize = 100;

/// How far an example is.
#[derive(Debug)]
pub struct Progress {
    shown: bool,
    of: usize,
}

impl Progress {
    /// `of` steps lie ahead; nothing is written unless `shown`.
    ///
    /// # Errors
    /// What the kernel says of standard output.
    pub fn start(shown: bool, of: usize) -> Result<Self, Failure> {
        let progress = Self { shown, of };
        progress.write(0)?;
        Ok(progress)
    }

    /// `done` steps are behind.
    ///
    /// # Errors
    /// What the kernel says of standard output.
    pub fn at(&self, done: usize) -> Result<(), Failure> {
        if done == self.of || done.is_multiple_of((self.of / LINES).max(1)) {
            self.write(done)?;
        }
        Ok(())
    }

    fn write(&self, done: usize) -> Result<(), Failure> {
        if self.shown {
            writeln!(std::io::stdout(), "progress {done} {}", self.of)?;
        }
        Ok(())
    }
}
