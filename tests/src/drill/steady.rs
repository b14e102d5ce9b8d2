//! A peer with a steady load: a few requests in flight at any time, each reply checked.

use super::tally::Tally;
use super::{Failure, is_told_to_end};
use gpumux_shim::{ChannelSize, Function, Outcome, Pending, Session, SubmitOptions};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

/// Requests in flight.
const WINDOW: usize = 8;
/// The longest tensor, in bytes.
const LENGTH_MAX: u32 = 4096;

/// Submits until it is told to end, once at least, waits for all, and returns what they came to.
///
/// # Errors
/// A request that could not be submitted or waited for, or a wrong result.
pub fn run(socket: &Path, function: &str, seed: u64) -> Result<Tally, Failure> {
    let mut random = StdRng::seed_from_u64(seed);
    let session = Session::connect(socket)?;
    let function = session.open(function, ChannelSize { slots: 16, arena_bytes: 1 << 18 })?;
    let (mut tally, mut flying) = (Tally::default(), VecDeque::new());
    loop {
        flying.push_back(submit(&function, &mut random)?);
        tally.submitted += 1;
        if flying.len() == WINDOW
            && let Some(oldest) = flying.pop_front()
        {
            land(oldest, &mut tally)?;
        }
        if is_told_to_end(Duration::ZERO)? {
            break;
        }
    }
    flying.into_iter().try_for_each(|flying| land(flying, &mut tally))?;
    Ok(tally)
}

/// A request under way, and what it is to give back.
type Flying = (Pending, Vec<u8>);

fn submit(function: &Function, random: &mut StdRng) -> Result<Flying, Failure> {
    let length = random.random_range(1..=LENGTH_MAX);
    let bytes: Vec<u8> = (0..length).map(|_| random.random()).collect();
    let mut request = function.request(length)?;
    request.input_mut::<u8>("data")?.copy_from_slice(&bytes);
    Ok((request.submit(SubmitOptions::default())?, bytes))
}

fn land((pending, bytes): Flying, tally: &mut Tally) -> Result<(), Failure> {
    let reply = pending.wait()?;
    tally.count(reply.outcome());
    if reply.outcome() == Outcome::Done && reply.output::<u8>("data")? != bytes {
        return Err("a result is not its request's".into());
    }
    Ok(())
}
