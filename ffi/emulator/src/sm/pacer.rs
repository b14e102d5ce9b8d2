//! Which SM runs next, and how fast each may be. Every SM has the same share of the cores that the
//! emulation may use; one that has had more than its share is held back, so that a launch on twice
//! the SMs is twice as fast and one SM's work never costs another's. It knows no thread and no
//! clock: time is an argument.

use crate::clock::Moment;
use std::collections::BTreeSet;
use std::time::Duration;

/// What an SM that was idle may save up of its share: short work on an idle SM is not held back.
const CREDIT: Duration = Duration::from_millis(2);
/// How far the SMs may be behind on a host that is too busy; the rest is forgotten for all alike.
const DEBT: Duration = Duration::from_millis(100);

/// Whether SMs are held back to their shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// They are.
    On,
    /// Whoever runs has the host's speed.
    Off,
}

/// See the head of this file. Each SM is idle, in line, or running; what runs has a permit.
pub(super) struct Pacer {
    pace: Pace,
    permits: usize,
    running: usize,
    shares: Vec<Share>,
    /// The SMs in line, the one that was served least first.
    line: BTreeSet<(Moment, u32)>,
    /// How far the SMs' time is behind the host's.
    slip: Duration,
}

/// An SM's share.
struct Share {
    /// Up to when, in the SMs' time, it has had its share.
    served: Moment,
    /// How much of its time one unit of a core's time is worth.
    stretch: f64,
}

impl Pacer {
    /// `stretch` says for each SM how many times slower than a core it is. At most `permits` run at
    /// once.
    pub(super) fn new(pace: Pace, permits: usize, stretch: impl Iterator<Item = f64>) -> Self {
        let shares = stretch.map(|stretch| Share { served: Moment::default(), stretch }).collect();
        Self { pace, permits, running: 0, shares, line: BTreeSet::new(), slip: Duration::ZERO }
    }

    /// An idle SM gets work.
    pub(super) fn wake(&mut self, sm: u32, now: Moment) {
        let floor = now.minus(self.slip).minus(CREDIT);
        let share = self.share(sm);
        share.served = share.served.max(floor);
        self.enter(sm);
    }

    /// Gives a permit to the SM that was served least, if it may run now.
    pub(super) fn take(&mut self, now: Moment) -> Option<u32> {
        if self.next_at()? > now {
            return None;
        }
        let (served, sm) = self.line.pop_first()?;
        let behind = now.minus(self.slip).since(served);
        self.slip += match self.pace {
            Pace::On => behind.saturating_sub(DEBT),
            // Then the SMs' time is what they have had.
            Pace::Off => behind,
        };
        self.running += 1;
        Some(sm)
    }

    /// When the next SM may run; `None` where no permit is free or no SM is in line.
    pub(super) fn next_at(&self) -> Option<Moment> {
        let (served, _) = self.line.first().filter(|_| self.running < self.permits)?;
        Some(match self.pace {
            Pace::On => served.plus(self.slip),
            Pace::Off => Moment::default(),
        })
    }

    /// Permits that nobody has.
    pub(super) fn permits_free(&self) -> usize {
        self.permits - self.running
    }

    /// A running SM has used a core for this long.
    pub(super) fn charge(&mut self, sm: u32, used: Duration) {
        let share = self.share(sm);
        let stretched = used.mul_f64(share.stretch);
        share.served = share.served.plus(stretched);
    }

    /// Whether a running SM may go on: it is not ahead of its share, and nobody who may run was
    /// served less.
    pub(super) fn may_go_on(&self, sm: u32, now: Moment) -> bool {
        let own = self.shares[sm as usize].served;
        let is_first = self.line.first().is_none_or(|(served, _)| own <= *served);
        match self.pace {
            Pace::On => own.plus(self.slip) <= now && is_first,
            Pace::Off => is_first,
        }
    }

    /// A running SM has more to do, and gives its permit back.
    pub(super) fn put_back(&mut self, sm: u32) {
        self.running -= 1;
        self.enter(sm);
    }

    /// A running SM has nothing more to do, and gives its permit back.
    pub(super) fn rest(&mut self) {
        self.running -= 1;
    }

    fn enter(&mut self, sm: u32) {
        let served = self.shares[sm as usize].served;
        self.line.insert((served, sm));
    }

