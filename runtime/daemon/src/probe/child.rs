//! A process that may crash or hang: run to its end, or to the end of its time.

use nix::sys::signal::Signal;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Bytes of an answer that are read; a document of hundreds of lanes takes a tenth.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// Why a process has no answer.
#[derive(Debug, Error)]
pub(crate) enum ChildError {
    /// It could not be started, or its answer not be read.
    #[error("it could not be run: {0}")]
    Start(#[from] std::io::Error),
    /// It died before it had answered.
    #[error("it died: {of}")]
    Died {
        /// Of what.
        of: String,
    },
    /// It did not end in time.
    #[error("it did not end within {} and was killed", humantime::format_duration(*.limit))]
    TimedOut {
        /// The time it had.
        limit: Duration,
    },
}

/// Runs a process and returns what it wrote to its standard output. One that takes too long is
/// killed.
///
/// # Errors
/// [`ChildError`].
pub(crate) async fn run_limited(
    mut command: Command,
    limit: Duration,
) -> Result<Vec<u8>, ChildError> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let Ok(ended) = timeout(limit, answer(&mut child)).await else {
        child.kill().await?;
        return Err(ChildError::TimedOut { limit });
    };
    let (status, answer) = ended?;
    if status.success() { Ok(answer) } else { Err(ChildError::Died { of: cause(status) }) }
}

/// Ends this process when its parent ends. The parents here start their children on their main
/// thread, so that the end of a thread is that of the process.
///
/// # Errors
/// What the kernel says.
pub(crate) fn end_with_parent() -> nix::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
}

async fn answer(child: &mut Child) -> std::io::Result<(ExitStatus, Vec<u8>)> {
    let mut answer = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    }
    Ok((child.wait().await?, answer))
}

/// What a process died of, in the words of a finding.
pub(super) fn cause(status: ExitStatus) -> String {
    let signal = status.signal().and_then(|number| Signal::try_from(number).ok());
    signal.map_or_else(|| status.to_string(), |signal| signal.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        command
    }

    #[tokio::test]
    async fn an_answer_is_what_was_written() {
        let answer = run_limited(shell("echo well"), Duration::from_secs(600)).await.unwrap();
        assert_eq!(answer, b"well\n");
    }

    #[tokio::test]
    async fn a_death_is_named() {
        for (text, cause) in [("kill -SEGV $$", "SIGSEGV"), ("exit 7", "exit status: 7")] {
            let ended = run_limited(shell(text), Duration::from_secs(600)).await;
            let Err(ChildError::Died { of }) = ended else { panic!("{ended:?}") };
            assert_eq!(of, cause);
        }
    }

    #[tokio::test]
    async fn a_process_that_hangs_is_ended() {
        let ended = run_limited(shell("exec sleep 100000"), Duration::from_millis(50)).await;
        assert!(matches!(ended, Err(ChildError::TimedOut { .. })), "{ended:?}");
    }
}
