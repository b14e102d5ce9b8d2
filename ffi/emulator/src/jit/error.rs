//! Why a PTX text cannot run here.

use std::fmt;

use crate::ptx::SyntaxError;

/// A text that was refused: which of the driver's errors it is, where, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CompileError {
    /// Which of the driver's errors.
    pub(crate) kind: CompileErrorKind,
    /// The line of the text, counted from 1; 0 when it is about the text as a whole.
    pub(crate) line: u32,
    /// What is wrong.
    pub(crate) reason: String,
}

/// The driver's errors for a text that cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CompileErrorKind {
    /// Not well formed, or something that is not supported (218).
    InvalidPtx,
    /// Written in a PTX ISA that is newer than the driver's (222).
    UnsupportedPtxVersion,
    /// Made for an architecture that the device is not (209). That is what drivers are reported to
    /// say (numba #1940, Theano/libgpuarray #289, GPUEnabler #27); LuxCore #492 tells of 218.
    NoBinary,
}

impl CompileError {
    pub(super) fn invalid(line: u32, reason: impl Into<String>) -> Self {
        Self { kind: CompileErrorKind::InvalidPtx, line, reason: reason.into() }
    }
}

impl From<SyntaxError> for CompileError {
    fn from(error: SyntaxError) -> Self {
        Self::invalid(error.line, error.reason)
    }
}

impl fmt::Display for CompileError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for CompileError {}
