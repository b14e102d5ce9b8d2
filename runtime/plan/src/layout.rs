//! Where the buffers of a plan lie in its block of memory.
//!
//! Inputs, then flags, then outputs, each in the plan's order and without holes but alignment: so
//! one transfer brings the inputs and clears the flags, and one takes flags and outputs away.
//! Behind them the buffers that live within the plan, which share memory where their lives do not
//! meet: interval packing, the largest first, each at the lowest place that is free for its life.

use std::ops::Range;

/// What every buffer's offset is a multiple of, in bytes: what device memory is aligned to, and
/// enough for every vector access.
pub const ALIGNMENT: u64 = 256;

/// A buffer that lives within the plan.
pub(crate) struct Resident {
    /// Its size.
    pub(crate) bytes: u64,
    /// The operations from the first that writes it to the last that reads it.
    pub(crate) life: Range<usize>,
}

/// The next multiple of [`ALIGNMENT`].
pub(crate) fn align(bytes: u64) -> Option<u64> {
    bytes.checked_next_multiple_of(ALIGNMENT)
}

/// Puts one run of bytes behind what there is.
pub(crate) fn append(end: &mut u64, bytes: u64) -> Option<u64> {
    let offset = *end;
    *end = align(offset.checked_add(bytes)?)?;
    Some(offset)
}

/// Offsets for `residents`, and the size of the memory that they share. `None` on overflow.
pub(crate) fn pack(residents: &[Resident]) -> Option<(Vec<u64>, u64)> {
    let mut order: Vec<usize> = (0..residents.len()).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(residents[index].bytes), index));

    let mut offsets = vec![0; residents.len()];
    let mut placed: Vec<(u64, u64, usize)> = Vec::new();
    let mut total = 0;
    for index in order {
        let resident = &residents[index];
        let bytes = align(resident.bytes)?;
        let mut offset = 0u64;
        // In order of their offsets, so the first hole that is large enough is the lowest.
        for &(begin, end, other) in &placed {
            if !meet(&resident.life, &residents[other].life) {
                continue;
            }
            if offset.checked_add(bytes)? <= begin {
                break;
            }
            offset = offset.max(end);
        }
        let end = offset.checked_add(bytes)?;
        total = total.max(end);
        offsets[index] = offset;
        let place = placed.partition_point(|it| it.0 < offset);
        placed.insert(place, (offset, end, index));
    }
    Some((offsets, total))
}

fn meet(left: &Range<usize>, right: &Range<usize>) -> bool {
    left.start < right.end && right.start < left.end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn residents(of: &[(u64, Range<usize>)]) -> Vec<Resident> {
        of.iter().map(|(bytes, life)| Resident { bytes: *bytes, life: life.clone() }).collect()
    }

    #[test]
    fn buffers_whose_lives_do_not_meet_share_memory() {
        let (offsets, total) = pack(&residents(&[(256, 0..2), (256, 2..4)])).unwrap();
        assert_eq!((offsets, total), (vec![0, 0], 256));
    }

    #[test]
    fn a_hole_is_used_when_it_is_large_enough() {
        let three = [(1024, 0..9), (512, 0..2), (256, 1..9), (512, 3..9)];
        let (offsets, total) = pack(&residents(&three)).unwrap();
        assert_eq!((offsets, total), (vec![0, 1024, 1536, 1024], 1792));
    }

    #[test]
    fn no_two_living_buffers_overlap_whatever_their_lives() {
        // A fixed linear congruence: the same lives in every run.
        let mut state = 7u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let many: Vec<Resident> = (0..200)
            .map(|_| {
                let begin = usize::try_from(next(90)).unwrap();
                let life = begin..begin + 1 + usize::try_from(next(9)).unwrap();
                Resident { bytes: 1 + next(5000), life }
            })
            .collect();
        let (offsets, total) = pack(&many).unwrap();
        for (i, left) in many.iter().enumerate() {
            assert!(offsets[i] + left.bytes <= total);
            for (j, right) in many.iter().enumerate().skip(i + 1) {
                let apart =
                    offsets[i] + left.bytes <= offsets[j] || offsets[j] + right.bytes <= offsets[i];
                assert!(apart || !meet(&left.life, &right.life), "{i} and {j}");
            }
        }
    }

    #[test]
    fn sizes_that_wrap_are_refused() {
        assert!(pack(&residents(&[(u64::MAX, 0..1)])).is_none());
        assert!(pack(&residents(&[(1 << 63, 0..1), (1 << 63, 0..1)])).is_none());
    }
}
