//! Which ranges of a device's memory are taken: best fit over whole granules. Pure bookkeeping; it
//! never sees the memory itself.

use std::collections::{BTreeMap, BTreeSet};

/// Free and taken ranges, counted in granules from the start of the window.
pub(crate) struct Space {
    /// Free ranges by start. No two touch: neighbours are merged when a range comes back.
    free: BTreeMap<u64, u64>,
    /// The same ranges as (length, start): the first that fits is the best that fits.
    by_length: BTreeSet<(u64, u64)>,
    free_granules: u64,
}

impl Space {
    /// All of `granules` is free.
    pub(crate) fn new(granules: u64) -> Self {
        let mut space =
            Self { free: BTreeMap::new(), by_length: BTreeSet::new(), free_granules: granules };
        if granules > 0 {
            space.insert(0, granules);
        }
        space
    }

    /// Granules that are free, in however many pieces.
    pub(crate) fn free_granules(&self) -> u64 {
        self.free_granules
    }

    /// Takes `length` granules and returns where they start, or `None` where no piece is that long.
    pub(crate) fn take(&mut self, length: u64) -> Option<u64> {
        assert!(length > 0, "an allocation holds at least one granule");
        let &(found, start) = self.by_length.range((length, 0)..).next()?;
        self.remove(start, found);
        if found > length {
            self.insert(start + length, found - length);
        }
        self.free_granules -= length;
        Some(start)
    }

    /// Gives back what `take` returned.
    pub(crate) fn give_back(&mut self, start: u64, length: u64) {
        self.free_granules += length;
        let (mut start, mut length) = (start, length);
        if let Some((&before, &size)) = self.free.range(..start).next_back()
            && before + size == start
        {
            self.remove(before, size);
            start = before;
            length += size;
        }
        if let Some(&size) = self.free.get(&(start + length)) {
            self.remove(start + length, size);
            length += size;
        }
        self.insert(start, length);
    }

    fn insert(&mut self, start: u64, length: u64) {
        self.free.insert(start, length);
        self.by_length.insert((length, start));
    }

    fn remove(&mut self, start: u64, length: u64) {
        self.free.remove(&start);
        self.by_length.remove(&(length, start));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_space_can_be_one_allocation() {
        let mut space = Space::new(64);
        assert_eq!(space.take(64), Some(0));
        assert_eq!(space.take(1), None);
        space.give_back(0, 64);
        assert_eq!(space.take(64), Some(0));
    }

    #[test]
    fn the_smallest_piece_that_fits_is_taken() {
        let mut space = Space::new(100);
        let starts: Vec<_> = [10, 5, 20, 5, 60].iter().map(|n| space.take(*n).unwrap()).collect();
        assert_eq!(starts, [0, 10, 15, 35, 40]);
        space.give_back(0, 10);
        space.give_back(15, 20);
        assert_eq!(space.take(7), Some(0));
        assert_eq!(space.take(11), Some(15));
    }

    #[test]
    fn neighbours_merge_in_any_order_of_return() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut space = Space::new(30);
            let starts: Vec<_> = (0..3).map(|_| space.take(10).unwrap()).collect();
            for piece in order {
                space.give_back(starts[piece], 10);
            }
            assert_eq!(space.take(30), Some(0), "returned in order {order:?}");
        }
    }
}