    fn share(&mut self, sm: u32) -> &mut Share {
        &mut self.shares[sm as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host with one core for simulated time: runs SMs, each always with work, in turns that are
    /// as long as `turn` says, and returns what each got.
    fn simulate(
        pacer: &mut Pacer,
        sms: u32,
        span: Duration,
        turn: impl Fn(u32) -> Duration,
    ) -> Vec<Duration> {
        let start = Moment::default().plus(Duration::from_secs(1));
        let end = start.plus(span);
        let mut got = vec![Duration::ZERO; sms as usize];
        (0..sms).for_each(|sm| pacer.wake(sm, start));
        let mut now = start;
        while now < end {
            let Some(sm) = pacer.take(now) else {
                now = pacer.next_at().expect("SMs with work are in line").max(now);
                continue;
            };
            now = now.plus(turn(sm));
            got[sm as usize] += turn(sm);
            pacer.charge(sm, turn(sm));
            pacer.put_back(sm);
        }
        got
    }

    fn near(value: Duration, expected: Duration) {
        let ratio = value.as_secs_f64() / expected.as_secs_f64();
        assert!((0.98..1.02).contains(&ratio), "{value:?} is not near {expected:?}");
    }

    #[test]
    fn every_sm_gets_its_share_whatever_the_others_do() {
        for sms in [1, 2, 7, 16] {
            let stretch = std::iter::repeat_n(16.0 / 0.95, 16);
            let mut pacer = Pacer::new(Pace::On, 1, stretch);
            let turn = |sm| Duration::from_micros(if sm % 2 == 0 { 50 } else { 200 });
            let span = Duration::from_secs(5);
            let share = span.mul_f64(0.95 / 16.0);
            for got in simulate(&mut pacer, sms, span, turn) {
                near(got, share);
            }
        }
    }

    #[test]
    fn a_slow_sm_gets_less() {
        let mut pacer = Pacer::new(Pace::On, 1, [4.0, 16.0].into_iter());
        let span = Duration::from_secs(5);
        let got = simulate(&mut pacer, 2, span, |_| Duration::from_micros(50));
        near(got[0], span / 4);
        near(got[1], span / 16);
    }

    #[test]
    fn without_a_pace_those_who_run_share_all_there_is() {
        let mut pacer = Pacer::new(Pace::Off, 1, std::iter::repeat_n(1.0, 16));
        let turn = |sm| Duration::from_micros(if sm == 0 { 50 } else { 200 });
        let span = Duration::from_secs(5);
        for got in simulate(&mut pacer, 4, span, turn) {
            near(got, span / 4);
        }
    }

    #[test]
    fn a_host_that_is_behind_still_shares_fairly() {
        // Shares of half a core each, and turns of which two thirds are lost to other processes.
        let mut pacer = Pacer::new(Pace::On, 1, std::iter::repeat_n(2.0, 2));
        let mut now = Moment::default().plus(Duration::from_secs(1));
        let mut got = [Duration::ZERO; 2];
        pacer.wake(0, now);
        pacer.wake(1, now);
        for _ in 0..10_000 {
            let sm = pacer.take(now).expect("both are behind, so both may run");
            let used = Duration::from_micros(if sm == 0 { 50 } else { 150 });
            now = now.plus(3 * used);
            got[sm as usize] += used;
            pacer.charge(sm, used);
            pacer.put_back(sm);
        }
        near(got[0], got[1]);
    }

    #[test]
    fn idle_sms_save_up_little() {
        let mut pacer = Pacer::new(Pace::On, 1, std::iter::once(10.0));
        let now = Moment::default().plus(Duration::from_secs(100));
        pacer.wake(0, now);
        assert_eq!(pacer.take(now), Some(0));
        // As much as the credit is worth, and a little more.
        pacer.charge(0, CREDIT / 10 + Duration::from_micros(10));
        assert!(!pacer.may_go_on(0, now));
        pacer.put_back(0);
        assert_eq!(pacer.take(now), None);
        assert_eq!(pacer.next_at(), Some(now.plus(Duration::from_micros(100))));
    }

    #[test]
    fn no_more_run_than_there_are_permits() {
        let mut pacer = Pacer::new(Pace::On, 2, std::iter::repeat_n(2.0, 4));
        let now = Moment::default().plus(Duration::from_secs(1));
        (0..4).for_each(|sm| pacer.wake(sm, now));
        assert!(pacer.take(now).is_some() && pacer.take(now).is_some());
        assert_eq!((pacer.take(now), pacer.next_at(), pacer.permits_free()), (None, None, 0));
        pacer.rest();
        assert!(pacer.take(now).is_some());
    }
}
