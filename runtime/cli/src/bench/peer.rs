//! A process of a measurement: so many requests in flight, the next as soon as the oldest is back.

use super::bare::{self, Asker, Order};
use super::report::{Latencies, Report};
use crate::clock::Clock;
use crate::cores;
use crate::failure::Failure;
use clap::Args;
use gpumux_shim::{ChannelSize, Function, Outcome, Pending, Session, SubmitOptions};
use std::collections::VecDeque;
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
    /// Requests in flight
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    in_flight: u32,
    /// Look for replies and never sleep
    #[arg(long)]
    polls: bool,
}

/// Which way requests go.
pub(super) trait Way {
    /// Makes a request.
    ///
    /// # Errors
    /// [`Failure`]: there is no room for it, or nobody on the other side.
    fn send(&mut self, number: u64) -> Result<(), Failure>;
    /// Waits for the oldest request in flight.
    ///
    /// # Errors
    /// [`Failure`]: it was not done, or nobody is on the other side.
    fn receive(&mut self) -> Result<(), Failure>;
}

/// Through a daemon: each reply is checked when it is back.
struct Through<'a> {
    function: &'a Function,
    bytes: u32,
    polls: bool,
    pending: VecDeque<(u64, Pending)>,
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
    let polls = options.polls;
    let report = match options {
        Options { socket: Some(socket), function: Some(function), bytes: Some(bytes), .. } => {
            let session = Session::connect(socket)?;
            let function = session.open(function, size(*bytes, options.in_flight))?;
            begin(&orders)?;
            let pending = VecDeque::with_capacity(options.in_flight as usize);
            measure(options, Through { function: &function, bytes: *bytes, polls, pending })?
        }
        _ => {
            let (Order::Take, Some(end)) = bare::order(&orders)? else {
                return Err(Failure::process("no channel came"));
            };
            let asker = Asker::new(end, polls)?;
            begin(&orders)?;
            measure(options, asker)?
        }
    };
    println!("{}", serde_json::to_string(&report).map_err(Failure::process)?);
    Ok(())
}

/// Room for what is in flight and one more, in and out.
fn size(bytes: u32, in_flight: u32) -> ChannelSize {
    let slots = (in_flight + 1).next_power_of_two();
    let arena_bytes = u64::from(bytes).next_power_of_two().max(1 << 12) * 2 * u64::from(slots);
    ChannelSize { slots, arena_bytes }
}

fn begin(orders: &impl AsFd) -> Result<(), Failure> {
    println!("ready");
    match bare::order(orders)? {
        (Order::Begin, _) => Ok(()),
        (Order::Take, _) => Err(Failure::process("a channel came out of turn")),
    }
}

impl Way for Through<'_> {
    fn send(&mut self, number: u64) -> Result<(), Failure> {
        let mut request = self.function.request(self.bytes).map_err(Failure::process)?;
        request.input_mut::<u8>("data").map_err(Failure::process)?.fill(pattern(number));
        let pending = request.submit(SubmitOptions::default()).map_err(Failure::process)?;
        self.pending.push_back((number, pending));
        Ok(())
    }

    fn receive(&mut self) -> Result<(), Failure> {
        let Some((number, mut pending)) = self.pending.pop_front() else { return Ok(()) };
        let reply = loop {
            if !self.polls {
                break pending.wait()?;
            }
            if let Some(reply) = pending.try_wait()? {
                break reply;
            }
            std::hint::spin_loop();
        };
        if reply.outcome() != Outcome::Done {
            return Err(Failure::NoResult(format!("{:?}", reply.outcome())));
        }
        for spec in self.function.outputs() {
            let output = reply.output_bytes(&spec.name)?;
            // Without an end in the middle, so that the processor's widest words do it.
            if output.iter().fold(0, |seen, byte| seen | (byte ^ pattern(number))) != 0 {
                return Err(Failure::process(format!("request {number} came back changed")));
            }
        }
        Ok(())
    }
}

/// What fills a request.
fn pattern(number: u64) -> u8 {
    number.to_le_bytes()[0]
}

fn measure(options: &Options, mut way: impl Way) -> Result<Report, Failure> {
    let (warm_up, length) = (Duration::from(options.warm_up), Duration::from(options.measure));
    let clock = Clock::start();
    let mut latencies = Latencies::new();
    let mut begun = VecDeque::with_capacity(options.in_flight as usize);
    let (mut number, mut now, mut since) = (0, clock.now(), None);
    while since.is_none_or(|since| now < since + length) {
        while begun.len() < options.in_flight as usize {
            way.send(number)?;
            number += 1;
            begun.push_back(now);
        }
        way.receive()?;
        let began = begun.pop_front();
        now = clock.now();
        match (since, began) {
            (Some(_), Some(began)) => latencies.record(now - began),
            _ if now >= warm_up => since = Some(now),
            _ => (),
        }
    }
    begun.drain(..).try_for_each(|_| way.receive())?;
    Ok(latencies.report(now - since.unwrap_or(now)))
}
