//! A model of a device: lanes that hold fixed numbers of SMs, and what runs on each.
//!
//! A batch's work is cut into segments of about equal length, with a copy before them and one after;
//! the segments of a lane run in the order of their issue. Copies take their time and disturb nobody.
//! Work is slowed by what works beside it, by the linear model of shared bandwidth: each batch takes a
//! share `f` of the memory bandwidth when it runs alone, and while the shares of what works add up to
//! more than 1, all of it is slower by that sum, `max(1, Σf)`. This is the fractional bandwidth
//! requirement of Paldia's and its predecessors' models; it misses contention for caches and launch
//! slots, and says nothing below saturation. A profile has `f` on its most SMs. On fewer the same bytes
//! move in a longer time, so `f` is less by the ratio of the two durations.

use gpumux_core::{BatchId, FunctionId, LaneId, MonoTime};
use std::collections::VecDeque;
use std::time::Duration;

/// A batch's needs on a lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Segments between the copies. With none, and no copies, the batch is over when it has begun.
    pub segments: u32,
    /// Nanoseconds of all of them when nothing else runs.
    pub nanos: f64,
    /// The share of memory bandwidth that they take then.
    pub bandwidth_share: f64,
    /// Nanoseconds of the copy before.
    pub copy_in_nanos: f64,
    /// Nanoseconds of the copy after.
    pub copy_out_nanos: f64,
}

/// Says what batches need.
pub trait Timing {
    /// A batch of a function with so many requests, the longest of that length, on a lane of so many
    /// SMs.
    fn work(&self, function: FunctionId, batch: u32, length: u32, sms: u32) -> Work;
}

/// What runs where.
#[derive(Debug)]
pub(crate) struct Device {
    lanes: Vec<Lane>,
    /// By how much what works is slower than alone.
    slowdown: f64,
}

#[derive(Debug)]
struct Lane {
    sms: u32,
    holder: Option<(BatchId, Work)>,
    /// Segments that were issued and have not begun.
    issued: VecDeque<u32>,
    running: Option<Running>,
    /// Counts the moments that were foretold for this lane: only the last one holds.
    epoch: u64,
}

/// The segment that a lane is at.
#[derive(Clone, Copy, Debug)]
struct Running {
    /// Nanoseconds left at `since`, as if alone.
    left: f64,
    since: MonoTime,
    /// What it takes of the bandwidth: nothing while it copies.
    share: f64,
    copies: bool,
}

/// A moment at which a lane's segment retires, unless another is foretold before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Foretold {
    pub(crate) at: MonoTime,
    pub(crate) lane: LaneId,
    pub(crate) epoch: u64,
}

impl Work {
    /// Segments that the scheduler is told of: those of the work, and the copies.
    pub(crate) fn steps(&self) -> u32 {
        u32::from(self.copy_in_nanos > 0.0) + self.segments + u32::from(self.copy_out_nanos > 0.0)
    }

    /// What one of the steps is.
    fn step(&self, step: u32, now: MonoTime) -> Running {
        let first = u32::from(self.copy_in_nanos > 0.0);
        let copy = |left| Running { left, since: now, share: 0.0, copies: true };
        if step < first {
            copy(self.copy_in_nanos)
        } else if step - first < self.segments {
            let left = self.nanos / f64::from(self.segments);
            Running { left, since: now, share: self.bandwidth_share, copies: false }
        } else {
            copy(self.copy_out_nanos)
        }
    }
}

impl Running {
    fn rate(&self, slowdown: f64) -> f64 {
        if self.copies { 1.0 } else { slowdown }
    }

    /// Takes off what was done until now at the slowdown that was in force.
    fn advance(&mut self, now: MonoTime, slowdown: f64) {
        let done = nanos(now.since(self.since)) / self.rate(slowdown);
        self.left = (self.left - done).max(0.0);
        self.since = now;
    }

    fn ends(&self, slowdown: f64) -> MonoTime {
        let takes = (self.left * self.rate(slowdown)).ceil();
        self.since.after(Duration::from_nanos(whole(takes)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "spans of simulated time are far below 2^53 ns")]
fn nanos(span: Duration) -> f64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX) as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the conversion saturates, and it is rounded already"
)]
fn whole(nanos: f64) -> u64 {
    nanos as u64
}

impl Device {
    pub(crate) fn new(lanes: &[u32]) -> Self {
        let lane = |sms: &u32| Lane {
            sms: *sms,
            holder: None,
            issued: VecDeque::new(),
            running: None,
            epoch: 0,
        };
        Self { lanes: lanes.iter().map(lane).collect(), slowdown: 1.0 }
    }

    pub(crate) fn sms(&self, lane: LaneId) -> u32 {
        self.lanes[lane.index()].sms
    }

    /// A batch takes a lane.
    pub(crate) fn hold(&mut self, lane: LaneId, batch: BatchId, work: Work) {
        let lane = &mut self.lanes[lane.index()];
        lane.holder = Some((batch, work));
        lane.issued.clear();
    }

    /// A segment is put on a lane.
    pub(crate) fn issue(
        &mut self,
        now: MonoTime,
        lane: LaneId,
        segment: u32,
        out: &mut Vec<Foretold>,
    ) {
        let own = &mut self.lanes[lane.index()];
        own.issued.push_back(segment);
        if own.running.is_none() {
            self.begin_next(now, lane);
            self.settle(now, lane, out);
        }
    }

