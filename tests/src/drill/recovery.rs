//! How long a dead worker is felt: from its death to the first result of the next one, and to the last
//! of what the dead one had accepted.

use super::Failure;
use crate::clock::Clock;
use crate::{Daemon, Options};
use gpumux_shim::{ChannelSize, Function, Outcome, Pending, SubmitOptions};
use nix::sys::signal::{Signal, kill};
use std::time::Duration;

/// Requests in flight when the worker dies.
const FLYING: u32 = 64;
const ECHO: &str = "model = \"builtin:echo\"\nlength = { max = 1024 }\nmax_batch = 8\n";

/// Kills workers and prints what it costs.
///
/// # Errors
/// A request that was lost.
pub fn run(rounds: u32) -> Result<(), Failure> {
    let options = Options { device: Some("emulated".to_owned()), ..Options::default() };
    let daemon = Daemon::start_with(&[("echo", ECHO)], &options);
    let function =
        daemon.connect().open("echo", ChannelSize { slots: 128, arena_bytes: 1 << 20 })?;
    let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        // Stopped, so that it dies with all of them in flight.
        let worker = daemon.stop_worker();
        let flying: Result<Vec<Pending>, Failure> =
            (0..FLYING).map(|number| submit(&function, number)).collect();
        kill(worker, Signal::SIGKILL)?;
        let clock = Clock::start();
        for (place, pending) in flying?.into_iter().enumerate() {
            let reply = pending.wait()?;
            if reply.outcome() != Outcome::Done {
                return Err(format!("a request ended as {:?}", reply.outcome()).into());
            }
            if place == 0 {
                firsts.push(clock.now());
            }
        }
        lasts.push(clock.now());
    }
    println!("{rounds} workers killed, {FLYING} requests in flight each time, builtin:echo");
    print("to the first result", firsts);
    print("to the last of them", lasts);
    Ok(())
}

fn submit(function: &Function, number: u32) -> Result<Pending, Failure> {
    let mut request = function.request(1024)?;
    request.input_mut::<u8>("data")?.fill(number.to_le_bytes()[0]);
    Ok(request.submit(SubmitOptions::default())?)
}

fn print(what: &str, mut spans: Vec<Duration>) {
    spans.sort_unstable();
    let ms = |share: usize| {
        let place = spans.len().saturating_sub(1) * share / 100;
        spans.get(place).map_or(0.0, |span| span.as_secs_f64() * 1e3)
    };
    println!("{what}: median {:.0} ms, {:.0} to {:.0} ms", ms(50), ms(0), ms(100));
}
