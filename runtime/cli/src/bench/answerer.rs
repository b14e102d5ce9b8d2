//! The process that answers a bare ping-pong, as the daemon's dispatch thread does: one thread, one
//! epoll, a bounded spin before each sleep.

use super::bare::{self, Answerer, Order};
use crate::clock::Clock;
use crate::cores;
use crate::failure::Failure;
use clap::Args;
use gpumux_wire::wake;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::time::Duration;

/// The event of standard input, which ends this process when it closes.
const ORDERS: u64 = u64::MAX;
/// Wakers told by one sleep, as in the daemon.
const EVENTS: usize = 64;

/// How to answer.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The core to stay on
    #[arg(long)]
    core: Option<usize>,
    /// How long to look for work before each sleep
    #[arg(long)]
    spin: humantime::Duration,
}

/// Answers until standard input closes.
///
/// # Errors
/// [`Failure`]: what the kernel says.
pub(super) fn run(options: &Options) -> Result<(), Failure> {
    if let Some(core) = options.core {
        cores::keep_on(core)?;
    }
    let orders = std::io::stdin();
    let mut channels = Vec::new();
    loop {
        match bare::order(&orders)? {
            (Order::Take, Some(end)) => channels.push(Answerer::new(end)?),
            (Order::Take, None) => return Err(Failure::process("no channel came")),
            (Order::Begin, _) => break,
        }
    }
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&orders, EpollEvent::new(EpollFlags::EPOLLIN, ORDERS))?;
    for (place, channel) in (0u64..).zip(&channels) {
        epoll.add(&channel.wake, EpollEvent::new(EpollFlags::EPOLLIN, place))?;
    }
    println!("ready");
    answer(&mut channels, &epoll, options.spin.into())
}

fn answer(channels: &mut [Answerer], epoll: &Epoll, spin: Duration) -> Result<(), Failure> {
    let clock = Clock::start();
    let mut last_work = clock.now();
    loop {
        let now = clock.now();
        let mut worked = false;
        for channel in &mut *channels {
            worked |= channel.answer()?;
        }
        if worked {
            last_work = now;
        } else if now - last_work < spin {
            std::hint::spin_loop();
        } else {
            if sleep(channels, epoll)? {
                return Ok(());
            }
            last_work = clock.now();
        }
    }
}

/// Sleeps until an asker wakes this process; says whether it is to end.
fn sleep(channels: &[Answerer], epoll: &Epoll) -> Result<bool, Failure> {
    channels.iter().for_each(Answerer::announce_sleep);
    let mut over = false;
    if channels.iter().all(Answerer::is_quiet) {
        let mut events = [EpollEvent::empty(); EVENTS];
        let count = match epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => 0,
            woken => woken?,
        };
        for event in &events[..count] {
            let Some(channel) = usize::try_from(event.data()).ok().and_then(|at| channels.get(at))
            else {
                over = true;
                continue;
            };
            if wake::drain(&channel.wake).is_err() {
                epoll.delete(&channel.wake)?;
            }
        }
    }
    channels.iter().for_each(Answerer::withdraw_sleep);
    Ok(over)
}
