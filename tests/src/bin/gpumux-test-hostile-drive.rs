//! Two honest peers beside two that mean harm. `cargo xtask hostile` builds everything and starts it.
//!
//! Three legs: honest peers alone, then beside the others, then alone again. The honest ones check
//! every reply and none may be refused; their latency beside the others is held against their latency
//! alone; then the daemon must hold what it held before.

use clap::{Args, Parser, Subcommand};
use gpumux_shim::{ChannelSize, Outcome, Session, SubmitOptions};
use gpumux_tests::clock::Clock;
use gpumux_tests::footprint::Footprint;
use gpumux_tests::{Daemon, Options, binary};
use nix::unistd::geteuid;
use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

type Failure = Box<dyn Error>;

const HONEST: (&str, &str) = ("honest", "model = \"builtin:echo\"\nlength = { max = 1024 }\n");
/// What the hostile peers may use. An operator bounds its queue, because `fifo`, the policy, serves
/// requests in the order of their arrival, whoever they are of.
const BAIT: (&str, &str) =
    ("bait", "model = \"builtin:echo\"\nlength = { max = 1024 }\nqueue = 16\n");
/// How much slower than alone the slowest hundredth of the honest peers' requests may be.
const SLOWDOWN_MAX: u64 = 2;
/// How long the daemon may take to clean up after the last hostile peer.
const CLEAN_UP_LIMIT: Duration = Duration::from_secs(60);

#[derive(Parser)]
#[command(about = "Drives honest and hostile peers against a daemon of its own")]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    drive: Drive,
}

#[derive(Args)]
struct Drive {
    /// How long, all three legs together
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Replays what the hostile peers choose; random when absent
    #[arg(long)]
    seed: Option<u64>,
    /// Print the latencies and hold nobody to them
    #[arg(long)]
    no_latency_bound: bool,
    /// Fail where a part cannot be run here
    #[arg(long)]
    no_skips: bool,
}

