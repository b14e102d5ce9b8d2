//! Which parts of a range are taken: first fit, exact, neighbours joined. Pure bookkeeping; it
//! knows no memory.
//!
//! It serves the loading and unloading of models, a few hundred ranges, so a sorted list is enough.
//! First fit in address order keeps the end of the range free for whatever is large.

/// Offsets and lengths are multiples of this, so that every block is aligned for any access and
/// for BLAS.
pub(crate) const GRANULE: u64 = 256;

/// A taken range, in bytes from the start of the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u64,
    pub(crate) bytes: u64,
}

impl Range {
    fn end(self) -> u64 {
        self.start + self.bytes
    }
}

/// The free ranges: sorted, not empty, none touching the next.
#[derive(Debug)]
pub(crate) struct Arena {
    free: Vec<Range>,
}

impl Arena {
    /// An arena of `bytes`, all free; what is left beyond whole granules is never handed out.
    pub(crate) fn new(bytes: u64) -> Self {
        let bytes = bytes - bytes % GRANULE;
        let whole = Range { start: 0, bytes };
        Self { free: if bytes == 0 { Vec::new() } else { vec![whole] } }
    }

    /// Takes the first free range that holds `bytes`, rounded up to granules; `None` when there is
    /// none. Zero bytes take one granule, so that every block has an address of its own.
    pub(crate) fn take(&mut self, bytes: u64) -> Option<Range> {
        let bytes = bytes.max(1).checked_next_multiple_of(GRANULE)?;
        let at = self.free.iter().position(|range| range.bytes >= bytes)?;
        let found = self.free[at];
        if found.bytes == bytes {
            self.free.remove(at);
        } else {
            self.free[at] = Range { start: found.start + bytes, bytes: found.bytes - bytes };
        }
        Some(Range { start: found.start, bytes })
    }

    /// Gives back a range that `take` returned.
    pub(crate) fn give(&mut self, range: Range) {
        let at = self.free.partition_point(|other| other.start < range.start);
        self.free.insert(at, range);
        if at + 1 < self.free.len() && self.free[at].end() == self.free[at + 1].start {
            let next = self.free.remove(at + 1);
            self.free[at].bytes += next.bytes;
        }
        if at > 0 && self.free[at - 1].end() == self.free[at].start {
            let joined = self.free.remove(at);
            self.free[at - 1].bytes += joined.bytes;
        }
    }

    /// Bytes free in all.
    pub(crate) fn free_bytes(&self) -> u64 {
        self.free.iter().map(|range| range.bytes).sum()
    }

    /// Bytes of the largest free range.
    pub(crate) fn largest_free(&self) -> u64 {
        self.free.iter().map(|range| range.bytes).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn blocks_are_rounded_up_and_do_not_overlap() {
        let mut arena = Arena::new(1024);
        assert_eq!(arena.take(1), Some(Range { start: 0, bytes: 256 }));
        assert_eq!(arena.take(0), Some(Range { start: 256, bytes: 256 }));
        assert_eq!(arena.take(257), Some(Range { start: 512, bytes: 512 }));
        assert_eq!(arena.take(1), None);
    }

    #[test]
    fn sizes_that_wrap_are_refused() {
        assert_eq!(Arena::new(1 << 40).take(u64::MAX), None);
        assert_eq!(Arena::new(255).take(1), None);
    }

    #[test]
    fn what_is_given_back_joins_its_neighbours() {
        let mut arena = Arena::new(1024);
        let blocks: Vec<_> = (0..4).map(|_| arena.take(256).expect("fits")).collect();
        for at in [1, 3, 0, 2] {
            arena.give(blocks[at]);
        }
        assert_eq!(arena.largest_free(), 1024);
    }

    #[test]
    fn any_order_of_takes_and_gives_keeps_the_sum() {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let total = 64 * GRANULE;
        let mut arena = Arena::new(total);
        let mut taken: Vec<Range> = Vec::new();
        for _ in 0..10_000 {
            if random.random_bool(0.5) {
                let bytes = random.random_range(0..8 * GRANULE);
                if let Some(range) = arena.take(bytes) {
                    let apart =
                        |other: &Range| other.end() <= range.start || range.end() <= other.start;
                    assert!(taken.iter().all(apart) && range.end() <= total);
                    taken.push(range);
                }
            } else if !taken.is_empty() {
                arena.give(taken.swap_remove(random.random_range(0..taken.len())));
            }
            let held: u64 = taken.iter().map(|range| range.bytes).sum();
            assert_eq!(held + arena.free_bytes(), total);
        }
        taken.into_iter().for_each(|range| arena.give(range));
        assert_eq!(arena.largest_free(), total);
    }
}
