//! A heap of elements by moment, earliest first, from whose middle an element can leave. Capacity is
//! fixed; equal moments keep the order in which they came.

use crate::time::MonoTime;

/// Not in the heap.
const ABSENT: u32 = u32::MAX;

/// Elements below a fixed count, each in the heap at most once.
#[derive(Debug)]
pub(crate) struct Heap {
    entries: Vec<Entry>,
    places: Box<[u32]>,
    arrivals: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at: MonoTime,
    arrival: u64,
    element: u32,
}

impl Heap {
    pub(crate) fn new(elements: u32) -> Self {
        Self {
            entries: Vec::with_capacity(elements as usize),
            places: vec![ABSENT; elements as usize].into_boxed_slice(),
            arrivals: 0,
        }
    }

    /// The earliest moment and its element.
    pub(crate) fn first(&self) -> Option<(MonoTime, u32)> {
        self.entries.first().map(|entry| (entry.at, entry.element))
    }

    /// Puts an element in, or moves it to another moment.
    pub(crate) fn set(&mut self, element: u32, at: MonoTime) {
        self.remove(element);
        let place = self.entries.len();
        assert!(place < self.places.len(), "an element is in the heap at most once");
        self.entries.push(Entry { at, arrival: self.arrivals, element });
        self.arrivals += 1;
        self.mark(place);
        self.rise(place);
    }

    /// Takes an element out, if it is in.
    pub(crate) fn remove(&mut self, element: u32) {
        let place = std::mem::replace(&mut self.places[element as usize], ABSENT);
        if place == ABSENT {
            return;
        }
        let place = place as usize;
        self.entries.swap_remove(place);
        if place < self.entries.len() {
            self.mark(place);
            self.rise(place);
            self.sink(place);
        }
    }

    fn rise(&mut self, mut place: usize) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.entries[parent] <= self.entries[place] {
                return;
            }
            self.exchange(parent, place);
            place = parent;
        }
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let children = [place * 2 + 1, place * 2 + 2].into_iter();
            let smallest = children
                .filter(|child| *child < self.entries.len())
                .min_by_key(|child| self.entries[*child]);
            match smallest {
                Some(child) if self.entries[child] < self.entries[place] => {
                    self.exchange(child, place);
                    place = child;
                }
                _ => return,
            }
        }
    }

    fn exchange(&mut self, one: usize, other: usize) {
        self.entries.swap(one, other);
        self.mark(one);
        self.mark(other);
    }

    fn mark(&mut self, place: usize) {
        let element = self.entries[place].element as usize;
        self.places[element] = u32::try_from(place).expect("there are fewer places than elements");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    #[test]
    fn it_agrees_with_a_sorted_map_under_random_use() {
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut heap = Heap::new(16);
            let mut model = [None; 16];
            for _ in 0..300 {
                let element = random.random_range(0..16);
                if random.random_bool(0.6) {
                    let at = MonoTime::from_nanos(random.random_range(0..1000));
                    heap.set(element, at);
                    model[element as usize] = Some(at);
                } else {
                    heap.remove(element);
                    model[element as usize] = None;
                }
                let earliest = model.iter().flatten().min().copied();
                assert_eq!(heap.first().map(|(at, _)| at), earliest, "seed {seed}");
                if let Some((at, element)) = heap.first() {
                    assert_eq!(model[element as usize], Some(at), "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn equal_moments_keep_their_order() {
        let mut heap = Heap::new(8);
        for element in [5, 1, 7, 0] {
            heap.set(element, MonoTime::ZERO);
        }
        for element in [5, 1, 7, 0] {
            assert_eq!(heap.first(), Some((MonoTime::ZERO, element)));
            heap.remove(element);
        }
        assert_eq!(heap.first(), None);
    }
}
