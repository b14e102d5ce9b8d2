//! Where the daemon's log goes, and how a line of it looks. Nothing here is on the path of a request.

use clap::{Args, ValueEnum};
use nix::sys::stat::fstat;
use std::io::{IsTerminal, stderr};
use std::sync::OnceLock;
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The variable that names the format, to the processes that we start too.
pub(crate) const FORMAT: &str = "GPUMUX_LOG_FORMAT";
/// The variable that says what is logged.
const FILTER: &str = "GPUMUX_LOG";

/// How the log is kept.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct LogOptions {
    /// How a line of the log looks: `text` and `json` go to standard error; `journald` sends the
    /// fields to the journal as they are, and is the default where standard error is the journal's.
    /// GPUMUX_LOG says what is logged, as `info` or `warn,gpumux::audit=info`
    #[arg(long, global = true, help_heading = "Log", env = FORMAT, value_enum)]
    pub(crate) log_format: Option<LogFormat>,
}

/// See [`LogOptions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object on each line.
    Json,
    /// The journal's own protocol.
    Journald,
}

/// Why there can be no log. Each is the host's fault and says what to do.
#[derive(Debug, Error)]
pub(crate) enum LogError {
    /// The filter is not one.
    #[error(
        "GPUMUX_LOG: {0}: write a level, as `info`, or levels by part, as `warn,gpumux::audit=info`"
    )]
    Filter(String),
    /// The journal does not answer.
    #[error(
        "the journal cannot be reached at /run/systemd/journal/socket: {0}: is systemd-journald \
         there? Else give --log-format text or json"
    )]
    Journal(std::io::Error),
    /// A log was started before: our bug.
    #[error(transparent)]
    Started(#[from] TryInitError),
}

static CHOSEN: OnceLock<LogFormat> = OnceLock::new();

/// Starts the log of this process.
///
/// # Errors
/// [`LogError`].
pub(crate) fn start(asked: Option<LogFormat>) -> Result<(), LogError> {
    let filter = filter(std::env::var(FILTER).ok())?;
    let format = asked.unwrap_or_else(|| match std::env::var("JOURNAL_STREAM") {
        Ok(stream) if is_stderr(&stream) => LogFormat::Journald,
        Ok(_) | Err(_) => LogFormat::Text,
    });
    let log = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr);
    match format {
        LogFormat::Text => log.with(lines.with_ansi(stderr().is_terminal())).try_init()?,
        LogFormat::Json => log.with(lines.json().flatten_event(true)).try_init()?,
        LogFormat::Journald => {
            let journal = tracing_journald::layer().map_err(LogError::Journal)?;
            log.with(journal.with_syslog_identifier("gpumuxd".to_owned())).try_init()?;
        }
    }
    let _same = CHOSEN.set(format);
    Ok(())
}

/// The format of this process's log, for the processes that it starts: their lines lie among ours.
pub(crate) fn format() -> Option<String> {
    let value = CHOSEN.get()?.to_possible_value()?;
    Some(value.get_name().to_owned())
}

fn filter(asked: Option<String>) -> Result<EnvFilter, LogError> {
    let asked = asked.filter(|text| !text.is_empty());
    let text = asked.as_deref().unwrap_or("info");
    EnvFilter::try_new(text).map_err(|error| LogError::Filter(error.to_string()))
}

/// Whether `JOURNAL_STREAM` names the file that standard error is: it may have been redirected since.
fn is_stderr(stream: &str) -> bool {
    let named = stream.split_once(':').and_then(|(device, inode)| {
        Some((device.parse::<u64>().ok()?, inode.parse::<u64>().ok()?))
    });
    let ours = fstat(stderr()).map(|file| (file.st_dev, file.st_ino));
    named.is_some_and(|named| ours == Ok(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_told_by_the_very_file() {
        let ours = fstat(stderr()).unwrap();
        assert!(is_stderr(&format!("{}:{}", ours.st_dev, ours.st_ino)));
        for other in [format!("{}:{}", ours.st_dev, ours.st_ino + 1), String::new(), "8".into()] {
            assert!(!is_stderr(&other), "{other}");
        }
    }

    #[test]
    fn a_filter_that_is_none_is_refused() {
        for good in [None, Some(""), Some("warn"), Some("warn,gpumux::audit=info")] {
            assert!(filter(good.map(str::to_owned)).is_ok(), "{good:?}");
        }
        let error = filter(Some("gpumux=loud".to_owned())).unwrap_err().to_string();
        assert!(error.starts_with("GPUMUX_LOG: "), "{error}");
    }
}
