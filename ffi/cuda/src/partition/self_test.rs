//! The self-test of stream masks: it stores at an offset that nobody documents, so it runs in a
//! process that may be lost, and says what it saw in lines that [`super::proof`] reads there and
//! judges by itself.

use super::allow_list::AllowList;
use super::mask::{Mask, TPCS_MAX};
use super::probe::{Probe, ProbeError};
use super::report::Refusal;
use crate::device::Device;
use crate::driver_key::DriverKey;
use crate::error::CudaError;
use crate::lane::Lane;
use crate::sets::{SMS_PER_TPC, SmSet, TpcSet};
use crate::wake::Wake;
use std::io::{self, Write};

/// Every line of the self-test begins so; what else the process prints is not ours.
pub(super) const PREFIX: &str = "gpumux-mask-self-test: ";
/// How often every bit is tried.
pub(super) const ROUNDS: usize = 3;

/// Why the self-test did not come to its end, or failed.
#[derive(Debug, thiserror::Error)]
pub enum SelfTestError {
    /// The mask of this driver cannot be tried.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A mask did not do what it should.
    #[error(transparent)]
    Flaw(#[from] Flaw),
    /// What was seen could not be written.
    #[error("cannot write what was seen: {0}")]
    Output(#[from] io::Error),
    /// There is no descriptor for a lane.
    #[error("cannot make a lane: {0}")]
    Descriptor(#[from] nix::errno::Errno),
}

impl From<ProbeError> for SelfTestError {
    fn from(error: ProbeError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<CudaError> for SelfTestError {
    fn from(error: CudaError) -> Self {
        Self::Refused(error.into())
    }
}

/// What a mask did that it should not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Work ran on more SMs than one TPC has, on none, or on all.
    #[error("with TPC {tpc} alone enabled, work ran on SMs {seen}")]
    NotConfined {
        /// The TPC.
        tpc: u32,
        /// Where work was seen.
        seen: SmSet,
    },
    /// Work ran on SMs that it does not run on without a mask.
    #[error("with TPC {tpc} alone enabled, work ran on SMs {seen}, without a mask only on {all}")]
    Beyond {
        /// The TPC.
        tpc: u32,
        /// Where work was seen.
        seen: SmSet,
        /// Where it ran without a mask.
        all: Box<SmSet>,
    },
    /// Two bits have SMs in common.
    #[error("TPC {tpc} and another one both have SMs of {seen}")]
    Shared {
        /// The TPC.
        tpc: u32,
        /// Its SMs.
        seen: SmSet,
    },
    /// A bit did something else another time.
    #[error("TPC {tpc} was SMs {first}, and later {later}")]
    Unsteady {
        /// The TPC.
        tpc: u32,
        /// What it was first,
        first: SmSet,
        /// and later.
        later: Box<SmSet>,
    },
    /// With one TPC disabled, work did not run on exactly the others.
    #[error("with TPC {tpc} alone disabled, work ran on SMs {seen} in place of {expected}")]
    Complement {
        /// The TPC.
        tpc: u32,
        /// Where work was seen.
        seen: SmSet,
        /// Where it should have run.
        expected: Box<SmSet>,
    },
    /// No bit has these SMs.
    #[error("no TPC has the SMs {missing}")]
    Uncovered {
        /// The SMs.
        missing: SmSet,
    },
    /// Not every bit was tried as often as it should.
    #[error("{tried} tries of TPCs were seen; {needed} are needed")]
    Incomplete {
        /// How many there were.
        tried: usize,
        /// How many there have to be.
        needed: usize,
    },
}

/// What the self-test saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// SMs without a mask.
    pub(super) all: Option<SmSet>,
    /// SMs of each TPC alone, TPC by TPC, round after round.
    pub(super) alone: Vec<SmSet>,
    /// SMs where one TPC is disabled, TPC by TPC.
    pub(super) without: Vec<SmSet>,
}

impl Seen {
    /// The SMs of each TPC, if all is as it should be.
    pub(super) fn judge(&self, tpcs: u32) -> Result<Vec<SmSet>, Flaw> {
        let count = tpcs as usize;
        let tried = self.alone.len() + self.without.len();
        let needed = (ROUNDS + 1) * count;
        let (Some(all), true) = (self.all, tried == needed && self.without.len() == count) else {
            return Err(Flaw::Incomplete { tried, needed });
        };
        let mut covered = SmSet::EMPTY;
        let first = &self.alone[..count];
        for ((tpc, seen), without) in (0..tpcs).zip(first).zip(&self.without) {
            let seen = *seen;
            if !seen.is_subset(&all) {
                return Err(Flaw::Beyond { tpc, seen, all: Box::new(all) });
            }
            if seen.is_empty() || seen.len() > SMS_PER_TPC || seen == all {
                return Err(Flaw::NotConfined { tpc, seen });
            }
            if !seen.is_disjoint(&covered) {
                return Err(Flaw::Shared { tpc, seen });
            }
            covered = covered.union(&seen);
            let expected = all.difference(&seen);
            if *without != expected {
                let expected = Box::new(expected);
                return Err(Flaw::Complement { tpc, seen: *without, expected });
            }
        }
        for (at, later) in self.alone.iter().enumerate().skip(count) {
            let first = first[at % count];
            if *later != first {
                let tpc = u32::try_from(at % count).expect("below the number of TPCs");
                return Err(Flaw::Unsteady { tpc, first, later: Box::new(*later) });
            }
        }
        if covered != all {
            return Err(Flaw::Uncovered { missing: all.difference(&covered) });
        }
        Ok(first.to_vec())
    }
}

/// The first line: what is tested.
pub(super) fn headline(key: &DriverKey, offset: usize) -> String {
    format!("begin {key} at {offset:#x}")
}

/// Tries every bit of a stream's mask, three times, and writes to `out` what was seen, line by line.
///
/// It stores into memory of the driver's at an offset that is only believed, so **run it in a process
/// of its own**, which may crash, hang or lose its context: [`super::prove`] does that.
///
/// # Errors
/// When the driver is not on the list, a mask did not do what it should, or what the driver answered.
pub fn self_test(
    device: &Device,
    list: &AllowList,
    out: &mut dyn Write,
) -> Result<(), SelfTestError> {
    let (key, sms) = (device.driver_key(), device.info().sm_count);
    let offset = list.offset(key).ok_or_else(|| Refusal::NotListed(key.clone()))?;
    let tpcs = sms / SMS_PER_TPC;
    if tpcs > TPCS_MAX {
        return Err(Refusal::TooManyTpcs { tpcs }.into());
    }
    say(out, &headline(key, offset))?;
    // SAFETY: this process is the one that may be lost.
    let mask = unsafe { Mask::at(offset) };
    let probe = device.probe()?;
    let mut lane = device.lane(&Wake::new()?)?;
    let every: TpcSet = (0..tpcs).collect();
    let mut seen = Seen::default();
    let all = probe.measure(&mut lane)?.sms;
    seen.all = Some(all);
    say(out, &format!("all{}", numbers(&all)))?;
    let see = |lane: &mut Lane, probe: &Probe, tpcs: &TpcSet| {
        mask.store(lane.queue(), tpcs);
        probe.measure_for(lane, SMS_PER_TPC * tpcs.len()).map(|measured| measured.sms)
    };
    for _ in 0..ROUNDS {
        for tpc in 0..tpcs {
            let sms = see(&mut lane, &probe, &[tpc].into_iter().collect())?;
            say(out, &format!("alone{}", numbers(&sms)))?;
            seen.alone.push(sms);
        }
    }
    for tpc in 0..tpcs {
        let others = every.difference(&[tpc].into_iter().collect());
        let sms = see(&mut lane, &probe, &others)?;
        say(out, &format!("without{}", numbers(&sms)))?;
        seen.without.push(sms);
    }
    seen.judge(tpcs)?;
    say(out, "end")?;
    Ok(())
}

fn say(out: &mut dyn Write, line: &str) -> io::Result<()> {
    // The line before may be somebody else's and have no end.
    writeln!(out, "\n{PREFIX}{line}")?;
    out.flush()
}

/// Each number of a set, with a space before it.
fn numbers(sms: &SmSet) -> String {
    sms.iter().map(|sm| format!(" {sm}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TPCS: u32 = 70;

    fn good() -> Seen {
        let all: SmSet = (0..2 * TPCS).collect();
        let alone: Vec<SmSet> =
            (0..TPCS).map(|tpc| [2 * tpc, 2 * tpc + 1].into_iter().collect()).collect();
        let without = alone.iter().map(|sms| all.difference(sms)).collect();
        Seen { all: Some(all), alone: alone.repeat(ROUNDS), without }
    }

    fn check(spoil: impl FnOnce(&mut Seen), is_flaw: impl FnOnce(&Flaw) -> bool) {
        let mut seen = good();
        spoil(&mut seen);
        let flaw = seen.judge(TPCS).expect_err("it was spoilt");
        assert!(is_flaw(&flaw), "{flaw}");
    }

    #[test]
    fn only_a_mask_that_does_all_that_it_should_is_believed() {
        let sms = good().judge(TPCS).unwrap();
        assert_eq!(sms[65], [130, 131].into_iter().collect());
        let all = good().all.unwrap();
        check(|seen| seen.all = None, |flaw| matches!(flaw, Flaw::Incomplete { .. }));
        check(|seen| seen.alone.truncate(10), |flaw| matches!(flaw, Flaw::Incomplete { .. }));
        check(
            |seen| seen.alone[3] = SmSet::EMPTY,
            |flaw| matches!(flaw, Flaw::NotConfined { tpc: 3, .. }),
        );
        check(|seen| seen.alone.fill(all), |flaw| matches!(flaw, Flaw::NotConfined { tpc: 0, .. }));
        // The upper half of the mask does nothing: TPC 64 and later stay enabled.
        let upper: SmSet = (128..2 * TPCS).collect();
        check(
            |seen| seen.alone.iter_mut().for_each(|sms| *sms = sms.union(&upper)),
            |flaw| matches!(flaw, Flaw::NotConfined { tpc: 0, .. }),
        );
        check(
            |seen| seen.alone[1] = seen.alone[0],
            |flaw| matches!(flaw, Flaw::Shared { tpc: 1, .. }),
        );
        check(
            |seen| seen.alone.swap(TPCS as usize + 1, TPCS as usize + 2),
            |flaw| matches!(flaw, Flaw::Unsteady { tpc: 1, .. }),
        );
        check(
            |seen| seen.without[69] = all,
            |flaw| matches!(flaw, Flaw::Complement { tpc: 69, .. }),
        );
        check(
            |seen| seen.alone[0] = [200, 201].into_iter().collect(),
            |flaw| matches!(flaw, Flaw::Beyond { tpc: 0, .. }),
        );
    }
}
