//! A tenant's program in Rust; what it does is said in tests/programs/tenant.c.

use gpumux_shim::{
    ChannelSize, ConnectError, Function, OpenError, OpenRefusal, Outcome, Pending, Session,
    SubmitOptions,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::error::Error;
use std::io::{Read, stdin};
use std::os::fd::AsFd;

const IN_FLIGHT: u64 = 8;
const SIZE: ChannelSize = ChannelSize { slots: 64, arena_bytes: 8 << 20 };

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, name, strangers, others @ ..] = arguments.as_slice() else {
        return Err("arguments: SOCKET FUNCTION STRANGERS_SOCKET OTHER...".into());
    };
    let session = Session::connect(path)?;
    let function = session.open(name, SIZE)?;
    check(submit(&function, name, 0)?, name, 0)?;
    for other in others {
        not_opened(&session, other)?;
    }
    turned_away(strangers)?;
    turned_away(path)?;
    println!("serving");
    let mut served = 1;
    loop {
        let numbers = served..served + IN_FLIGHT;
        let pending = numbers.clone().map(|number| submit(&function, name, number));
        let pending = pending.collect::<Result<Vec<_>, _>>()?;
        for (pending, number) in pending.into_iter().zip(numbers) {
            check(pending, name, number)?;
            served += 1;
        }
        if is_told()? {
            if stdin().read(&mut [0; 16])? == 0 {
                break;
            }
            println!("{served}");
        }
    }
    println!("done {served}");
    Ok(())
}

/// What a request holds is told by its number and the function's name: nobody else's is the same.
fn data(name: &str, number: u64) -> Vec<u8> {
    let letters = name.bytes().cycle();
    let byte = |(index, letter): (u64, u8)| number * 31 + index * 7 + u64::from(letter);
    (0..=number % 1000).zip(letters).map(|it| byte(it).to_le_bytes()[0]).collect()
}

fn submit(function: &Function, name: &str, number: u64) -> Result<Pending, Failure> {
    let data = data(name, number);
    let mut request = function.request(u32::try_from(data.len())?)?;
    request.input_mut::<u8>("data")?.copy_from_slice(&data);
    Ok(request.submit(SubmitOptions::default())?)
}

fn check(pending: Pending, name: &str, number: u64) -> Result<(), Failure> {
    let reply = pending.wait()?;
    if reply.outcome() != Outcome::Done {
        return Err(format!("request {number} ended as {:?}", reply.outcome()).into());
    }
    match reply.output::<u8>("data")? == data(name, number) {
        true => Ok(()),
        false => Err(format!("request {number} came back changed").into()),
    }
}

fn not_opened(session: &Session, other: &str) -> Result<(), Failure> {
    match session.open(other, SIZE) {
        Err(error @ OpenError::Refused(OpenRefusal::UnknownFunction { .. })) => {
            println!("not opened: {error}");
            Ok(())
        }
        Err(error) => Err(error.into()),
        Ok(_) => Err(format!("`{other}` was opened").into()),
    }
}

fn turned_away(path: &str) -> Result<(), Failure> {
    match Session::connect(path) {
        Err(error @ ConnectError::Refused(_)) => {
            println!("turned away: {error}");
            Ok(())
        }
        Err(error) => Err(error.into()),
        Ok(_) => Err(format!("{path} let it in").into()),
    }
}

fn is_told() -> Result<bool, Failure> {
    let input = stdin();
    let mut polled = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut polled, PollTimeout::ZERO)? > 0)
}
