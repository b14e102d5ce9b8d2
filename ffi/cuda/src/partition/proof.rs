//! The proof that a driver's mask is where it is believed to be: the self-test of a child process,
//! read and judged in the process that wants to rely on it.

use super::allow_list::AllowList;
use super::mask::TPCS_MAX;
use super::report::Refusal;
use super::self_test::{Flaw, PREFIX, Seen, headline};
use crate::device::find;
use crate::driver::Driver;
use crate::driver_api::Attribute;
use crate::driver_key::DriverKey;
use crate::error::OpenError;
use crate::sets::{SMS_PER_TPC, SmSet};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A mask that came through its self-test: of which driver, and which SMs each of its bits gives. Has
/// no public constructor: holding one is the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    key: DriverKey,
    offset: usize,
    sms_by_tpc: Vec<SmSet>,
}

impl Proven {
    /// The driver and the device.
    pub fn key(&self) -> &DriverKey {
        &self.key
    }

    /// The SMs of each TPC, as work was seen to run there.
    pub fn sms_by_tpc(&self) -> &[SmSet] {
        &self.sms_by_tpc
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum NotProven {
    /// The device cannot be asked what it is.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is nothing to test.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The child could not be started or read.
    #[error("the self-test's process: {0}")]
    Process(#[from] io::Error),
    /// The child said nothing for too long, and was ended: it hangs.
    #[error("the self-test said nothing for {0:?} and was ended")]
    Silent(Duration),
    /// The child tested something else, or nothing.
    #[error("the self-test was to `{wanted}`; it said {said:?}")]
    OtherTest {
        /// What it should have said first.
        wanted: String,
        /// What it said, if anything.
        said: Option<String>,
    },
    /// The child ended before its test did: it crashed, or found the flaw itself.
    #[error("the self-test ended early ({status}), after {tries} masks")]
    Died {
        /// How it ended.
        status: ExitStatus,
        /// How many masks it had tried.
        tries: usize,
    },
    /// What it saw is not what a mask does.
    #[error(transparent)]
    Flaw(#[from] Flaw),
}

/// Has a child process put the mask of device `ordinal` to its self-test. `command` starts a program
/// that opens the same device and calls [`super::self_test`] with its standard output; one that says
/// nothing for `silence` is ended. Makes no context here.
///
/// # Errors
/// [`NotProven`], whatever becomes of the child.
pub fn prove(
    driver: &Driver,
    ordinal: u32,
    list: &AllowList,
    command: &mut Command,
    silence: Duration,
) -> Result<Proven, NotProven> {
    let key = DriverKey::of(driver, ordinal)?;
    let offset = list.offset(&key).ok_or_else(|| Refusal::NotListed(key.clone()))?;
    let device = find(driver, ordinal)?;
    let sms = driver.api().attribute(Attribute::MultiprocessorCount, device);
    let tpcs = sms.map_err(OpenError::from)? / SMS_PER_TPC;
    if tpcs > TPCS_MAX {
        return Err(Refusal::TooManyTpcs { tpcs }.into());
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().expect("asked for");
    let heard = listen(output, silence);
    if heard.is_err() {
        // It may have ended meanwhile; either way it is over now.
        let _ = child.kill();
    }
    let status = wait(&mut child)?;
    let heard = heard?;
    let wanted = headline(&key, offset);
    if heard.begin.is_none() && !status.success() {
        // It was lost before it could say what it tests.
        return Err(NotProven::Died { status, tries: 0 });
    }
    if heard.begin.as_ref() != Some(&wanted) {
        return Err(NotProven::OtherTest { wanted, said: heard.begin });
    }
    if !status.success() || !heard.is_whole {
        let tries = heard.seen.alone.len() + heard.seen.without.len();
        return Err(NotProven::Died { status, tries });
    }
    let sms_by_tpc = heard.seen.judge(tpcs)?;
    Ok(Proven { key, offset, sms_by_tpc })
}

fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    // Its output has ended, or it was killed: this does not take long.
    child.wait()
}

/// What the child said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    begin: Option<String>,
    seen: Seen,
    is_whole: bool,
}

impl Heard {
    /// Takes a line; what is not of the self-test, or makes no sense, is passed over, and then
    /// missing.
    fn take(&mut self, line: &str) {
        let Some(line) = line.strip_prefix(PREFIX) else { return };
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "begin" => self.begin = Some(line.to_owned()),
            "all" => self.seen.all = set(rest),
            "alone" => self.seen.alone.extend(set(rest)),
            "without" => self.seen.without.extend(set(rest)),
            "end" => self.is_whole = true,
            _ => {}
        }
    }
}

fn set(text: &str) -> Option<SmSet> {
    let mut sms = SmSet::EMPTY;
    for number in text.split_whitespace() {
        if !sms.insert(number.parse().ok()?) {
            return None;
        }
    }
    Some(sms)
}

/// Reads all lines, as long as some come.
fn listen(mut output: ChildStdout, silence: Duration) -> Result<Heard, NotProven> {
    let mut heard = Heard::default();
    let mut text = Vec::new();
    let timeout = PollTimeout::try_from(silence).unwrap_or(PollTimeout::MAX);
    loop {
        let mut ready = [PollFd::new(output.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, timeout) {
            Ok(0) => return Err(NotProven::Silent(silence)),
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(io::Error::from(error).into()),
        }
        let mut piece = [0; 4096];
        let count = output.read(&mut piece)?;
        if count == 0 {
            heard.take(&String::from_utf8_lossy(&text));
            return Ok(heard);
        }
        text.extend_from_slice(&piece[..count]);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let rest = text.split_off(end + 1);
            heard.take(String::from_utf8_lossy(&text).trim_end());
            text = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_says_is_taken_line_by_line() {
        let mut heard = Heard::default();
        for line in
            ["begin x at 0x4", "all 0 1 2 3", "alone 2 3", "alone 2 x", "without 0 1", "end"]
        {
            heard.take(&format!("{PREFIX}{line}"));
        }
        heard.take("alone 0 1");
        heard.take(&format!("{PREFIX}alone 5000"));
        assert_eq!(heard.begin.as_deref(), Some("begin x at 0x4"));
        assert_eq!(heard.seen.all, Some((0..4).collect()));
        assert_eq!(heard.seen.alone, [[2, 3].into_iter().collect()]);
        assert_eq!(heard.seen.without, [(0..2).collect()]);
        assert!(heard.is_whole);
    }
}
