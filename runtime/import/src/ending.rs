//! How an import ends other than well: the exit codes, and what turns a fall into one of them.
//!
//! A stranger's file may lead the parser anywhere: to a panic, to more memory than there is, to an
//! endless loop. Each ends as a code that whoever started the importer can tell apart, and none as a
//! death that would look like a bug of the machine.

use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

/// The exit code of [`Failure::Host`]. 2 is what a wrong command line ends with.
const HOST: u8 = 1;
/// The exit code of [`Failure::Refused`].
const REFUSED: u8 = 3;
/// The exit code when memory, or the stack, does not suffice.
const OUT_OF_MEMORY: u8 = 4;
/// The exit code when the time is over.
const OUT_OF_TIME: u8 = 5;

/// Why there is no plan.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// A file or the system is not as it should be; the model was not judged.
    #[error("{0}")]
    Host(String),
    /// The model cannot be served.
    #[error("{0}")]
    Refused(String),
    /// The memory does not suffice.
    #[error("{0}")]
    Memory(String),
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        ExitCode::from(match failure {
            Failure::Host(_) => HOST,
            Failure::Refused(_) => REFUSED,
            Failure::Memory(_) => OUT_OF_MEMORY,
        })
    }
}

/// From here on an allocation that fails, and a limit of time that is reached, end the process with
/// their codes. Rust ends a process whose allocation failed by SIGABRT.
pub(crate) fn answer_signals() -> Result<(), Failure> {
    for (signal, code) in [(libc::SIGABRT, OUT_OF_MEMORY), (libc::SIGXCPU, OUT_OF_TIME)] {
        let always = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_shutdown(signal, i32::from(code), always)
            .map_err(|error| Failure::Host(format!("could not handle signal {signal}: {error}")))?;
    }
    Ok(())
}

/// What the last panic said, and where.
static LAST_WORDS: Mutex<Option<String>> = Mutex::new(None);

/// Does what may fall over a malformed model, and tells of a fall as a refusal.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    panic::set_hook(Box::new(note));
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    let _ours = panic::take_hook();
    done.unwrap_or_else(|_| {
        let said = LAST_WORDS.lock().unwrap_or_else(PoisonError::into_inner).take();
        let said = said.unwrap_or_default();
        Err(Failure::Refused(format!("the model is malformed: reading it stopped {said}")))
    })
}

fn note(panic: &PanicHookInfo<'_>) {
    // Of a file's path as much as names the crate: the rest tells of the machine that built it.
    let place = panic.location().map(|at| {
        let parts: Vec<_> = at.file().split('/').collect();
        let file =
            parts.iter().rposition(|part| *part == "src").map_or(0, |src| src.saturating_sub(1));
        format!("at {}:{}", parts[file..].join("/"), at.line())
    });
    let words = panic.payload_as_str().unwrap_or("without a word");
    let said = format!("{}: {words}", place.unwrap_or_default());
    *LAST_WORDS.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fall_is_a_refusal_that_says_where() {
        let failed = guarded::<()>(|| panic!("rank {}", 7)).unwrap_err();
        let said = failed.to_string();
        assert!(matches!(failed, Failure::Refused(_)));
        assert!(
            said.starts_with("the model is malformed: ") && said.ends_with(": rank 7"),
            "{said}"
        );
        assert!(said.contains("ending.rs:"), "{said}");
        assert!(matches!(guarded(|| Ok(3)), Ok(3)));
    }
}
