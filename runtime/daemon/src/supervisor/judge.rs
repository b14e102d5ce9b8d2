//! Who killed the worker: what is decided of each request that a dead worker had accepted.
//!
//! What ran when a worker died is suspect: it runs again as it ran, alone on the device. What ran
//! alone at a second death is convicted: its requests run singly from then on, and one that ran by
//! itself when its worker died is refused as poison. A death that came from outside says nothing of
//! what ran.

use crate::ledger::{Entry, Ledger, Stage, Words};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// What kind of death a worker died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its own: the device failed or hung, or the process crashed. What ran may be why.
    Fault,
    /// A signal that somebody sent: an operator, or a kernel that is out of memory.
    Outside,
}

impl Cause {
    /// By how the process ended, when it did not say why.
    pub(super) fn of(status: ExitStatus) -> Self {
        match status.signal() {
            // HUP, INT, QUIT, KILL and TERM: no process of ours raises these against itself.
            Some(1 | 2 | 3 | 9 | 15) => Self::Outside,
            _ => Self::Fault,
        }
    }
}

/// A request that ran, with its function's name and the ledger that it stands in.
type Member<'a, W> = (&'a str, &'a Ledger<W>, Entry);

/// Decides what becomes of every open request in a dead worker's ledgers, given with their functions'
/// names. Returns the function of each request that was convicted.
pub(super) fn judge<'a, W: Words + 'a>(
    ledgers: impl Iterator<Item = (&'a str, &'a Ledger<W>)>,
    cause: Cause,
) -> Vec<String> {
    let mut batches: BTreeMap<u64, Vec<Member<'_, W>>> = BTreeMap::new();
    for (function, ledger) in ledgers {
        ledger.settle();
        for entry in ledger.open().filter(|entry| entry.stage == Stage::Running) {
            match cause {
                Cause::Outside => ledger.repeat(entry.slot, entry.strikes, entry.alone),
                Cause::Fault => {
                    batches.entry(entry.batch).or_default().push((function, ledger, entry));
                }
            }
        }
    }
    let mut convicted = Vec::new();
    for members in batches.values() {
        let strikes = members.iter().map(|(.., entry)| entry.strikes).max().unwrap_or(0);
        let strikes = strikes.saturating_add(1);
        for (function, ledger, entry) in members {
            if strikes > 1 && members.len() == 1 {
                ledger.condemn(entry.slot);
                convicted.push((*function).to_owned());
            } else {
                ledger.repeat(entry.slot, strikes, entry.alone || strikes > 1);
            }
        }
    }
    convicted
}

#[cfg(test)]
mod tests {
    use super::*;
    use gpumux_core::MonoTime;

    fn ledger() -> Ledger {
        Ledger::map(&Ledger::create(8).unwrap(), 8).unwrap()
    }

    /// Accepts a request in each slot and has some of them run.
    fn accept(ledger: &Ledger, running: &[(u32, u64)]) {
        for slot in 0..4 {
            ledger.accept(slot, 1, slot, MonoTime::ZERO);
            ledger.take(slot + 1);
        }
        running.iter().for_each(|(slot, batch)| ledger.run(*slot, *batch));
    }

    /// Strikes by slot; poison is 100, and 10 more says that it runs alone.
    fn standing(ledger: &Ledger) -> Vec<u8> {
        let number = |entry: Entry| match entry.stage {
            Stage::Poison => 100,
            Stage::Accepted => entry.strikes + 10 * u8::from(entry.alone),
            stage => panic!("{stage:?}"),
        };
        ledger.open().map(number).collect()
    }

    #[test]
    fn a_second_death_convicts_a_batch_and_a_third_a_request() {
        let ledger = ledger();
        accept(&ledger, &[(0, 7), (1, 7), (2, 8)]);
        let dies = |cause| judge([("f", &ledger)].into_iter(), cause);
        assert_eq!(dies(Cause::Fault), [""; 0]);
        assert_eq!(standing(&ledger), [1, 1, 1, 0]);
        // The first batch is tried, and does it again.
        [0, 1].into_iter().for_each(|slot| ledger.run(slot, 9));
        assert_eq!(dies(Cause::Fault), [""; 0]);
        assert_eq!(standing(&ledger), [12, 12, 1, 0]);
        ledger.run(1, 10);
        assert_eq!(dies(Cause::Fault), ["f"]);
        assert_eq!(standing(&ledger), [12, 100, 1, 0]);
        // The other batch held one request, so one trial is enough.
        ledger.run(2, 11);
        assert_eq!(dies(Cause::Fault), ["f"]);
        assert_eq!(standing(&ledger), [12, 100, 100, 0]);
    }

    #[test]
    fn a_death_from_outside_accuses_nobody() {
        let ledger = ledger();
        accept(&ledger, &[(0, 7), (3, 8)]);
        assert_eq!(judge([("f", &ledger)].into_iter(), Cause::Outside), [""; 0]);
        assert_eq!(standing(&ledger), [0, 0, 0, 0]);
        assert_eq!(Cause::of(ExitStatus::from_raw(9)), Cause::Outside);
        assert_eq!(Cause::of(ExitStatus::from_raw(11)), Cause::Fault);
        assert_eq!(Cause::of(ExitStatus::from_raw(1 << 8)), Cause::Fault);
    }
}
