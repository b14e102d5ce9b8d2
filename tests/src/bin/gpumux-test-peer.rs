//! A peer for tests: submits patterned bytes to a function that takes `data: u8[length]`, checks
//! every reply, and says `started` after the first and `done N` at its end. It waits for no other daemon.

use gpumux_shim::{ChannelSize, Outcome, Pending, Session, SessionOptions, SubmitOptions};
use std::collections::VecDeque;
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, function, requests, in_flight] = arguments.as_slice() else {
        return Err("arguments: SOCKET FUNCTION REQUESTS IN_FLIGHT".into());
    };
    let (requests, in_flight): (u64, usize) = (requests.parse()?, in_flight.parse()?);
    let options = SessionOptions { reconnect_for: Duration::ZERO };
    let session = Session::connect_with(socket, options)?;
    let function = session.open(function, ChannelSize { slots: 256, arena_bytes: 4 << 20 })?;
    let echoes = !function.outputs().is_empty();
    let mut waiting: VecDeque<(u64, Pending)> = VecDeque::new();
    let mut submitted = 0;
    let mut answered = 0;
    while requests == 0 || answered < requests {
        while waiting.len() < in_flight && (requests == 0 || submitted < requests) {
            let length = 1 + u32::try_from(submitted % 1000)?;
            let mut request = function.request(length)?;
            request.input_mut::<u8>("data")?.copy_from_slice(&pattern(submitted, length));
            waiting.push_back((submitted, request.submit(SubmitOptions::default())?));
            submitted += 1;
        }
        let (number, pending) = waiting.pop_front().ok_or("nothing is in flight")?;
        let reply = pending.wait()?;
        if reply.outcome() != Outcome::Done {
            return Err(format!("request {number} ended as {:?}", reply.outcome()).into());
        }
        let length = 1 + u32::try_from(number % 1000)?;
        if echoes && reply.output::<u8>("data")? != pattern(number, length) {
            return Err(format!("request {number} came back changed").into());
        }
        answered += 1;
        if answered == 1 {
            println!("started");
        }
    }
    println!("done {answered}");
    Ok(())
}

/// Bytes that no other request has.
fn pattern(number: u64, length: u32) -> Vec<u8> {
    (0..length)
        .map(|index| (number.wrapping_mul(31) + u64::from(index) * 7).to_le_bytes()[0])
        .collect()
}
