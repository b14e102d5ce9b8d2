//! What lanes of a warp compute together, as plain functions of what each brought.

use super::wait::{WarpOp, WarpWait};

/// Lanes in a warp.
pub(super) const LANES: usize = 32;

/// What the lanes brought that meet: all the same operation.
#[derive(Clone, Debug)]
pub(super) struct Brought {
    /// What they do.
    pub(super) op: WarpOp,
    /// The lanes that are there.
    pub(super) present: u32,
    /// Of each lane: its value.
    pub(super) values: [u64; LANES],
    /// A shuffle's lane or distance.
    pub(super) select: [u32; LANES],
    /// A shuffle's clamp and segment mask.
    pub(super) clamp: [u32; LANES],
}

impl Brought {
    /// Nobody is there yet.
    pub(super) fn nothing(op: WarpOp) -> Self {
        Self { op, present: 0, values: [0; LANES], select: [0; LANES], clamp: [0; LANES] }
    }

    /// A lane is there.
    pub(super) fn add(&mut self, lane: usize, wait: &WarpWait) {
        self.present |= 1 << lane;
        self.values[lane] = wait.value;
        self.select[lane] = wait.select;
        self.clamp[lane] = wait.clamp;
    }

    /// The answer of every lane that is present. Bit 32 of a shuffle's or of a `match.all`'s answer
    /// is its predicate.
    pub(super) fn answers(&self) -> [u64; LANES] {
        match self.op {
            WarpOp::Sync => [0; LANES],
            WarpOp::ShuffleUp
            | WarpOp::ShuffleDown
            | WarpOp::ShuffleButterfly
            | WarpOp::ShuffleIndex => std::array::from_fn(|lane| self.shuffled(lane)),
            WarpOp::MatchAny => {
                let equal = |value| self.mask_of(|other| other == value);
                self.values.map(|value| u64::from(equal(value)))
            }
            _ => [self.same_for_all(); LANES],
        }
    }

    /// A mask of the present lanes for whose values `accept` holds.
    fn mask_of(&self, accept: impl Fn(u64) -> bool) -> u32 {
        let lanes = self.values.iter().enumerate();
        lanes.fold(0, |mask, (lane, &value)| mask | u32::from(accept(value)) << lane) & self.present
    }

    fn shuffled(&self, lane: usize) -> u64 {
        let own = self.values[lane] & 0xffff_ffff;
        let Some(source) = source(self.op, lane, self.select[lane], self.clamp[lane]) else {
            return own;
        };
        // Reading a lane that does not take part has no defined result; the lane keeps its own value.
        let there = self.present >> source & 1 == 1;
        (if there { self.values[source] & 0xffff_ffff } else { own }) | 1 << 32
    }

    fn same_for_all(&self) -> u64 {
        let is_true = self.mask_of(|value| value != 0);
        let present = self.present;
        let values = || {
            let lanes = self.values.iter().enumerate();
            lanes.filter(|(lane, _)| present >> lane & 1 == 1).map(|(_, &value)| value)
        };
        let unsigned = || values().map(low);
        let signed = || unsigned().map(u32::cast_signed);
        let reduced = match self.op {
            WarpOp::VoteAll => u32::from(is_true == present),
            WarpOp::VoteAny => u32::from(is_true != 0),
            WarpOp::VoteUniform => u32::from(is_true == 0 || is_true == present),
            WarpOp::VoteBallot => is_true,
            WarpOp::MatchAll => {
                let first = values().next();
                let equal = values().all(|value| Some(value) == first);
                return if equal { u64::from(present) | 1 << 32 } else { 0 };
            }
            WarpOp::ReduceAdd => unsigned().fold(0, u32::wrapping_add),
            WarpOp::ReduceMinUnsigned => unsigned().fold(u32::MAX, u32::min),
            WarpOp::ReduceMaxUnsigned => unsigned().fold(0, u32::max),
            WarpOp::ReduceMinSigned => signed().fold(i32::MAX, i32::min).cast_unsigned(),
            WarpOp::ReduceMaxSigned => signed().fold(i32::MIN, i32::max).cast_unsigned(),
            WarpOp::ReduceAnd => unsigned().fold(u32::MAX, |all, value| all & value),
            WarpOp::ReduceOr => unsigned().fold(0, |all, value| all | value),
            WarpOp::ReduceXor => unsigned().fold(0, |all, value| all ^ value),
            WarpOp::Sync
            | WarpOp::ShuffleUp
            | WarpOp::ShuffleDown
            | WarpOp::ShuffleButterfly
            | WarpOp::ShuffleIndex
            | WarpOp::MatchAny => 0,
        };
        u64::from(reduced)
    }
}

