//! `gpumux bench path`: what a request costs on its way through the daemon, beside a bare ping-pong,
//! and what an idle daemon costs.
//!
//! Each scene has a daemon of its own. Each repeat measures the daemon, then the ping-pong, with the
//! same number of peers on the same cores, so that what else the machine does falls on both. The
//! ping-pong is one process that answers all peers over the same rings and the same wake-ups.

use super::figures::{Repeat, Row, table};
use super::idle::{Idle, SESSIONS};
use super::leg::{Leg, Path};
use super::scene::{Manner, Scene};
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
    /// What to measure
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SCENES",
          default_values_t = Scene::value_variants().iter().copied())]
    scenes: Vec<Scene>,
    /// Leave out what an idle daemon costs
    #[arg(long)]
    no_idle: bool,
    /// How long each measurement lasts
    #[arg(long, default_value = "2s")]
    measure: humantime::Duration,
    /// Repeats of each pair of measurements
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// The core of the peers and the core of the thread that answers them; the first two of this
    /// process when absent
    #[arg(long, value_name = "PEERS,DISPATCH", value_delimiter = ',', num_args = 2)]
    cores: Option<Vec<usize>>,
    /// Leave it to the kernel where each runs
    #[arg(long, conflicts_with = "cores")]
    unpinned: bool,
    /// The device: `emulated`, or `cuda` where there is a GPU
    #[arg(long, default_value = "emulated")]
    device: String,
    /// How long the daemon's dispatch thread and the ping-pong's answerer look for work before they
    /// sleep, at most, in scenes in which they may
    #[arg(long, default_value = "20us")]
    spin: humantime::Duration,
    /// Print the figures of every measurement as JSON
    #[arg(long)]
    json: bool,
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
    let cores = cores_of(options)?;
    let machine = Machine::look();
    eprintln!("{}", machine.line());
    eprintln!("{}", cores.line());
    let (rows, idle) = measure_all(options, cores)?;
    let text = if options.json {
        let document = json!({
            "machine": machine.line(),
            "device": options.device,
            "cores": cores.line(),
            "measure": options.measure.to_string(),
            "spin": options.spin.to_string(),
            "rows": rows,
            "idle": idle,
        });
        serde_json::to_string_pretty(&document).map_err(Failure::process)?
    } else {
        let promises = rows.iter().flat_map(|row| {
            row.verdicts.iter().map(move |verdict| format!("{}: {verdict}", row.scene))
        });
        let promises: Vec<String> = promises.chain(idle.map(|idle| idle.to_string())).collect();
        format!("{}\n\n{}", table(&rows), promises.join("\n"))
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

fn cores_of(options: &Options) -> Result<Cores, Failure> {
    if options.unpinned {
        return Ok(Cores::Any);
    }
    match (options.cores.as_deref(), cores::allowed()?.as_slice()) {
        (Some([peers, dispatch]), _) | (None, [peers, dispatch, ..]) => {
            Ok(Cores::Pinned { peers: *peers, dispatch: *dispatch })
        }
        (_, allowed) => Err(Failure::process(format!(
            "two cores are needed, one a side, and this process may use {allowed:?}: see --unpinned"
        ))),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn measure_all(options: &Options, cores: Cores) -> Result<(Vec<Row>, Option<Idle>), Failure> {
    let mut interrupt = Interrupt::listen()?;
    let legs = |scene: &Scene| 1 + u64::from(scene.manner().has_like);
    let legs: u64 = options.scenes.iter().map(legs).sum::<u64>() * u64::from(options.repeats);
    let bar = ProgressBar::new(legs + u64::from(!options.no_idle)).with_style(
        ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({eta} left)")
            .expect("a template of this file"),
    );
    let mut rows = Vec::new();
    for scene in &options.scenes {
        bar.set_message(scene.name());
        let manner = scene.manner();
        let mut node = start(options, cores, &manner)?;
        let measured = tokio::select! {
            measured = measure(options, cores, &mut node, (&manner, &bar)) => measured,
            () = interrupt.next() => Err(Failure::Interrupted),
        };
        node.stop(&mut interrupt).await?;
        rows.push(Row::new(scene.name(), &manner, measured?));
    }
    let mut idle = None;
    if !options.no_idle {
        bar.set_message(format!("{SESSIONS} idle sessions"));
        let manner = Scene::NullAsleep.manner();
        let mut node = start(options, cores, &Manner { sleeps: false, ..manner })?;
        let measured = tokio::select! {
            measured = be_idle(&mut node, manner.function) => measured,
            () = interrupt.next() => Err(Failure::Interrupted),
        };
        node.stop(&mut interrupt).await?;
        idle = Some(measured?);
    }
    bar.finish_and_clear();
    Ok((rows, idle))
}

fn start(options: &Options, cores: Cores, manner: &Manner) -> Result<Node, Failure> {
    let plot = Plot::new()?;
    plot.add(manner.function, &manner.function_text())?;
    let mut arguments = vec![
        format!("--spin={}", spin(options, manner)).into(),
        format!("--device={}", options.device).into(),
    ];
    if let Cores::Pinned { dispatch, .. } = cores {
        arguments.push(format!("--dispatch-core={dispatch}").into());
    }
    Ok(plot.start(&arguments, None)?)
}

fn spin(options: &Options, manner: &Manner) -> humantime::Duration {
    if manner.sleeps { Duration::ZERO.into() } else { options.spin }
}

async fn measure(
    options: &Options,
    cores: Cores,
    node: &mut Node,
    (manner, bar): (&Manner, &ProgressBar),
) -> Result<Vec<Repeat>, Failure> {
    node.ready().await?;
    let leg = |path| Leg {
        peers: manner.peers,
        in_flight: manner.in_flight,
        polls: manner.polls,
        peer_core: cores.peers(),
        warm_up: WARM_UP,
        measure: options.measure.into(),
        path,
    };
    let (function, bytes) = (manner.function, manner.bytes);
    let through = leg(Path::Daemon { socket: node.socket(), function, bytes });
    let spin = spin(options, manner);
    let bare = leg(Path::PingPong { answerer_core: cores.dispatch(), spin });
    let mut repeats = Vec::new();
    for _ in 0..options.repeats {
        let gpumux = through.run().await?;
        bar.inc(1);
        let mut ping_pong = None;
        if manner.has_like {
            ping_pong = Some(bare.run().await?);
            bar.inc(1);
        }
        repeats.push(Repeat { gpumux, ping_pong });
    }
    Ok(repeats)
}

async fn be_idle(node: &mut Node, function: &str) -> Result<Idle, Failure> {
    node.ready().await?;
    Idle::measure(node, function).await
}

impl Cores {
    fn line(self) -> String {
        match self {
            Self::Any => "on any core".to_owned(),
            Self::Pinned { peers, dispatch } => {
                format!("peers on core {peers}, dispatch thread or answerer on core {dispatch}")
            }
        }
    }

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
