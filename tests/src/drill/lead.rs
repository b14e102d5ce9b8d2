//! Leads the drill: starts the daemon and the peers, kills them at random, and judges the end.

use super::tally::Tally;
use super::{Failure, POISONED, STEADY, pass};
use crate::clock::Clock;
use crate::footprint::Footprint;
use crate::{Daemon, Options};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Steady peers.
const PEERS: usize = 4;
/// Between two kills, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 300..2000;
/// How long the daemon may take to be as it was at the start.
const CLEAN_UP_LIMIT: Duration = Duration::from_secs(60);

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Worker,
    Supervisor,
    Peer,
}

/// Kills by kind.
#[derive(Clone, Copy, Debug, Default)]
struct Kills {
    workers: u32,
    supervisors: u32,
    peers: u32,
}

/// The drill under way.
struct Drill {
    daemon: Daemon,
    random: StdRng,
    steady: Vec<Child>,
    poisoner: Child,
    kills: Kills,
}

/// Runs the drill.
///
/// # Errors
/// What did not hold.
pub fn run(seconds: u64, seed: u64) -> Result<(), Failure> {
    println!("--seed {seed} replays what is killed and submitted, though not when");
    let daemon = Daemon::start_with(&functions(), &options());
    // What is allocated once is allocated before the first look.
    see_that_lanes_serve(&daemon, seed)?;
    let before = at_rest(&daemon, None)?;
    let mut drill = Drill::start(daemon, seed)?;
    drill.go_on(Duration::from_secs(seconds))?;
    let Drill { daemon, mut steady, mut poisoner, kills, .. } = drill;
    // All are told before one is awaited.
    steady.iter_mut().chain([&mut poisoner]).for_each(|peer| drop(peer.stdin.take()));
    let mut served = Tally::default();
    for peer in steady {
        served.add(&finish(peer)?);
    }
    let poison = finish(poisoner)?;
    println!("killed: {kills:?}");
    println!("steady peers: {served}");
    println!("poisoner: {poison}");
    judge(&served, &poison)?;
    println!("before: {before}");
    println!("after:  {}", at_rest(&daemon, Some(&before))?);
    see_that_lanes_serve(&daemon, seed)
}

/// Has each device serve a request: no lane is held by what is over.
fn see_that_lanes_serve(daemon: &Daemon, seed: u64) -> Result<(), Failure> {
    for (place, function) in STEADY.iter().enumerate() {
        let tally = finish(peer(daemon, place, seed)?)?;
        if tally.submitted == 0 || tally.other_than(&["done"]) > 0 {
            return Err(format!("{function} does not serve: {tally}").into());
        }
    }
    Ok(())
}

/// What is served, on two devices.
fn functions() -> [(&'static str, &'static str); 4] {
    const ON: [&str; 2] = [
        "model = \"builtin:echo\"\nlength = { max = 4096 }\ndevice = 0\n",
        "model = \"builtin:echo\"\nlength = { max = 4096 }\ndevice = 1\n",
    ];
    [(STEADY[0], ON[0]), (STEADY[1], ON[1]), (POISONED[0], ON[0]), (POISONED[1], ON[1])]
}

fn options() -> Options {
    Options {
        device: Some("emulated:devices=2,poison=on".to_owned()),
        arguments: vec!["--hang-limit=3s".to_owned()],
        ..Options::default()
    }
}

impl Drill {
    fn start(daemon: Daemon, seed: u64) -> Result<Self, Failure> {
        let mut random = StdRng::seed_from_u64(seed);
        let steady: Result<Vec<Child>, Failure> =
            (0..PEERS).map(|place| peer(&daemon, place, random.random())).collect();
        let poisoner = role()?
            .arg("poisoner")
            .arg(daemon.socket())
            .arg(daemon.admin_socket())
            .arg(random.random::<u64>().to_string())
            .spawn()?;
        Ok(Self { daemon, random, steady: steady?, poisoner, kills: Kills::default() })
    }

