//! `gpumux bench path`: what a request costs on its way through the daemon, beside a bare ping-pong.
//!
//! It starts a daemon of its own. Each repeat measures the daemon, then the ping-pong, with the same
//! number of peers on the same cores, so that what else the machine does falls on both. The ping-pong
//! is one process that answers all peers over the same rings and the same wake-ups.

use super::figures::{Repeat, Row, table};
use super::leg::{Leg, Path};
use crate::cores;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::node::{Node, Plot};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::io::Write;
use std::time::Duration;

/// Before each measurement: until the daemon's and the answerer's spin have settled.
const WARM_UP: Duration = Duration::from_millis(300);

/// What to measure, and how long.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Processes with one request in flight each
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 32],
          value_parser = clap::value_parser!(u32).range(1..=256))]
    peers: Vec<u32>,
    /// How long each measurement lasts
    #[arg(long, default_value = "2s")]
    measure: humantime::Duration,
    /// Repeats of each pair of measurements
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// The functions
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Function::Null, Function::Echo])]
    functions: Vec<Function>,
    /// The core of the peers and the core of the thread that answers them, in the pinned rows; the
    /// first two of this process when absent
    #[arg(long, value_name = "PEERS,DISPATCH", value_delimiter = ',', num_args = 2)]
    cores: Option<Vec<usize>>,
    /// The device: `emulated`, or `cuda` where there is a GPU
    #[arg(long, default_value = "emulated")]
    device: String,
    /// How long the daemon's dispatch thread and the ping-pong's answerer look for work before they
    /// sleep, at most
    #[arg(long, default_value = "20us")]
    spin: humantime::Duration,
    /// Print the figures of every measurement as JSON
    #[arg(long)]
    json: bool,
}

/// A function that does as little as can be.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Function {
    /// A plan without launches: ring, checks, scheduler, completion
    Null,
    /// 1 KB to the device and back: staging, copy down, one kernel, copy up
    Echo,
}

impl Function {
    fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Echo => "echo",
        }
    }

    fn bytes(self) -> u32 {
        match self {
            Self::Null => 1,
            Self::Echo => 1024,
        }
    }

    /// Its function.toml.
    fn text(self) -> String {
        let (name, bytes) = (self.name(), self.bytes());
        format!("model = \"builtin:{name}\"\nlength = {{ max = {bytes} }}\nmax_batch = 32\n")
    }
}

/// Where the two sides of a measurement run.
#[derive(Clone, Copy, Debug)]
enum Cores {
    Any,
    Pinned { peers: usize, dispatch: usize },
}

/// Measures and prints.
///
/// # Errors
/// [`Failure`]: no daemon, too few cores, or an interruption.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let (peers, dispatch) = cores_of(options)?;
    let machine = Machine::look();
    eprintln!("{}", machine.line());
    eprintln!(
        "peers on core {peers}, dispatch thread and answerer on core {dispatch}; then on any"
    );
    let rows = measure_all(options, [Cores::Pinned { peers, dispatch }, Cores::Any])?;
    let text = if options.json {
        let document = json!({
            "machine": machine.line(),
            "device": options.device,
            "cores": { "peers": peers, "dispatch": dispatch },
            "measure": options.measure.to_string(),
            "spin": options.spin.to_string(),
            "rows": rows,
        });
        serde_json::to_string_pretty(&document).map_err(Failure::process)?
    } else {
        table(&rows)
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

fn cores_of(options: &Options) -> Result<(usize, usize), Failure> {
    match (options.cores.as_deref(), cores::allowed()?.as_slice()) {
        (Some([peers, dispatch]), _) | (None, [peers, dispatch, ..]) => Ok((*peers, *dispatch)),
        (_, allowed) => Err(Failure::process(format!(
            "two cores are needed, one a side, and this process may use {allowed:?}"
        ))),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn measure_all(options: &Options, cores: [Cores; 2]) -> Result<Vec<Row>, Failure> {
    let mut interrupt = Interrupt::listen()?;
    let legs = options.repeats as usize * options.functions.len() * options.peers.len() * 4;
    let bar = ProgressBar::new(legs as u64).with_style(
        ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({eta} left)")
            .expect("a template of this file"),
    );
    let mut rows = Vec::new();
    for cores in cores {
        let mut node = start(options, cores)?;
        let measured = tokio::select! {
            measured = measure(options, cores, &mut node, &bar) => measured,
            () = interrupt.next() => Err(Failure::Interrupted),
        };
        node.stop(&mut interrupt).await?;
        rows.extend(measured?);
    }
    bar.finish_and_clear();
    Ok(rows)
}

fn start(options: &Options, cores: Cores) -> Result<Node, Failure> {
    let plot = Plot::new()?;
    for function in &options.functions {
        plot.add(function.name(), &function.text())?;
    }
    let mut arguments = vec![
        format!("--spin={}", options.spin).into(),
        format!("--device={}", options.device).into(),
    ];
    if let Cores::Pinned { dispatch, .. } = cores {
        arguments.push(format!("--dispatch-core={dispatch}").into());
    }
    Ok(plot.start(&arguments, None)?)
}

async fn measure(
    options: &Options,
    cores: Cores,
    node: &mut Node,
    bar: &ProgressBar,
) -> Result<Vec<Row>, Failure> {
    node.ready().await?;
    let mut rows = Vec::new();
    for function in &options.functions {
        for peers in &options.peers {
            let (function, peers) = (*function, *peers);
            bar.set_message(format!("{} at {peers}", function.name()));
            let leg = |path| Leg {
                peers,
                peer_core: cores.peers(),
                warm_up: WARM_UP,
                measure: options.measure.into(),
                path,
            };
            let (name, bytes) = (function.name(), function.bytes());
            let through = leg(Path::Daemon { socket: node.socket(), function: name, bytes });
            let bare = leg(Path::PingPong { answerer_core: cores.dispatch(), spin: options.spin });
            let mut repeats = Vec::new();
            for _ in 0..options.repeats {
                let gpumux = through.run().await?;
                bar.inc(1);
                let ping_pong = bare.run().await?;
                bar.inc(1);
                repeats.push(Repeat { gpumux, ping_pong });
            }
            let pinned = matches!(cores, Cores::Pinned { .. });
            rows.push(Row { function: name, bytes, peers, pinned, repeats });
        }
    }
    Ok(rows)
}

impl Cores {
    fn peers(self) -> Option<usize> {
        match self {
            Self::Any => None,
            Self::Pinned { peers, .. } => Some(peers),
        }
    }

    fn dispatch(self) -> Option<usize> {
        match self {
            Self::Any => None,
            Self::Pinned { dispatch, .. } => Some(dispatch),
        }
    }
}

/// The machine, as far as figures depend on it.
struct Machine {
    processor: String,
    kernel: String,
    load: String,
}

impl Machine {
    fn look() -> Self {
        // Where the kernel does not say, the line says so.
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let or_unknown = |text: Option<&str>| text.unwrap_or("unknown").trim().to_owned();
        let processors = read("/proc/cpuinfo");
        let model = processors.lines().find(|line| line.starts_with("model name"));
        Self {
            processor: or_unknown(model.and_then(|line| line.split(':').nth(1))),
            kernel: or_unknown(read("/proc/sys/kernel/osrelease").lines().next()),
            load: or_unknown(read("/proc/loadavg").split(' ').next()),
        }
    }

    fn line(&self) -> String {
        let Self { processor, kernel, load } = self;
        format!(
            "{processor}, Linux {kernel}, load {load} before (other work shows in every figure)"
        )
    }
}
