//! A peer whose requests kill workers: the emulated device faults, hangs or is lost when it gets their
//! bytes.

use super::tally::Tally;
use super::{Failure, POISONED, is_told_to_end};
use crate::binary;
use gpumux_shim::{ChannelSize, Function, Outcome, Reason, Session, SubmitOptions};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What the emulated device understands (ffi/emulator/README.md).
const DOSES: [&str; 3] = ["gpumux-poison:illegal", "gpumux-poison:hang", "gpumux-poison:lose"];
/// Between two doses, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 200..1500;

/// Submits one dose after the other until it is told to end, and returns what they came to. A function
/// that is quarantined for it is cleared, so that the next dose works.
///
/// # Errors
/// A dose that could not be submitted or waited for, or was served.
pub fn run(socket: &Path, admin: &Path, seed: u64) -> Result<Tally, Failure> {
    let mut random = StdRng::seed_from_u64(seed);
    let session = Session::connect(socket)?;
    let size = ChannelSize { slots: 8, arena_bytes: 1 << 16 };
    let functions = [session.open(POISONED[0], size)?, session.open(POISONED[1], size)?];
    let mut tally = Tally::default();
    loop {
        let pause = Duration::from_millis(random.random_range(PAUSE_MS));
        if is_told_to_end(pause)? {
            return Ok(tally);
        }
        let which = random.random_range(0..functions.len());
        let dose = format!("{}:{}", DOSES[random.random_range(0..DOSES.len())], tally.submitted);
        tally.submitted += 1;
        let outcome = submit(&functions[which], dose.as_bytes())?;
        tally.count(outcome);
        match outcome {
            Outcome::Refused(refusal) if refusal.reason == Reason::Quarantined => {
                clear(admin, POISONED[which])?;
            }
            Outcome::Done => return Err(format!("{dose} was served").into()),
            _ => (),
        }
    }
}

fn submit(function: &Function, dose: &[u8]) -> Result<Outcome, Failure> {
    let mut request = function.request(u32::try_from(dose.len())?)?;
    request.input_mut::<u8>("data")?.copy_from_slice(dose);
    Ok(request.submit(SubmitOptions::default())?.wait()?.outcome())
}

/// Clears a function. A supervisor that was killed just now has nothing to clear.
fn clear(admin: &Path, function: &str) -> Result<(), Failure> {
    Command::new(binary("gpumux"))
        .args(["functions", "clear", function, "--admin-socket"])
        .arg(admin)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    Ok(())
}
