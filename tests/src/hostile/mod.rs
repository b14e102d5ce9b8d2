//! A peer that means harm: what it may do on the wire, in shared memory and with descriptors, chosen
//! at random from a seed. Nothing it is told is believed, and whatever the daemon does to it is fine,
//! as long as the daemon does not leave.

mod connection;
mod descriptors;
mod memory;
mod words;

use crate::clock::Clock;
use connection::{Line, Trouble};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that a behaviour needs.
#[derive(Debug)]
struct Hostile {
    socket: PathBuf,
    function: String,
    rng: StdRng,
}

/// Does one kind of harm, for a while.
type Behaviour = fn(&mut Hostile) -> Result<(), Trouble>;

/// All of them, by name.
const BEHAVIOURS: &[(&str, Behaviour)] = &[
    ("rewrites what is being read", memory::rewrite_while_read),
    ("punches holes", memory::punch_holes),
    ("floods wake-ups and reads nothing", memory::flood_wake_ups),
    ("submits senseless records", memory::submit_nonsense),
    ("takes all memory it may have", memory::take_much),
    ("sends wrong descriptors", descriptors::send_wrong_ones),
    ("sends many descriptors", descriptors::send_many),
    ("opens ten thousand connections", words::connect_often),
    ("stays silent", words::stay_silent),
    ("sends half messages", words::send_halves),
    ("asks and never listens", words::never_listen),
    ("guesses names", words::guess_names),
    ("leaves its session to a child", words::leave_to_a_child),
    ("opens and closes", words::open_and_close),
];

/// Does harm for a while. Returns how often it did what.
///
/// # Errors
/// When the daemon is not there any more.
pub fn run(
    socket: &Path,
    function: &str,
    seed: u64,
    span: Duration,
) -> Result<BTreeMap<&'static str, u64>, String> {
    let clock = Clock::start();
    let mut seeds = StdRng::seed_from_u64(seed);
    let mut done = BTreeMap::new();
    while clock.now() < span {
        let (name, behave) = BEHAVIOURS[seeds.random_range(0..BEHAVIOURS.len())];
        let mut hostile = Hostile {
            socket: socket.to_owned(),
            function: function.to_owned(),
            rng: StdRng::seed_from_u64(seeds.random()),
        };
        match behave(&mut hostile) {
            Ok(()) | Err(Trouble::Ended) => *done.entry(name).or_default() += 1,
            Err(Trouble::NobodyThere(why)) => {
                return Err(format!("while it {name}, the daemon was gone: {why}"));
            }
        }
    }
    Ok(done)
}

impl Hostile {
    fn connect(&self) -> Result<Line, Trouble> {
        Line::connect(&self.socket)
    }

    fn greet(&self) -> Result<Line, Trouble> {
        let line = self.connect()?;
        line.greet()?;
        Ok(line)
    }
}
