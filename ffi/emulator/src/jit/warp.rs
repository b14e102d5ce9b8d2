//! What lanes of a warp compute together, as plain functions of what each brought.

use super::wait::{WarpOp, WarpWait};

/// Lanes in a warp.
pub(super) const LANES: usize = 32;

/// The answer of every lane in `present`, given what each brought. Bit 32 of a shuffle's or of a
/// `match.all`'s answer is its predicate.
///
/// All present lanes brought the same operation and members.
pub(super) fn answers(brought: &[Option<WarpWait>; LANES]) -> [u64; LANES] {
    let mut out = [0; LANES];
    let Some(first) = brought.iter().flatten().next() else {
        return out;
    };
    match first.op {
        WarpOp::Sync => {}
        WarpOp::ShuffleUp
        | WarpOp::ShuffleDown
        | WarpOp::ShuffleButterfly
        | WarpOp::ShuffleIndex => {
            for (lane, wait) in brought.iter().enumerate() {
                if let Some(wait) = wait {
                    out[lane] = shuffle(wait, lane, brought);
                }
            }
        }
        WarpOp::MatchAny => {
            for (lane, wait) in brought.iter().enumerate() {
                if let Some(wait) = wait {
                    out[lane] = mask_of(brought, |other| other.value == wait.value);
                }
            }
        }
        _ => out = [same_for_all(first.op, brought); LANES],
    }
    out
}

/// A mask of the present lanes for which `accept` holds.
fn mask_of(brought: &[Option<WarpWait>; LANES], accept: impl Fn(&WarpWait) -> bool) -> u64 {
    let lanes = brought.iter().enumerate();
    lanes
        .filter(|(_, wait)| wait.as_ref().is_some_and(&accept))
        .fold(0, |mask, (lane, _)| mask | 1 << lane)
}

/// The source lane is computed as the PTX ISA says for `shfl.sync`: lanes are split in segments, and
/// a lane whose source lies outside of its segment keeps its own value.
fn shuffle(wait: &WarpWait, lane: usize, brought: &[Option<WarpWait>; LANES]) -> u64 {
    let lane = i64::try_from(lane).unwrap_or(0);
    let select = i64::from(wait.select & 31);
    let clamp = i64::from(wait.clamp & 31);
    let segment = i64::from((wait.clamp >> 8) & 31);
    let max_lane = (lane & segment) | (clamp & !segment);
    let min_lane = lane & segment;
    let (source, inside) = match wait.op {
        WarpOp::ShuffleUp => (lane - select, lane - select >= max_lane),
        WarpOp::ShuffleDown => (lane + select, lane + select <= max_lane),
        WarpOp::ShuffleButterfly => (lane ^ select, lane ^ select <= max_lane),
        _ => {
            let source = min_lane | (select & !segment);
            (source, source <= max_lane)
        }
    };
    let own = wait.value & 0xffff_ffff;
    if !inside {
        return own;
    }
    let value = usize::try_from(source).ok().and_then(|source| brought.get(source)?.as_ref());
    // Reading a lane that does not take part has no defined result; the lane keeps its own value.
    value.map_or(own, |other| other.value & 0xffff_ffff) | 1 << 32
}

fn same_for_all(op: WarpOp, brought: &[Option<WarpWait>; LANES]) -> u64 {
    let present = mask_of(brought, |_| true);
    let is_true = mask_of(brought, |wait| wait.value != 0);
    let values = || brought.iter().flatten().map(|wait| wait.value);
    let unsigned = || values().map(low);
    let signed = || unsigned().map(u32::cast_signed);
    let reduced = match op {
        WarpOp::VoteAll => u32::from(is_true == present),
        WarpOp::VoteAny => u32::from(is_true != 0),
        WarpOp::VoteUniform => u32::from(is_true == 0 || is_true == present),
        WarpOp::VoteBallot => low(is_true),
        WarpOp::MatchAll => {
            let first = values().next();
            let equal = values().all(|value| Some(value) == first);
            return if equal { present | 1 << 32 } else { 0 };
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

/// The lower 32 bits.
fn low(value: u64) -> u32 {
    u32::try_from(value & 0xffff_ffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full_warp(op: WarpOp, select: u32, clamp: u32) -> [Option<WarpWait>; LANES] {
        std::array::from_fn(|lane| {
            Some(WarpWait { op, members: u32::MAX, value: 100 + lane as u64, select, clamp })
        })
    }

    /// Checks value and predicate of each lane.
    fn check(brought: &[Option<WarpWait>; LANES], expected: impl Fn(u64) -> (u64, bool)) {
        let out = answers(brought);
        for (lane, found) in (0u64..).zip(out) {
            let (value, predicate) = expected(lane);
            assert_eq!(found, value | u64::from(predicate) << 32, "lane {lane}");
        }
    }

    #[test]
    fn shuffles_move_values_inside_of_their_segment() {
        // Width 32 has clamp 31 (0 for up); width 8 has the segment mask 24.
        check(&full_warp(WarpOp::ShuffleDown, 4, 31), |lane| {
            if lane + 4 < 32 { (104 + lane, true) } else { (100 + lane, false) }
        });
        check(&full_warp(WarpOp::ShuffleUp, 1, 0), |lane| {
            if lane >= 1 { (99 + lane, true) } else { (100, false) }
        });
        check(&full_warp(WarpOp::ShuffleButterfly, 16, 31), |lane| (100 + (lane ^ 16), true));
        check(&full_warp(WarpOp::ShuffleIndex, 3, 24 << 8 | 31), |lane| {
            (100 + (lane & 24) + 3, true)
        });
        check(&full_warp(WarpOp::ShuffleDown, 3, 24 << 8 | 31), |lane| {
            if lane % 8 + 3 < 8 { (103 + lane, true) } else { (100 + lane, false) }
        });
    }

    #[test]
    fn only_present_lanes_vote() {
        let mut brought = full_warp(WarpOp::VoteBallot, 0, 0);
        for lane in brought.iter_mut().skip(8) {
            *lane = None;
        }
        assert_eq!(answers(&brought)[0], 0xff);
        for wait in brought.iter_mut().flatten() {
            wait.op = WarpOp::VoteAll;
        }
        assert_eq!(answers(&brought)[0], 1);
    }

    #[test]
    fn reductions_keep_their_signedness() {
        let mut brought = full_warp(WarpOp::ReduceMinSigned, 0, 0);
        if let Some(wait) = &mut brought[7] {
            wait.value = 0xffff_fff0;
        }
        assert_eq!(answers(&brought)[3], 0xffff_fff0);
        for wait in brought.iter_mut().flatten() {
            wait.op = WarpOp::ReduceMaxUnsigned;
        }
        assert_eq!(answers(&brought)[3], 0xffff_fff0);
    }
}