/// The lane that a shuffle reads, as the PTX ISA says for `shfl.sync`: lanes are split in segments,
/// and a lane whose source lies outside of its segment has none.
fn source(op: WarpOp, lane: usize, select: u32, clamp: u32) -> Option<usize> {
    let lane = i32::try_from(lane).unwrap_or(0);
    let select = (select & 31).cast_signed();
    let segment = (clamp >> 8 & 31).cast_signed();
    let clamp = (clamp & 31).cast_signed();
    let max_lane = (lane & segment) | (clamp & !segment);
    let (source, inside) = match op {
        WarpOp::ShuffleUp => (lane - select, lane - select >= max_lane),
        WarpOp::ShuffleDown => (lane + select, lane + select <= max_lane),
        WarpOp::ShuffleButterfly => (lane ^ select, lane ^ select <= max_lane),
        _ => {
            let source = (lane & segment) | (select & !segment);
            (source, source <= max_lane)
        }
    };
    // With a clamp that no compiler writes, a source may lie outside of the warp: no lane is there.
    let source = usize::try_from(source).ok().filter(|&source| source < LANES);
    if inside { Some(source.unwrap_or(usize::try_from(lane).unwrap_or(0))) } else { None }
}

/// Where each lane of a full warp reads, for a shuffle that is known from the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pattern {
    /// The lane that it reads; its own where it has no source.
    sources: [u8; LANES],
    /// Lanes that have a source.
    inside: u32,
}

impl Pattern {
    /// The pattern of a shuffle; nothing for other operations.
    pub(super) fn new(op: WarpOp, select: u32, clamp: u32) -> Option<Self> {
        if !op.shuffles() {
            return None;
        }
        let mut pattern = Self { sources: [0; LANES], inside: 0 };
        for (lane, read) in pattern.sources.iter_mut().enumerate() {
            let found = source(op, lane, select, clamp);
            pattern.inside |= u32::from(found.is_some()) << lane;
            *read = u8::try_from(found.unwrap_or(lane) & (LANES - 1)).unwrap_or(0);
        }
        Some(pattern)
    }

    /// The answers of a full warp.
    pub(super) fn answers(&self, values: &[u64; LANES]) -> [u64; LANES] {
        std::array::from_fn(|lane| {
            let value = values[usize::from(self.sources[lane]) & (LANES - 1)] & 0xffff_ffff;
            value | u64::from(self.inside >> lane & 1) << 32
        })
    }
}

/// The lower 32 bits.
fn low(value: u64) -> u32 {
    u32::try_from(value & 0xffff_ffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full_warp(op: WarpOp, select: u32, clamp: u32) -> Brought {
        Brought {
            op,
            present: u32::MAX,
            values: std::array::from_fn(|lane| 100 + lane as u64),
            select: [select; LANES],
            clamp: [clamp; LANES],
        }
    }

    /// Checks value and predicate of each lane, computed in both ways.
    fn check(op: WarpOp, select: u32, clamp: u32, expected: impl Fn(u64) -> (u64, bool)) {
        let brought = full_warp(op, select, clamp);
        let pattern = Pattern::new(op, select, clamp).expect("a shuffle");
        for answers in [brought.answers(), pattern.answers(&brought.values)] {
            for (lane, found) in (0u64..).zip(answers) {
                let (value, predicate) = expected(lane);
                assert_eq!(found, value | u64::from(predicate) << 32, "lane {lane}");
            }
        }
    }

    #[test]
    fn shuffles_move_values_inside_of_their_segment() {
        // Width 32 has clamp 31 (0 for up); width 8 has the segment mask 24.
        check(WarpOp::ShuffleDown, 4, 31, |lane| {
            if lane + 4 < 32 { (104 + lane, true) } else { (100 + lane, false) }
        });
        check(
            WarpOp::ShuffleUp,
            1,
            0,
            |lane| {
                if lane >= 1 { (99 + lane, true) } else { (100, false) }
            },
        );
        check(WarpOp::ShuffleButterfly, 16, 31, |lane| (100 + (lane ^ 16), true));
        check(WarpOp::ShuffleIndex, 3, 24 << 8 | 31, |lane| (100 + (lane & 24) + 3, true));
        check(WarpOp::ShuffleDown, 3, 24 << 8 | 31, |lane| {
            if lane % 8 + 3 < 8 { (103 + lane, true) } else { (100 + lane, false) }
        });
    }

    #[test]
    fn both_ways_to_shuffle_agree_for_every_operand() {
        for op in
            [WarpOp::ShuffleUp, WarpOp::ShuffleDown, WarpOp::ShuffleButterfly, WarpOp::ShuffleIndex]
        {
            for select in 0..34 {
                for clamp in (0..32 << 8).step_by(7) {
                    let brought = full_warp(op, select, clamp);
                    let pattern = Pattern::new(op, select, clamp).expect("a shuffle");
                    let found = pattern.answers(&brought.values);
                    assert_eq!(found, brought.answers(), "{op:?} {select} {clamp}");
                }
            }
        }
    }

    #[test]
    fn only_present_lanes_vote() {
        let mut brought = full_warp(WarpOp::VoteBallot, 0, 0);
        brought.present = 0xff;
        assert_eq!(brought.answers()[0], 0xff);
        brought.op = WarpOp::VoteAll;
        assert_eq!(brought.answers()[0], 1);
    }

    #[test]
    fn reductions_keep_their_signedness() {
        let mut brought = full_warp(WarpOp::ReduceMinSigned, 0, 0);
        brought.values[7] = 0xffff_fff0;
        assert_eq!(brought.answers()[3], 0xffff_fff0);
        brought.op = WarpOp::ReduceMaxUnsigned;
        assert_eq!(brought.answers()[3], 0xffff_fff0);
    }
}
