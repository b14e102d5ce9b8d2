//! Files that a user writes: how they are read, and how it is said what is wrong with them and where.

use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What is wrong with a file.
#[derive(Debug, Error)]
pub enum FileError {
    /// It could not be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// It could not be written.
    #[error("{} could not be written: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// Something on one of its lines.
    #[error("{}:{line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what to write.
        what: String,
    },
    /// Something about all of it.
    #[error("{}: {what}", path.display())]
    Whole {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to write.
        what: String,
    },
}

/// A text and where it is from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Source {
    /// # Errors
    /// [`FileError::Unreadable`].
    pub(crate) fn read(path: &Path) -> Result<Self, FileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| FileError::Unreadable { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), text })
    }

    /// Reads the text as TOML.
    ///
    /// # Errors
    /// [`FileError::Line`]: what the parser found, and where.
    pub(crate) fn toml<T: DeserializeOwned>(&self) -> Result<T, FileError> {
        toml::from_str(&self.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            self.wrong_at(at, error.message().lines().collect::<Vec<_>>().join("; "))
        })
    }

    /// Something is wrong at a byte of the text.
    pub(crate) fn wrong_at(&self, byte: usize, what: impl Into<String>) -> FileError {
        let before = self.text.as_bytes().iter().take(byte);
        self.wrong_on(before.filter(|byte| **byte == b'\n').count() + 1, what)
    }

    /// Something is wrong on a line, counted from 1.
    pub(crate) fn wrong_on(&self, line: usize, what: impl Into<String>) -> FileError {
        FileError::Line { path: self.path.clone(), line, what: what.into() }
    }

    /// Something is wrong with all of it.
    pub(crate) fn wrong(&self, what: impl Into<String>) -> FileError {
        FileError::Whole { path: self.path.clone(), what: what.into() }
    }

    /// What is on each line, with the line's number, but for empty ones and those that start with `#`.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = (1..).zip(self.text.lines().map(str::trim));
        numbered.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
    }
}