    /// Whether a foretold moment still holds; the batch whose segment retires then.
    pub(crate) fn retires(&self, foretold: Foretold) -> Option<BatchId> {
        let lane = &self.lanes[foretold.lane.index()];
        let holds = lane.epoch == foretold.epoch && lane.running.is_some();
        lane.holder.filter(|_| holds).map(|(batch, _)| batch)
    }

    /// The lane's segment retires, and the next of those that were issued begins.
    pub(crate) fn retire(&mut self, now: MonoTime, lane: LaneId, out: &mut Vec<Foretold>) {
        self.lanes[lane.index()].running = None;
        self.begin_next(now, lane);
        self.settle(now, lane, out);
    }

    /// Nothing more of a lane's batch runs.
    pub(crate) fn clear(&mut self, now: MonoTime, lane: LaneId, out: &mut Vec<Foretold>) {
        let own = &mut self.lanes[lane.index()];
        own.running = None;
        own.issued.clear();
        self.settle(now, lane, out);
    }

    /// The batch is over.
    pub(crate) fn free(&mut self, batch: BatchId) {
        for lane in &mut self.lanes {
            lane.holder = lane.holder.filter(|(holder, _)| *holder != batch);
        }
    }

    fn begin_next(&mut self, now: MonoTime, lane: LaneId) {
        let lane = &mut self.lanes[lane.index()];
        let Some((_, work)) = lane.holder else { return };
        lane.running = lane.issued.pop_front().map(|step| work.step(step, now));
    }

    /// After a change of what runs on a lane: says when its segment ends and, where the slowdown
    /// changed, when those of all lanes do.
    fn settle(&mut self, now: MonoTime, changed: LaneId, out: &mut Vec<Foretold>) {
        let shares = self.lanes.iter().filter_map(|lane| lane.running);
        let slowdown = shares.map(|running| running.share).sum::<f64>().max(1.0);
        let before = std::mem::replace(&mut self.slowdown, slowdown);
        let all_change = before.to_bits() != slowdown.to_bits();
        for (index, lane) in (0u16..).zip(&mut self.lanes) {
            if !all_change && index != changed.0 {
                continue;
            }
            lane.epoch += 1;
            let Some(running) = &mut lane.running else { continue };
            running.advance(now, before);
            let at = running.ends(slowdown);
            out.push(Foretold { at, lane: LaneId(index), epoch: lane.epoch });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(nanos: f64, bandwidth_share: f64) -> Work {
        Work { segments: 1, nanos, bandwidth_share, copy_in_nanos: 0.0, copy_out_nanos: 0.0 }
    }

    fn at(nanos: u64) -> MonoTime {
        MonoTime::from_nanos(nanos)
    }

    /// Runs batches, begun at their moments, each on a lane of its own; says when each is over.
    fn ends(batches: &[(u64, Work)]) -> Vec<u64> {
        let mut device = Device::new(&vec![8; batches.len()]);
        let (mut out, mut ends) = (Vec::new(), vec![0; batches.len()]);
        let mut starts: Vec<(u64, u16)> =
            (0u16..).zip(batches).map(|(lane, (begin, _))| (*begin, lane)).collect();
        starts.sort_unstable();
        let mut starts = starts.into_iter().peekable();
        loop {
            let next = out.iter().copied().filter(|it| device.retires(*it).is_some()).min();
            match (starts.peek().copied(), next) {
                (Some((begin, lane)), next) if next.is_none_or(|next| at(begin) < next.at) => {
                    starts.next();
                    let (id, lane) = (BatchId(u32::from(lane)), LaneId(lane));
                    let work = batches[lane.index()].1;
                    device.hold(lane, id, work);
                    (0..work.steps())
                        .for_each(|step| device.issue(at(begin), lane, step, &mut out));
                }
                (_, Some(next)) => {
                    device.retire(next.at, next.lane, &mut out);
                    ends[next.lane.index()] = next.at.as_nanos();
                }
                (_, None) => return ends,
            }
        }
    }

    #[test]
    fn alone_a_batch_takes_its_time_and_its_copies() {
        assert_eq!(ends(&[(5, work(1000.0, 1.0))]), [1005]);
        let copied =
            Work { copy_in_nanos: 100.0, copy_out_nanos: 50.0, segments: 4, ..work(1000.0, 0.5) };
        assert_eq!(copied.steps(), 6);
        assert_eq!(ends(&[(0, copied)]), [1150]);
    }

    #[test]
    fn bandwidth_is_shared_beyond_the_whole_and_not_below() {
        assert_eq!(ends(&[(0, work(1000.0, 0.5)), (0, work(1000.0, 0.5))]), [1000, 1000]);
        assert_eq!(ends(&[(0, work(1000.0, 1.0)), (0, work(1000.0, 1.0))]), [2000, 2000]);
        assert_eq!(ends(&[(0, work(1000.0, 0.9)), (0, work(1000.0, 0.6))]), [1500, 1500]);
    }

    #[test]
    fn a_change_counts_from_when_it_happens() {
        // Half alone, then both at half the speed until the first is over, then the second alone.
        assert_eq!(ends(&[(0, work(1000.0, 1.0)), (500, work(1000.0, 1.0))]), [1500, 2000]);
    }

    #[test]
    fn copies_are_neither_slowed_nor_slow_others() {
        let copies = Work { copy_in_nanos: 1000.0, ..work(10.0, 1.0) };
        assert_eq!(ends(&[(0, work(1000.0, 1.0)), (0, copies)]), [1000, 1010]);
    }
}
