//! A process of a measurement: one request in flight, the next as soon as it is back.

use super::bare::{self, Asker, Order};
use super::report::{Latencies, Report};
use crate::clock::Clock;
use crate::cores;
use crate::failure::Failure;
use clap::Args;
use gpumux_shim::{ChannelSize, Function, Outcome, Session, SubmitOptions};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

/// How to take part.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The core to stay on
    #[arg(long)]
    core: Option<usize>,
    /// How long to go without measuring first
    #[arg(long)]
    warm_up: humantime::Duration,
    /// How long to measure
    #[arg(long)]
    measure: humantime::Duration,
    /// The daemon's socket; without it a bare channel is expected on standard input
    #[arg(long, requires_all = ["function", "bytes"])]
    socket: Option<PathBuf>,
    /// The function
    #[arg(long)]
    function: Option<String>,
    /// Bytes of a request
    #[arg(long)]
    bytes: Option<u32>,
}

/// Says `ready`, waits for the order to begin, measures, and writes a [`Report`].
///
/// # Errors
/// [`Failure`]: no daemon, a request that was not done, or nobody on the other side.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    if let Some(core) = options.core {
        cores::keep_on(core)?;
    }
    let orders = std::io::stdin();
    let report = match options {
        Options { socket: Some(socket), function: Some(function), bytes: Some(bytes), .. } => {
            let session = Session::connect(socket)?;
            let size = ChannelSize { slots: 2, arena_bytes: 1 << 20 };
            let function = session.open(function, size)?;
            begin(&orders)?;
            measure(options, |number| request(&function, *bytes, number))?
        }
        _ => {
            let (Order::Take, Some(end)) = bare::order(&orders)? else {
                return Err(Failure::process("no channel came"));
            };
            let mut asker = Asker::new(end)?;
            begin(&orders)?;
            measure(options, |number| asker.exchange(number))?
        }
    };
    println!("{}", serde_json::to_string(&report).map_err(Failure::process)?);
    Ok(())
}

fn begin(orders: &impl AsFd) -> Result<(), Failure> {
    println!("ready");
    match bare::order(orders)? {
        (Order::Begin, _) => Ok(()),
        (Order::Take, _) => Err(Failure::process("a channel came out of turn")),
    }
}

/// One request through the daemon, checked when it is back.
fn request(function: &Function, bytes: u32, number: u64) -> Result<(), Failure> {
    let pattern = number.to_le_bytes()[0];
    let mut request = function.request(bytes).map_err(Failure::process)?;
    request.input_mut::<u8>("data").map_err(Failure::process)?.fill(pattern);
    let pending = request.submit(SubmitOptions::default()).map_err(Failure::process)?;
    let reply = pending.wait()?;
    if reply.outcome() != Outcome::Done {
        return Err(Failure::NoResult(format!("{:?}", reply.outcome())));
    }
    for spec in function.outputs() {
        if reply.output_bytes(&spec.name)?.iter().any(|byte| *byte != pattern) {
            return Err(Failure::process(format!("request {number} came back changed")));
        }
    }
    Ok(())
}

fn measure(
    options: &Options,
    mut once: impl FnMut(u64) -> Result<(), Failure>,
) -> Result<Report, Failure> {
    let clock = Clock::start();
    let mut number = 0;
    while clock.now() < Duration::from(options.warm_up) {
        once(number)?;
        number += 1;
    }
    let mut latencies = Latencies::new();
    let began = clock.now();
    let mut now = began;
    while now - began < Duration::from(options.measure) {
        once(number)?;
        number += 1;
        let after = clock.now();
        latencies.record(after - now);
        now = after;
    }
    Ok(latencies.report(now - began))
}