    /// Kills at random for a while.
    fn go_on(&mut self, span: Duration) -> Result<(), Failure> {
        let clock = Clock::start();
        while clock.now() < span {
            let pause = Duration::from_millis(self.random.random_range(PAUSE_MS));
            pass(pause.min(span.saturating_sub(clock.now())))?;
            self.see_that_all_live()?;
            match [Victim::Worker, Victim::Worker, Victim::Peer, Victim::Supervisor]
                [self.random.random_range(0..4)]
            {
                Victim::Worker => self.kill_worker(),
                Victim::Peer => self.kill_peer()?,
                Victim::Supervisor => {
                    self.kills.supervisors += 1;
                    self.daemon.crash_supervisor();
                    self.daemon.restart_with(&functions(), &options());
                }
            }
        }
        Ok(())
    }

    /// A peer ends by itself only when something was wrong.
    fn see_that_all_live(&mut self) -> Result<(), Failure> {
        for child in self.steady.iter_mut().chain([&mut self.poisoner]) {
            if let Some(status) = child.try_wait()? {
                return Err(format!("a peer ended by itself: {status}").into());
            }
        }
        Ok(())
    }

    fn kill_worker(&mut self) {
        let device = self.random.random_range(0..2);
        let pid = self.daemon.status().devices[device].worker_pid;
        let Some(pid) = pid.and_then(|pid| i32::try_from(pid).ok()) else { return };
        // One that has just died of poison is not there any more.
        if kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok() {
            self.kills.workers += 1;
        }
    }

    fn kill_peer(&mut self) -> Result<(), Failure> {
        let place = self.random.random_range(0..PEERS);
        self.steady[place].kill()?;
        self.steady[place].wait()?;
        self.steady[place] = peer(&self.daemon, place, self.random.random())?;
        self.kills.peers += 1;
        Ok(())
    }
}

/// This program in another role, which ends when its standard input does.
fn role() -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    Ok(command)
}

/// Starts a steady peer.
fn peer(daemon: &Daemon, place: usize, seed: u64) -> Result<Child, Failure> {
    let function = STEADY[place % STEADY.len()];
    Ok(role()?.arg("steady").arg(daemon.socket()).args([function, &seed.to_string()]).spawn()?)
}

/// Ends a peer and takes what it says.
fn finish(mut peer: Child) -> Result<Tally, Failure> {
    drop(peer.stdin.take());
    let mut said = String::new();
    peer.stdout.take().ok_or("a peer has an output")?.read_to_string(&mut said)?;
    let status = peer.wait()?;
    if !status.success() {
        return Err(format!("a peer failed: {status}").into());
    }
    Ok(said.parse()?)
}

/// Every request has one outcome, and for a fault only poison was refused.
fn judge(served: &Tally, poison: &Tally) -> Result<(), Failure> {
    for tally in [served, poison] {
        if tally.outcomes() != tally.submitted {
            return Err(format!("not one outcome for each request: {tally}").into());
        }
    }
    // A daemon that comes after another may refuse what that one had accepted, and says so.
    if served.other_than(&["done", "restarted"]) > 0 {
        return Err(format!("an innocent request was refused: {served}").into());
    }
    if poison.other_than(&["poison", "quarantined", "restarted"]) > 0 {
        return Err(format!("poison was not found out: {poison}").into());
    }
    if !served.ended.contains_key("done") || !poison.ended.contains_key("poison") {
        return Err(format!("nothing happened: {served}; {poison}").into());
    }
    Ok(())
}

/// Waits until nobody is connected, nothing is open, and the daemon holds no more than `before`.
fn at_rest(daemon: &Daemon, before: Option<&Footprint>) -> Result<Footprint, Failure> {
    let clock = Clock::start();
    loop {
        let status = daemon.status();
        let served = status.devices.iter().all(|device| device.state == "ready");
        let left = status.functions.iter().all(|function| {
            function.channels == 0 && function.queued == 0 && function.signature.is_some()
        });
        if served && left && status.sessions.is_empty() {
            let now = Footprint::of(daemon);
            if before.is_none_or(|before| now.is_back_at(before)) {
                return Ok(now);
            }
        }
        if clock.now() > CLEAN_UP_LIMIT {
            let left = status.sessions.len();
            return Err(
                format!("{left} sessions are left; it holds {}", Footprint::of(daemon)).into()
            );
        }
    }
}