#[derive(Subcommand)]
enum Role {
    /// An honest peer, for so many seconds
    #[command(hide = true)]
    Honest { socket: PathBuf, seconds: u64 },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.role {
        Some(Role::Honest { socket, seconds }) => honest(&socket, seconds),
        None => drive(&arguments.drive),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("gpumux-test-hostile-drive: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Submits one request after the other, checks each reply, and prints the latencies' quantiles.
fn honest(socket: &Path, seconds: u64) -> Result<(), Failure> {
    let clock = Clock::start();
    let session = Session::connect(socket)?;
    let function = session.open(HONEST.0, ChannelSize { slots: 16, arena_bytes: 1 << 18 })?;
    let mut latencies = Vec::new();
    let mut number = std::process::id();
    while clock.now() < Duration::from_secs(seconds) {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = 1 + number % 1024;
        let bytes: Vec<u8> = (0..length).map(|at| (number ^ at * 31).to_le_bytes()[0]).collect();
        let begun = clock.now();
        let mut request = function.request(length)?;
        request.input_mut::<u8>("data")?.copy_from_slice(&bytes);
        let reply = request.submit(SubmitOptions::default())?.wait()?;
        latencies.push((clock.now() - begun).as_micros());
        if reply.outcome() != Outcome::Done {
            return Err(format!("an honest request ended as {:?}", reply.outcome()).into());
        }
        if reply.output::<u8>("data")? != bytes {
            return Err("an honest request came back changed".into());
        }
    }
    latencies.sort_unstable();
    let quantile = |share: usize| latencies[(latencies.len() - 1) * share / 1000];
    println!("{} {} {}", latencies.len(), quantile(500), quantile(990));
    Ok(())
}

/// What honest peers came to in one leg.
#[derive(Clone, Copy)]
struct Leg {
    requests: u64,
    p50_us: u64,
    p99_us: u64,
}

/// Runs two honest peers for a while.
fn leg(name: &str, socket: &Path, seconds: u64) -> Result<Leg, Failure> {
    let this = std::env::current_exe()?;
    let peers = [0, 1].map(|_| {
        Command::new(&this)
            .arg("honest")
            .arg(socket)
            .arg(seconds.to_string())
            .stdout(Stdio::piped())
            .spawn()
    });
    let mut whole = Leg { requests: 0, p50_us: 0, p99_us: 0 };
    for peer in peers {
        let output = peer?.wait_with_output()?;
        if !output.status.success() {
            return Err(format!("{name}: an honest peer was harmed").into());
        }
        let said = String::from_utf8(output.stdout)?;
        let numbers: Result<Vec<u64>, _> = said.split_whitespace().map(str::parse).collect();
        let [requests, p50_us, p99_us] = numbers?[..] else {
            return Err(format!("{name}: an honest peer said {said:?}").into());
        };
        whole.requests += requests;
        whole.p50_us = whole.p50_us.max(p50_us);
        whole.p99_us = whole.p99_us.max(p99_us);
    }
    let Leg { requests, p50_us, p99_us } = whole;
    println!("{name}: {requests} requests, p50 {p50_us} us, p99 {p99_us} us");
    Ok(whole)
}

/// A folder that other users may look into, which a daemon's own is not.
fn open_folder() -> Result<tempfile::TempDir, Failure> {
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

/// Starts a hostile peer. It has what the others leave of the processor, as its container's share
/// would have it on a node: what is measured is the daemon, not the machine's scheduler.
fn hostile(socket: &Path, seed: u64, seconds: u64) -> Result<Child, Failure> {
    Ok(Command::new("nice")
        .args(["-n", "19"])
        .arg(binary("gpumux-test-hostile"))
        .arg(socket)
        .args([BAIT.0, &seed.to_string(), &seconds.to_string()])
        .spawn()?)
}

fn drive(arguments: &Drive) -> Result<(), Failure> {
    let seed = arguments.seed.unwrap_or_else(rand::random);
    println!("--seed {seed} replays what the hostile peers choose");
    if !geteuid().is_root() {
        println!("skipped: needs root: hostile peers that are another user");
        if arguments.no_skips {
            return Err("a part was skipped".into());
        }
    }
    let folder = open_folder()?;
    let socket = folder.path().join("gpumuxd.sock");
    let options = Options { socket: Some(socket.clone()), ..Options::default() };
    let daemon = Daemon::start_with(&[HONEST, BAIT], &options);
    let worker = daemon.worker();
    let quarter = (arguments.seconds / 4).max(1);
    // What is allocated once is allocated before the first look.
    leg("warming up", &socket, 1)?;
    daemon.await_status(|status| status.sessions.is_empty());
    let before = Footprint::of(&daemon);

    let alone = leg("alone", &socket, quarter)?;
    let mut harm = hostile(&socket, seed, quarter * 2)?;
    // This one dies in the middle of whatever it does.
    let mut dying = hostile(&socket, seed.wrapping_add(1), u64::from(u32::MAX))?;
    let beside = leg("beside hostile peers", &socket, quarter * 2);
    dying.kill()?;
    dying.wait()?;
    let harmed = harm.wait()?;
    let (beside, again) = (beside?, leg("alone again", &socket, quarter)?);

    if !harmed.success() {
        return Err("the hostile peer found the daemon gone, or could not run".into());
    }
    if daemon.worker() != worker {
        return Err("the worker died".into());
    }
    println!("before: {before}");
    println!("after:  {}", await_return(&daemon, &before)?);
    judge(arguments, &[alone, again], beside)
}

/// Waits until the daemon holds what it held before.
fn await_return(daemon: &Daemon, before: &Footprint) -> Result<Footprint, Failure> {
    let clock = Clock::start();
    loop {
        let status = daemon.status();
        let gone = status.sessions.is_empty();
        let left = status.functions.iter().all(|function| function.channels == 0);
        let now = Footprint::of(daemon);
        if gone && left && now.is_back_at(before) {
            return Ok(now);
        }
        if clock.now() > CLEAN_UP_LIMIT {
            let sessions = status.sessions.len();
            return Err(
                format!("{sessions} sessions are left; it holds {now}; before {before}").into()
            );
        }
    }
}

fn judge(arguments: &Drive, alone: &[Leg], beside: Leg) -> Result<(), Failure> {
    let slowest = alone.iter().map(|leg| leg.p99_us).max().unwrap_or_default();
    let bound = slowest * SLOWDOWN_MAX;
    let within = beside.p99_us <= bound;
    let verdict = if within { "within" } else { "beyond" };
    println!("p99 beside hostile peers: {} us, {verdict} {bound} us", beside.p99_us);
    if within || arguments.no_latency_bound {
        return Ok(());
    }
    Err("the honest peers were slowed down too much".into())
}
