//! Why an example came to nothing.

use gpumux_shim::{ConnectError, OpenError, OutputError, SubmitError, WaitError};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// See the file's head.
#[derive(Debug, Error)]
pub enum Failure {
    /// No session.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The function did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A request could not be made.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// A request could not be waited for.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// A result could not be read.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A request ended without a result.
    #[error("a request ended without a result: {0}")]
    NoResult(String),
    /// The function is not the one that this example asks.
    #[error("the function does not fit: {0}")]
    Function(String),
    /// A file could not be read or understood.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A text could not be turned into tokens.
    #[error("a text could not be tokenised: {0}")]
    Tokens(String),
    /// The output could not be written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Failure {
    /// Something is wrong with a file.
    pub fn file(path: &Path, why: impl ToString) -> Self {
        Self::File { path: path.to_owned(), why: why.to_string() }
    }
}
