//! A peer that means harm, from a seed: `gpumux-test-hostile SOCKET FUNCTION SEED SECONDS`. Started as
//! root it goes on as nobody, who is another user than the honest peers are.

use gpumux_tests::hostile;
use nix::unistd::{Gid, Uid, geteuid, setgid, setgroups, setuid};
use std::error::Error;
use std::path::Path;
use std::time::Duration;

/// `nobody`, on every system that this is for.
const NOBODY: u32 = 65534;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, function, seed, seconds] = arguments.as_slice() else {
        return Err("arguments: SOCKET FUNCTION SEED SECONDS".into());
    };
    let (seed, seconds): (u64, u64) = (seed.parse()?, seconds.parse()?);
    if geteuid().is_root() {
        setgroups(&[])?;
        setgid(Gid::from_raw(NOBODY))?;
        setuid(Uid::from_raw(NOBODY))?;
    }
    println!("seed {seed}, user {}", geteuid());
    let done = hostile::run(Path::new(socket), function, seed, Duration::from_secs(seconds))?;
    for (name, times) in done {
        println!("{times:6} times it {name}");
    }
    Ok(())
}
