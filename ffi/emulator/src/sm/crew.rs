//! The host threads that run SMs. As many run as the emulation has cores; one that was interrupted
//! in the middle of a block waits with it, and another runs meanwhile what is due.

use super::{Share, SmPool, State};
use crate::block::{Fault, Turn};
use crate::clock::{self, Moment};
use crate::scratch::Scratch;
use std::cell::Cell;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, MutexGuard, PoisonError};
use std::time::Duration;

/// A turn of a launch on an SM ends after this many blocks,
const TURN_BLOCKS_MAX: u64 = 32;
/// or with the first block that ends after this long.
const TURN_TIME: Duration = Duration::from_micros(50);
/// A block that has run for this long since it last waited may have to wait.
const QUANTUM: Duration = Duration::from_micros(200);

/// One host thread.
struct Hand {
    /// The part of its processor time that SMs were charged for.
    charged: Cell<Duration>,
    /// Where it waits with a block that was interrupted.
    seat: Arc<Condvar>,
}

impl Hand {
    /// Processor time since it was last asked.
    fn used(&self) -> Duration {
        let total = clock::thread_time();
        total.saturating_sub(self.charged.replace(total))
    }
}

impl SmPool {
    /// Starts one more host thread, which the caller has counted.
    pub(super) fn add_thread(self: &Arc<Self>) -> io::Result<()> {
        let pool = Arc::clone(self);
        let thread = std::thread::Builder::new().name("gpumux-sm".to_owned());
        thread.spawn(move || pool.serve()).map(|_| ())
    }

    fn serve(self: &Arc<Self>) {
        let mut scratch = Scratch::new();
        let hand = Hand { charged: Cell::default(), seat: Arc::new(Condvar::new()) };
        let mut state = self.state();
        loop {
            let Some(index) = state.pacer.take(clock::now()) else {
                state = self.idle(state);
                // Waking up is nobody's work.
                hand.used();
                continue;
            };
            if let Some(seat) = state.sms[index as usize].held.take() {
                seat.notify_one();
                continue;
            }
            state = self.serve_turn(state, index, &hand, &mut scratch);
        }
    }

    /// Waits until something is due.
    fn idle<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let due = state.pacer.next_at();
        let due = due.filter(|due| state.watch.is_none_or(|watch| *due < watch));
        state.idle += 1;
        let mut state = match due {
            None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(due) => {
                // This thread keeps watch for all that are idle.
                state.watch = Some(due);
                let waited = self.work.wait_timeout(state, due.since(clock::now()));
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.idle -= 1;
        if due.is_some() && state.watch == due {
            state.watch = None;
        }
        state
    }

    /// Runs a turn of an SM that has a permit.
    fn serve_turn<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
        index: u32,
        hand: &Hand,
        scratch: &mut Scratch,
    ) -> MutexGuard<'a, State> {
        let sm = &mut state.sms[index as usize];
        let mut share = sm.shares.pop_front().expect("an SM in line has work");
        // This thread may have kept watch: another one does while it works.
        let is_watched =
            state.idle == 0 || state.watch.is_some() || state.pacer.next_at().is_none();
        drop(state);
        if !is_watched {
            self.work.notify_one();
        }

        let launch = Arc::clone(&share.launch);
        let ended = self.run(&mut share, index, hand, scratch);
        let used = hand.used();

        state = self.state();
        state.pacer.charge(index, used);
        let sm = &mut state.sms[index as usize];
        if share.next < launch.grid.blocks() {
            sm.shares.push_back(share);
        }
        sm.awake = !sm.shares.is_empty();
        if sm.awake {
            state.pacer.put_back(index);
        } else {
            state.pacer.rest();
        }
        drop(state);
        launch.count(ended);
        self.state()
    }

    /// Runs some blocks on an SM; returns how many are over, those that were dropped included.
    fn run(
        self: &Arc<Self>,
        share: &mut Share,
        sm: u32,
        hand: &Hand,
        scratch: &mut Scratch,
    ) -> u64 {
        let launch = Arc::clone(&share.launch);
        let blocks = launch.grid.blocks();
        let start = clock::now();
        let turn = BlockTurn { pool: self, sm, hand, launch: &launch, since: Cell::new(start) };
        let mut ended = 0;
        while share.next < blocks
            && ended < TURN_BLOCKS_MAX
            && clock::now().since(start) < TURN_TIME
        {
            if turn.is_over() {
                let rest = (blocks - share.next).div_ceil(launch.stride);
                share.next = blocks;
                return ended + rest;
            }
            match launch.run(share.next, sm, &turn, scratch) {
                Ok(()) | Err(Fault::Stopped) => {}
                Err(fault) => launch.owner.faulted(fault),
            }
            share.next = share.next.saturating_add(launch.stride);
            ended += 1;
        }
        ended
    }

    /// Lets others run in the middle of a block, where it is their time. There must be another thread
    /// that can serve them; where none can be had, the block goes on.
    fn interrupt(self: &Arc<Self>, sm: u32, hand: &Hand) {
        let used = hand.used();
        let mut state = self.state();
        state.pacer.charge(sm, used);
        if state.pacer.may_go_on(sm, clock::now()) {
            return;
        }
        state.held += 1;
        if state.threads - state.held < self.plan.cores {
            state.threads += 1;
            drop(state);
            let added = self.add_thread();
            state = self.state();
            if added.is_err() {
                // Without one more thread the block goes on, ahead of its share.
                state.threads -= 1;
                state.held -= 1;
                return;
            }
        }
        state.sms[sm as usize].held = Some(Arc::clone(&hand.seat));
        state.pacer.put_back(sm);
        self.work.notify_one();
        while state.sms[sm as usize].held.is_some() {
            state = hand.seat.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.held -= 1;
    }
}

/// The turn of a block on its SM.
struct BlockTurn<'a> {
    pool: &'a Arc<SmPool>,
    sm: u32,
    hand: &'a Hand,
    launch: &'a super::Launch,
    /// When it last could have been interrupted.
    since: Cell<Moment>,
}

impl BlockTurn<'_> {
    fn is_over(&self) -> bool {
        // Acquire: whoever finds out here that it is to stop also finds out why.
        self.launch.stop.load(Ordering::Acquire) != 0
    }
}

impl Turn for BlockTurn<'_> {
    fn attend(&self) -> Result<(), Fault> {
        if !self.is_over() && clock::now().since(self.since.get()) > QUANTUM {
            self.pool.interrupt(self.sm, self.hand);
            self.since.set(clock::now());
        }
        if self.is_over() { Err(Fault::Stopped) } else { Ok(()) }
    }
}
