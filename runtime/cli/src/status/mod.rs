//! `gpumux status`: the daemon at a glance, one function in depth, either again and again.
//!
//! - `glance`: devices, functions, tenants and sessions on one page;
//! - `depth`: everything about one function;
//! - `watch`: the same page again at an interval;
//! - `wait`: until there is something to show;
//! - `text`: how numbers and tables look.

mod depth;
mod glance;
mod text;
mod wait;
mod watch;

use crate::admin::AdminSocket;
use crate::failure::Failure;
use clap::Args;
use gpumux_wire::status::{FunctionStatus, Status};
use std::io::Write;
use std::time::Duration;

pub(crate) use text::{align, mean_batch, span, table};

/// The shortest span between two pages: what is shown moves no faster.
const WATCH_MIN: Duration = Duration::from_millis(200);

/// What to show, and how.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// One function to show in depth; all at a glance when absent
    function: Option<String>,
    #[command(flatten)]
    socket: AdminSocket,
    /// Print the document as JSON; with FUNCTION, that function's part of it
    #[arg(long)]
    json: bool,
    /// Show it again and again until Ctrl-C, every INTERVAL; as JSON, a document a line
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, default_missing_value = "2s",
          value_parser = interval)]
    watch: Option<Duration>,
    /// Wait until the daemon serves on each of its devices, for at most this long
    #[arg(long, value_name = "SPAN")]
    wait: Option<humantime::Duration>,
    /// Print the JSON schema of the document instead; no daemon is asked
    #[arg(long, conflicts_with_all = ["function", "json", "watch", "wait"])]
    schema: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval =
        humantime::parse_duration(text).map_err(|error| format!("{error}: write it like `2s`"))?;
    if interval < WATCH_MIN {
        let least = humantime::format_duration(WATCH_MIN);
        return Err(format!("the figures move no faster than every {least}: give that or more"));
    }
    Ok(interval)
}

/// Asks the daemon and prints what it says.
///
/// # Errors
/// [`Failure`]: no daemon, no such function, or nowhere to print.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if let Some(limit) = options.wait {
        wait_for(options, limit.into())?;
    }
    let shown = if options.schema {
        show(&schema()?)
    } else if let Some(interval) = options.watch {
        return watch::run(options, interval);
    } else {
        show(&page(options)?)
    };
    or_nobody_reads(shown)
}

/// Whoever closes the pipe has read enough.
fn or_nobody_reads(shown: std::io::Result<()>) -> Result<(), Failure> {
    match shown {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

fn show(page: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{page}")?;
    stdout.flush()
}

#[tokio::main(flavor = "current_thread")]
async fn wait_for(options: &Options, limit: Duration) -> Result<(), Failure> {
    wait::until_served(&options.socket, limit).await
}

#[tokio::main(flavor = "current_thread")]
async fn page(options: &Options) -> Result<String, Failure> {
    ask(options, serde_json::to_string_pretty, serde_json::to_string_pretty).await
}

/// Writes a value as JSON, on one line or many.
type Json<T> = fn(&T) -> serde_json::Result<String>;

/// Asks once, and makes a page of it.
async fn ask(
    options: &Options,
    whole: Json<Status>,
    one: Json<FunctionStatus>,
) -> Result<String, Failure> {
    let unprintable = |error: serde_json::Error| Failure::BadAnswer(error.to_string());
    let status = options.socket.ask().await?;
    let Some(name) = &options.function else {
        let json = || whole(&status).map_err(unprintable);
        return if options.json { json() } else { Ok(glance::page(&status)) };
    };
    let found = status.functions.iter().find(|function| function.name == *name);
    let function = match found {
        Some(function) => function.clone(),
        // The daemon knows the names, and says which is the nearest.
        None => options.socket.function(name).await?,
    };
    if options.json {
        return one(&function).map_err(unprintable);
    }
    Ok(depth::page(&status, &function))
}

/// The schema of the document, as it is in the reference.
fn schema() -> Result<String, Failure> {
    // As the daemon writes it: every field is there.
    let settings = schemars::generate::SchemaSettings::default().for_serialize();
    let schema = settings.into_generator().into_root_schema_for::<Status>();
    serde_json::to_string_pretty(&schema).map_err(|error| Failure::BadAnswer(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn an_interval_has_a_unit_and_is_no_shorter_than_the_figures_move() {
        assert_eq!(interval("2s"), Ok(Duration::from_secs(2)));
        assert!(interval("2").unwrap_err().contains("write it like `2s`"));
        assert!(interval("1ms").unwrap_err().contains("200ms"));
    }

    /// With `GPUMUX_WRITE_REFERENCE=1` the file is written instead of compared.
    #[test]
    fn the_reference_is_of_this_document() {
        let path = "../../docs/reference/status.schema.json";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let schema = schema().unwrap() + "\n";
        if std::env::var_os("GPUMUX_WRITE_REFERENCE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &schema).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        let stale = "docs/reference/status.schema.json is not of this document: run this test with \
                     GPUMUX_WRITE_REFERENCE=1";
        assert_eq!(committed, schema, "{stale}");
    }
}
