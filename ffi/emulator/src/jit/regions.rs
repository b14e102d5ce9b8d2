//! Threads of a kernel that is cut into regions: one that waits has left everything in its record, and
//! the same loop runs all of them. Where the lanes of a warp stand at one place, which is how most
//! kernels are, they are handled as one.

use std::cell::Cell;

use super::exchange::{ENDED, Exchange};
use super::executor::{Ran, TURNS_BETWEEN_LOOKS, Threads, Together};
use super::frame::{BlockFrame, DONE, EntryFn, ThreadFrame};
use super::lower::Cuts;
use super::wait::{BarrierWait, Site, Wait, WarpOp, WarpWait, Word};
use super::warp::{Brought, LANES, Pattern};
use crate::block::Fault;

/// A wait, and what follows from it.
#[derive(Debug)]
struct Prepared {
    site: Site,
    /// Where the lanes of a full warp read, when the text alone says it.
    pattern: Option<Pattern>,
}

impl Prepared {
    fn new(site: Site) -> Self {
        let pattern = match site {
            Site::Warp { op, select: Word::Known(select), clamp: Word::Known(clamp), .. } => {
                Pattern::new(op, select, clamp)
            }
            _ => None,
        };
        Self { site, pattern }
    }

    /// Whether all lanes of a warp meet here, and nobody else.
    fn of_full_warp(&self) -> bool {
        matches!(self.site, Site::Warp { members: Word::Known(u32::MAX), .. })
    }
}

/// The waits of a kernel, prepared for its launches.
#[derive(Debug)]
pub(super) struct Sites {
    all: Vec<Prepared>,
    /// Threads wait for the block and never for their warp alone.
    of_block: bool,
    /// Bytes of a thread's record.
    pub(super) record_bytes: u32,
}

impl Sites {
    pub(super) fn new(cuts: &Cuts) -> Self {
        let all = cuts.sites.iter().map(|&site| Prepared::new(site)).collect();
        let of_block =
            !cuts.sites.iter().any(|site| matches!(site, Site::Warp { .. } | Site::Active { .. }));
        Self { all, of_block, record_bytes: cuts.record_bytes }
    }
}

/// The threads of a block.
pub(super) struct Cut<'a> {
    pub(super) entry: EntryFn,
    pub(super) block: &'a BlockFrame,
    /// The frame of each.
    pub(super) frames: &'a [ThreadFrame],
    pub(super) sites: &'a Sites,
    pub(super) exchange: &'a Exchange,
}

impl Cut<'_> {
    /// Where all `lanes` go on, if that is one place.
    fn place(&self, first: usize, lanes: u32) -> Option<u32> {
        let resume = &self.exchange.resume[first..];
        let place = resume[lanes.trailing_zeros() as usize].get();
        let same = if lanes == u32::MAX {
            all_are(&resume[..LANES], place)
        } else {
            each(lanes).all(|lane| resume[lane].get() == place)
        };
        same.then_some(place)
    }

    /// Runs a warp all of whose lanes go on at the same place, past all places where they only meet
    /// each other.
    fn run_full_warp(&self, first: usize) -> Result<(), Fault> {
        for turn in 1u32.. {
            self.enter(first, first + LANES)?;
            let place = self.place(first, u32::MAX);
            let site = place.filter(|&place| place != ENDED).map(|place| place as usize - 1);
            let Some(number) = site.filter(|&number| self.sites.all[number].of_full_warp()) else {
                return Ok(());
            };
            self.exchange(first, u32::MAX, number);
            if turn.is_multiple_of(TURNS_BETWEEN_LOOKS) {
                self.block.attend()?;
            }
        }
        Ok(())
    }

    /// Gives all `lanes` their answers, which have met at a warp operation.
    fn exchange(&self, first: usize, lanes: u32, number: usize) {
        let Prepared { site, pattern } = &self.sites.all[number];
        let &Site::Warp { op, members, select, clamp } = site else { return };
        if op == WarpOp::Sync {
            return;
        }
        let values = &self.exchange.values[first..];
        if lanes == u32::MAX
            && let Some(pattern) = pattern
        {
            let brought = std::array::from_fn(|lane| values[lane].get());
            let answers = pattern.answers(&brought);
            values.iter().zip(answers).for_each(|(value, answer)| value.set(answer));
            return;
        }
        let mut brought = Brought::nothing(op);
        for lane in each(lanes) {
            brought.add(lane, &self.warp_wait(first + lane, op, [members, select, clamp]));
        }
        let answers = brought.answers();
        each(lanes).for_each(|lane| values[lane].set(answers[lane]));
    }

    /// Runs threads that all go on at the same place.
    fn enter(&self, first: usize, end: usize) -> Result<(), Fault> {
        let number = |at| u32::try_from(at).expect("a block has at most 1024 threads");
        match (self.entry)(self.block, &self.frames[0], number(first), number(end)) {
            DONE => Ok(()),
            _ => Err(self.block.recorded_fault()),
        }
    }

    fn warp_wait(&self, at: usize, op: WarpOp, words: [Word; 3]) -> WarpWait {
        let brought = self.exchange.operands[at].get();
        WarpWait {
            op,
            value: self.exchange.values[at].get(),
            members: words[0].or(brought[0]),
            select: words[1].or(brought[1]),
            clamp: words[2].or(brought[2]),
        }
    }
}

