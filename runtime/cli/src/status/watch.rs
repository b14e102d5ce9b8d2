//! The same page again and again: over itself on a terminal, one after the other elsewhere.

use super::{Options, ask, or_nobody_reads, show};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// The other screen, and no cursor on it.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the first place; then what a line leaves of the one that stood there goes, and the rest of the
/// screen after the last line.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

/// A terminal's other screen, until this is dropped.
struct Screen;

impl Screen {
    fn enter() -> std::io::Result<Self> {
        write!(std::io::stdout(), "{ENTER}")?;
        Ok(Self)
    }

    /// Draws a page over the last one, which does not flicker so.
    fn draw(&self, page: &str) -> std::io::Result<()> {
        let lines = page.lines().map(|line| format!("{line}{CLEAR_LINE}\r\n"));
        let mut stdout = std::io::stdout().lock();
        write!(stdout, "{HOME}{}{CLEAR_BELOW}", lines.collect::<String>())?;
        stdout.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs no tidying.
        let _gone = write!(std::io::stdout(), "{LEAVE}");
        let _gone = std::io::stdout().flush();
    }
}

/// Shows the page until the user, or who reads it, has had enough. A daemon that goes away meanwhile
/// is waited for.
///
/// # Errors
/// [`Failure`]: the first page could not be had, or nowhere to print.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn run(options: &Options, interval: Duration) -> Result<(), Failure> {
    let mut interrupt = Interrupt::listen()?;
    let mut page = compact(options).await?;
    let is_screen = std::io::stdout().is_terminal() && !options.json;
    let screen = if is_screen { Some(Screen::enter()?) } else { None };
    loop {
        let shown = match &screen {
            Some(screen) => screen.draw(&page),
            None if options.json => show(&page),
            None => show(&format!("{page}\n")),
        };
        if shown.is_err() {
            return or_nobody_reads(shown);
        }
        tokio::select! {
            () = interrupt.next() => return Ok(()),
            () = tokio::time::sleep(interval) => (),
        }
        page = loop {
            match compact(options).await {
                Ok(page) => break page,
                Err(failure @ Failure::DaemonAbsent { .. }) => {
                    match &screen {
                        Some(screen) => screen.draw(&format!("{failure}"))?,
                        None => eprintln!("gpumux: {failure}"),
                    }
                    tokio::select! {
                        () = interrupt.next() => return Ok(()),
                        () = tokio::time::sleep(interval) => (),
                    }
                }
                Err(failure) => return Err(failure),
            }
        };
    }
}

/// The page; as JSON it is a line.
async fn compact(options: &Options) -> Result<String, Failure> {
    ask(options, serde_json::to_string, serde_json::to_string).await
}
