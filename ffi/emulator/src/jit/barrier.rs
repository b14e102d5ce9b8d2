//! The sixteen barriers of a block: who has arrived, and what the answers are.

use super::wait::BarrierOp;

/// Barriers that a block has.
pub(super) const BARRIERS: usize = 16;

#[derive(Clone, Copy, Default)]
struct Barrier {
    arrived: usize,
    true_predicates: usize,
    expected: usize,
}

/// What has arrived where.
pub(super) struct Barriers {
    all: [Barrier; BARRIERS],
}

/// A barrier that lets its threads go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Open {
    /// Which one.
    pub(super) id: u32,
    arrived: usize,
    true_predicates: usize,
}

impl Open {
    /// The answer of a thread that waited with `op`.
    pub(super) fn answer(&self, op: BarrierOp) -> u64 {
        match op {
            BarrierOp::Sync | BarrierOp::Arrive => 0,
            BarrierOp::CountTrue => self.true_predicates as u64,
            BarrierOp::AllTrue => u64::from(self.true_predicates == self.arrived),
            BarrierOp::AnyTrue => u64::from(self.true_predicates > 0),
        }
    }
}

impl Barriers {
    pub(super) fn new() -> Self {
        Self { all: [Barrier::default(); BARRIERS] }
    }

    /// Counts threads, and those of them whose predicate is true. The compiler saw to it that the
    /// number of the barrier is below sixteen.
    pub(super) fn arrive(&mut self, id: u32, expected: u32, threads: usize, are_true: usize) {
        let Some(barrier) = usize::try_from(id).ok().and_then(|id| self.all.get_mut(id)) else {
            return;
        };
        barrier.arrived += threads;
        barrier.true_predicates += are_true;
        barrier.expected = usize::try_from(expected).unwrap_or(usize::MAX);
    }

    /// Takes a barrier at which enough threads have arrived: as many as it expects, or all that live.
    pub(super) fn take_complete(&mut self, live: usize) -> Option<Open> {
        for (id, barrier) in (0u32..).zip(&mut self.all) {
            let enough = if barrier.expected == 0 { live } else { barrier.expected };
            if barrier.arrived > 0 && barrier.arrived >= enough {
                let Barrier { arrived, true_predicates, .. } = std::mem::take(barrier);
                return Some(Open { id, arrived, true_predicates });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_barrier_opens_when_all_living_threads_are_there() {
        let mut barriers = Barriers::new();
        barriers.arrive(3, 0, 1, 1);
        assert_eq!(barriers.take_complete(2), None);
        barriers.arrive(3, 0, 1, 0);
        let open = barriers.take_complete(2).expect("both are there");
        assert_eq!((open.id, open.answer(BarrierOp::AllTrue)), (3, 0));
        assert_eq!(open.answer(BarrierOp::AnyTrue), 1);
        assert_eq!(open.answer(BarrierOp::CountTrue), 1);
        assert_eq!(barriers.take_complete(2), None);
    }

    #[test]
    fn a_barrier_with_a_count_does_not_wait_for_the_rest() {
        let mut barriers = Barriers::new();
        barriers.arrive(3, 2, 1, 0);
        assert_eq!(barriers.take_complete(64), None);
        barriers.arrive(3, 2, 1, 0);
        assert!(barriers.take_complete(64).is_some());
    }
}