impl Threads for Cut<'_> {
    fn count(&self) -> usize {
        self.frames.len()
    }

    fn run(&mut self, first: usize, lanes: u32) -> Result<(), Fault> {
        if lanes == u32::MAX && self.place(first, lanes).is_some() {
            return self.run_full_warp(first);
        }
        let resume = &self.exchange.resume;
        let mut rest = lanes;
        while rest != 0 {
            let start = first + rest.trailing_zeros() as usize;
            let place = resume[start].get();
            let same = |lane: &usize| rest >> lane & 1 == 1 && resume[first + lane].get() == place;
            let length = (start - first..LANES).take_while(same).count();
            let end = start - first + length;
            rest = if end < LANES { rest >> end << end } else { 0 };
            self.enter(start, start + length)?;
        }
        Ok(())
    }

    fn run_block(&mut self) -> Result<bool, Fault> {
        let count = self.frames.len();
        let resume = &self.exchange.resume[..count];
        if !self.sites.of_block || !all_are(resume, resume[0].get()) {
            return Ok(false);
        }
        self.enter(0, count)?;
        Ok(true)
    }

    fn judge(&self, first: usize, lanes: u32) -> Ran {
        match self.place(first, lanes) {
            Some(ENDED) => Ran { ended: lanes, together: None },
            Some(place) => {
                let number = place as usize - 1;
                let together = Some(Together { number, site: self.sites.all[number].site });
                Ran { ended: 0, together }
            }
            None => {
                let resume = &self.exchange.resume[first..];
                let ended = each(lanes).filter(|&lane| resume[lane].get() == ENDED);
                Ran { ended: ended.fold(0, |mask, lane| mask | 1 << lane), together: None }
            }
        }
    }

    fn wait(&self, at: usize) -> Wait {
        let number = self.exchange.resume[at].get() as usize - 1;
        match self.sites.all[number].site {
            Site::Turn => Wait::Turn,
            Site::Active { site } => Wait::Active { site },
            Site::Barrier { op, id, expected } => {
                let brought = self.exchange.operands[at].get();
                Wait::Barrier(BarrierWait {
                    op,
                    id: id.or(brought[0]),
                    expected: expected.or(brought[1]),
                    predicate: op.reduces() && self.exchange.values[at].get() != 0,
                })
            }
            Site::Warp { op, members, select, clamp } => {
                Wait::Warp(self.warp_wait(at, op, [members, select, clamp]))
            }
        }
    }

    fn answer(&mut self, at: usize, answer: u64) {
        self.exchange.values[at].set(answer);
    }

    fn meet(&mut self, first: usize, lanes: u32, at: Together) {
        self.exchange(first, lanes, at.number);
    }
}

/// Whether threads all go on at `place`. All are compared, which is quicker than to stop early.
fn all_are(resume: &[Cell<u32>], place: u32) -> bool {
    resume.iter().fold(0, |differ, at| differ | (at.get() ^ place)) == 0
}

fn each(lanes: u32) -> impl Iterator<Item = usize> {
    (0..LANES).filter(move |lane| lanes >> lane & 1 == 1)
}
