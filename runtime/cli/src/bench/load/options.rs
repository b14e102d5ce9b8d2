//! What is typed after `gpumux bench`, and what it means.

use super::lengths::LengthRule;
use super::plan::{Arrivals, Plan};
use super::values::NamedRange;
use crate::failure::Failure;
use crate::given::NamedFile;
use crate::socket::PeerSocket;
use clap::{ArgGroup, Args};
use std::path::PathBuf;
use std::time::Duration;

/// What needs more than a line.
const NOTES: &str = "\
Each peer is a process with a session of its own, as a container would be. A function whose name is \
a word of this command is written after `--`.

Open loop: --rate or --trace. A request's latency counts from its intended arrival, whatever the \
generator or the function did before, so a pause shows in every request that it delayed. \
Closed loop: --concurrency. The next request goes when one is back, so a slow function is asked \
less; its latency says nothing of what arrivals of their own would see.

Inputs are random where no file is given: floats from 0 to 1, integers 0 or 1, or within --range.

Exit codes: as of `gpumux run`; 0 also where requests were refused, which is what was measured.";

/// Whom to ask, how often, with what.
#[derive(Clone, Debug, Args)]
#[command(after_help = NOTES)]
#[command(group(ArgGroup::new("arrivals").required(true)))]
pub(crate) struct Options {
    /// The function to ask
    #[arg(required = true)]
    function: Option<String>,
    /// Open loop: requests a second in all, with exponential gaps between them (a Poisson process)
    #[arg(long, group = "arrivals", value_name = "PER_SECOND", value_parser = positive)]
    rate: Option<f64>,
    /// Open loop: a file with the gap before each request, in seconds, one a line
    #[arg(long, group = "arrivals", value_name = "FILE")]
    trace: Option<PathBuf>,
    /// How many times as fast as it was written the trace is played
    #[arg(long, requires = "trace", default_value_t = 1.0, value_parser = positive)]
    speed: f64,
    /// Closed loop: requests that each peer keeps in flight
    #[arg(long, group = "arrivals", value_name = "REQUESTS",
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    concurrency: Option<u32>,
    /// Peers: processes with a session each; arrivals of an open loop fall on them at random
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    peers: u32,
    /// How long to measure; until --requests or the end of the trace when absent, else 10s
    #[arg(long)]
    duration: Option<humantime::Duration>,
    /// End after so many measured requests in all
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,
    /// How long to ask without measuring first
    #[arg(long, default_value = "1s")]
    warm_up: humantime::Duration,
    /// How long to wait, after the last arrival, for what is in flight; the rest is cancelled
    #[arg(long, default_value = "10s")]
    drain: humantime::Duration,
    /// Lengths of requests: `N`, `uniform:LEAST-MOST`, `lognormal:MEDIAN,P99` (cut at the function's
    /// longest), or `file:PATH` with one a line, taken in turn; the function's longest when absent
    #[arg(long, value_name = "RULE", conflicts_with = "inputs")]
    length: Option<LengthRule>,
    /// How long a request may wait for its batch to begin, as in `50ms`; no limit when absent
    #[arg(long)]
    budget: Option<humantime::Duration>,
    /// Requests that a peer of an open loop may have in flight; an arrival beyond waits for room in
    /// the peer, and its latency counts that
    #[arg(long, default_value_t = 256, conflicts_with = "concurrency",
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    in_flight: u32,
    /// An input of every request: one item, without a batch dimension
    #[arg(long = "input", value_name = "NAME=FILE.npy")]
    inputs: Vec<NamedFile>,
    /// Random values of an input, the second bound excluded, as in `ids=0..30522`
    #[arg(long = "range", value_name = "NAME=LEAST..END")]
    ranges: Vec<NamedRange>,
    /// What arrivals, lengths and values are drawn from; drawn and printed when absent
    #[arg(long, env = "GPUMUX_SEED")]
    seed: Option<u64>,
    /// How long before an arrival a peer of an open loop stops sleeping; it costs that share of a
    /// core, and makes arrivals more exact
    #[arg(long, default_value = "0s")]
    spin: humantime::Duration,
    /// Print the arrivals of the open loop as a trace, warm-up included, and ask nobody
    #[arg(long, conflicts_with = "concurrency")]
    dry_run: bool,
    /// Print the figures as JSON, whose names carry their units
    #[arg(long)]
    pub(super) json: bool,
    /// Write the latencies of done requests to a file, as HdrHistogram's tools plot them
    #[arg(long, value_name = "FILE")]
    pub(super) histogram: Option<PathBuf>,
    #[command(flatten)]
    socket: PeerSocket,
}

/// What to do with the arrivals.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    Print(Plan),
    Ask(Plan),
}

impl Options {
    /// The plan that every peer follows.
    ///
    /// # Errors
    /// [`Failure`]: arguments that do not go together and that the parser cannot tell.
    pub(super) fn plan(&self) -> Result<Wanted, Failure> {
        let arrivals = match (self.rate, &self.trace, self.concurrency) {
            (Some(requests_per_s), _, _) => Arrivals::Poisson { requests_per_s },
            (_, Some(path), _) => Arrivals::Trace { path: path.clone(), speed: self.speed },
            (_, _, Some(concurrency)) => Arrivals::Closed { concurrency },
            (None, None, None) => unreachable!("the parser wants one of the three"),
        };
        let ends = self.requests.is_some() || self.trace.is_some();
        let span = Duration::from_secs(10);
        let duration = self.duration.map(Duration::from).or((!ends).then_some(span));
        let slots = self.concurrency.unwrap_or(self.in_flight).next_power_of_two();
        let plan = Plan {
            socket: self.socket.path.clone(),
            function: self.function.clone().unwrap_or_default(),
            seed: self.seed.unwrap_or_else(rand::random),
            peers: self.peers,
            arrivals,
            lengths: self.length.clone().unwrap_or(LengthRule::Longest),
            budget: self.budget.map(Duration::from),
            warm_up: self.warm_up.into(),
            duration,
            requests: self.requests,
            drain: self.drain.into(),
            slots,
            inputs: self.inputs.clone(),
            ranges: self.ranges.clone(),
            spin: self.spin.into(),
        };
        Ok(if self.dry_run { Wanted::Print(plan) } else { Wanted::Ask(plan) })
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (1e-6..=1e9).contains(&value) => Ok(value),
        Ok(_) | Err(_) => Err("give a number from 0.000001 to 1000000000".to_owned()),
    }
}
