//! `gpumux bench FUNCTION`: peers that ask a function by a plan, and what they saw.
//!
//! - `options`: what is typed; `plan`: what every peer is told of it;
//! - `schedule`, `lengths`, `values`: when requests come, how long they are, what they hold, all of it
//!   from the seed;
//! - `peer`: the process that asks; `pace`: what it sleeps on;
//! - `tally`, `spans`: what became of requests, and how long that took;
//! - `lead`: starts the peers and hears them; `page`: what is said at the end.

mod lead;
mod lengths;
mod lines;
mod options;
mod pace;
mod page;
mod peer;
mod plan;
mod schedule;
mod spans;
mod tally;
mod values;

use crate::failure::Failure;
use lengths::Lengths;
pub(crate) use options::Options;
use options::Wanted;
pub(crate) use peer::{Options as PeerOptions, run as run_peer};
use plan::Plan;
use schedule::Schedule;
use std::io::Write;

/// Puts a function under load and says what its peers saw.
///
/// # Errors
/// [`Failure`]: a plan that does not fit the function, no daemon, or a peer that could not go on.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let plan = match options.plan()? {
        Wanted::Print(plan) => return print_arrivals(&plan),
        Wanted::Ask(plan) => plan,
    };
    // Here a plan that does not fit is refused once, and before any peer is started.
    drop(peer::prepare(&plan, 0)?);
    Schedule::new(&plan, Lengths::fixed(1))?;
    let peers = match plan.peers {
        1 => "1 peer, a process with a session".to_owned(),
        several => format!("{several} peers, processes with a session each"),
    };
    eprintln!("{} by {peers}: {}; seed {}", plan.function, plan.arrivals_text(), plan.seed);
    let run = lead::run(&plan)?;
    if let Some(path) = &options.histogram {
        std::fs::write(path, run.tally.latency.percentiles())
            .map_err(|source| Failure::Unwritable { path: path.clone(), source })?;
    }
    let page = page::Page::new(&plan, &run);
    let text = if options.json {
        serde_json::to_string_pretty(&page).map_err(Failure::process)?
    } else {
        page.table()
    };
    writeln!(std::io::stdout(), "{text}")?;
    match run.failures.into_iter().next() {
        Some(failure) => Err(Failure::process(failure)),
        None => Ok(()),
    }
}

/// Writes the arrivals of a plan as a trace. An endless one is cut by whoever reads it.
fn print_arrivals(plan: &Plan) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let mut before = std::time::Duration::ZERO;
    // Lengths have no influence on arrivals.
    for arrival in Schedule::new(plan, Lengths::fixed(1))?.into_iter().flatten() {
        writeln!(out, "{:.9}", (arrival.at - before).as_secs_f64())?;
        before = arrival.at;
    }
    Ok(())
}
