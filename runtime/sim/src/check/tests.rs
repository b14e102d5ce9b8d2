//! A rule that cannot be broken is worth nothing: each is fed histories that break it, and one that
//! keeps all of them.

use super::*;
use crate::history::Seen;
use gpumux_core::{
    Arrival, BatchId, Ending, Event, FunctionId, FunctionSpec, LaneId, Past, Priority, RequestId,
    Sharing,
};

const B: BatchId = BatchId(0);
const L: LaneId = LaneId(0);
const R: [RequestId; 6] =
    [RequestId(0), RequestId(1), RequestId(2), RequestId(3), RequestId(4), RequestId(5)];

/// Function 0 mixes lengths in two buckets, function 1 does not and has priority; both queue 3 and
/// batch 2.
fn world() -> World {
    let function = |sharing, priority| FunctionSpec {
        buckets: vec![8, 64],
        max_batch: 2,
        max_wait: Duration::ZERO,
        queue: 3,
        sharing,
        priority,
    };
    World {
        functions: vec![
            function(Sharing::AnyLength, Priority::Normal),
            function(Sharing::EqualLength, Priority::High),
        ],
        lanes: vec![4, 4],
        run_ahead: 2,
        inherited: 9,
        policy: "fifo".to_owned(),
    }
}

/// The rule that a history breaks, at its last entry.
fn broken(history: &[(u64, Seen<'_>)]) -> Option<&'static str> {
    // The rule on idle lanes is of histories that are whole; it is looked at by itself.
    broken_of(history, World { policy: "another".to_owned(), ..world() })
}

fn broken_of(history: &[(u64, Seen<'_>)], world: World) -> Option<&'static str> {
    let mut checker = Checker::new(&world);
    for (index, (at, seen)) in history.iter().enumerate() {
        checker.see(MonoTime::from_nanos(*at), *seen);
        let last = index + 1 == history.len();
        assert!(last || checker.broken.is_none(), "before the last: {:?}", checker.broken);
    }
    checker.into_broken().map(|broken| broken.rule)
}

fn arrives_as(request: RequestId, function: u16, length: u32, past: Past) -> Seen<'static> {
    let arrived = MonoTime::ZERO;
    let function = FunctionId(function);
    Seen::Event(Event::Arrived(Arrival { request, function, length, arrived, budget: None, past }))
}

fn arrives(request: RequestId) -> Seen<'static> {
    arrives_as(request, 0, 8, Past::New)
}

/// With a budget of 10 ns.
fn hurries(request: RequestId) -> Seen<'static> {
    Seen::Event(Event::Arrived(Arrival {
        request,
        function: FunctionId(0),
        length: 8,
        arrived: MonoTime::ZERO,
        budget: Some(Duration::from_nanos(10)),
        past: Past::New,
    }))
}

fn begin_on(batch: u32, lane: u16, members: &[RequestId]) -> Seen<'_> {
    Seen::Begin { batch: BatchId(batch), lane: LaneId(lane), function: FunctionId(0), members }
}

fn begin(members: &[RequestId]) -> Seen<'_> {
    begin_on(0, 0, members)
}

fn begun(segments: u32) -> Seen<'static> {
    Seen::Event(Event::Begun { batch: B, segments })
}

fn issue(segment: u32) -> Seen<'static> {
    Seen::Issue { batch: B, lane: L, segment }
}

const TICK: Seen<'static> = Seen::Event(Event::Tick);
const RETIRED: Seen<'static> = Seen::Event(Event::SegmentRetired { batch: B });
const FAILED: Seen<'static> = Seen::Event(Event::Failed { batch: B });
const RELEASE: Seen<'static> = Seen::Release { batch: B };

fn ends(request: RequestId, ending: Ending) -> Seen<'static> {
    Seen::Complete { request, ending }
}

fn done(request: RequestId, queued: u64, ran: u64, batch: u32) -> Seen<'static> {
    let (queued, ran) = (Duration::from_nanos(queued), Duration::from_nanos(ran));
    ends(request, Ending::Done { queued, ran, batch })
}

const FULL: Ending = Ending::QueueFull { retry_after: Duration::ZERO };

#[test]
fn a_history_that_keeps_every_rule_is_let_through() {
    let history = [
        (0, arrives(R[0])),
        (0, begin(&R[..1])),
        (0, begun(3)),
        (0, issue(0)),
        (0, issue(1)),
        (5, RETIRED),
        (5, issue(2)),
        (6, arrives(R[1])),
        (6, begin_on(1, 1, &R[1..2])),
        (6, Seen::Event(Event::Cancelled { request: R[1] })),
        (8, RETIRED),
        (9, RETIRED),
        (9, done(R[0], 0, 9, 1)),
        (9, RELEASE),
        (9, Seen::Event(Event::Failed { batch: BatchId(1) })),
        (9, ends(R[1], Ending::Cancelled)),
        (9, Seen::Release { batch: BatchId(1) }),
        (9, Seen::End),
    ];
    assert_eq!(broken_of(&history, world()), None);
}

#[test]
fn an_outcome_is_missed_and_one_too_many_is_seen() {
    let rule = Some("one outcome");
    assert_eq!(broken(&[(0, arrives(R[0])), (9, Seen::End)]), rule);
    assert_eq!(broken(&[(0, arrives(R[0])), (1, arrives(R[0]))]), rule);
    assert_eq!(broken(&[(0, ends(R[0], Ending::Cancelled))]), rule);
    let cancelled = Seen::Event(Event::Cancelled { request: R[0] });
    let twice = ends(R[0], Ending::Cancelled);
    assert_eq!(broken(&[(0, arrives(R[0])), (1, cancelled), (1, twice), (1, twice)]), rule);
    let forgotten = [(0, arrives(R[0])), (0, begin(&R[..1])), (1, FAILED), (1, RELEASE)];
    assert_eq!(broken(&forgotten), rule);
    // After a halt what did not begin may stay without one, what began may not.
    let halt = Seen::Event(Event::Halt);
    assert_eq!(broken(&[(0, arrives(R[0])), (1, halt), (1, Seen::End)]), None);
    let ran = [(0, arrives(R[0])), (0, begin(&R[..1])), (1, halt), (1, Seen::End)];
    assert_eq!(broken(&ran), rule);
}

#[test]
fn an_outcome_that_is_not_what_happened_is_seen() {
    let rule = Some("endings");
    let one = R[0];
    assert_eq!(broken(&[(0, arrives(one)), (0, ends(one, Ending::Cancelled))]), rule);
    assert_eq!(broken(&[(0, arrives(one)), (0, ends(one, Ending::DeviceFailed))]), rule);
    assert_eq!(broken(&[(0, arrives(one)), (0, done(one, 0, 0, 1))]), rule);
    assert_eq!(broken(&[(0, arrives(one)), (1, TICK), (1, ends(one, FULL))]), rule);
    let begun = [(2, arrives(one)), (2, begin(&R[..1])), (2, begun(0))];
    let after = |seen| [begun.as_slice(), &[(2, seen)]].concat();
    assert_eq!(broken(&after(done(one, 2, 0, 1))), None);
    for wrong in [
        done(one, 1, 0, 1),
        done(one, 2, 1, 1),
        done(one, 2, 0, 2),
        ends(one, Ending::DeviceFailed),
        ends(one, Ending::Cancelled),
        ends(one, Ending::DeadlineMissed),
    ] {
        assert_eq!(broken(&after(wrong)), rule, "{wrong:?}");
    }
    let running = [(0, arrives(one)), (0, begin(&R[..1]))];
    let early = [running.as_slice(), &[(1, done(one, 0, 1, 1))]].concat();
    assert_eq!(broken(&early), rule);
    let failed = [running.as_slice(), &[(1, FAILED), (1, done(one, 0, 1, 1))]].concat();
    assert_eq!(broken(&failed), rule);
}

#[test]
fn a_queue_that_holds_too_much_or_refuses_too_soon_is_seen() {
    let rule = Some("queue bound");
    let mut history: Vec<(u64, Seen<'_>)> = R[..3].iter().map(|it| (0, arrives(*it))).collect();
    history.push((0, TICK));
    assert_eq!(broken(&history), None);
    let full = [history.as_slice(), &[(0, arrives(R[3])), (0, ends(R[3], FULL))]].concat();
    assert_eq!(broken(&full), None);
    let over = [history.as_slice(), &[(0, arrives(R[3])), (0, TICK)]].concat();
    assert_eq!(broken(&over), rule);
    assert_eq!(broken(&[(0, arrives(R[0])), (0, ends(R[0], FULL))]), rule);
}

#[test]
fn segments_out_of_order_or_beyond_run_ahead_are_seen() {
    let rule = Some("run-ahead");
    let begun = [(0, arrives(R[0])), (0, begin(&R[..1])), (0, begun(4)), (0, issue(0))];
    let after = |more: &[(u64, Seen<'static>)]| broken(&[begun.as_slice(), more].concat());
    assert_eq!(after(&[(0, issue(1))]), None);
    assert_eq!(after(&[(0, issue(1)), (0, issue(2))]), rule);
    assert_eq!(after(&[(0, issue(0))]), rule);
    assert_eq!(after(&[(0, issue(2))]), rule);
    assert_eq!(after(&[(0, Seen::Issue { batch: B, lane: LaneId(1), segment: 1 })]), rule);
    assert_eq!(after(&[(0, Seen::Issue { batch: BatchId(3), lane: L, segment: 1 })]), rule);
    // Nothing stands in the way of the second.
    assert_eq!(after(&[(0, TICK)]), rule);
    let beyond = [(0, issue(1)), (1, RETIRED), (1, issue(2)), (2, RETIRED), (2, issue(3))];
    assert_eq!(after(&[beyond.as_slice(), &[(3, RETIRED), (3, issue(4))]].concat()), rule);
    assert_eq!(broken(&[(0, arrives(R[0])), (0, begin(&R[..1])), (0, issue(0))]), rule);
}

#[test]
fn a_lane_that_two_hold_or_that_is_not_there_is_seen() {
    let rule = Some("lanes");
    let two = [(0, arrives(R[0])), (0, begin(&R[..1])), (0, arrives(R[1]))];
    let then = |seen| broken(&[two.as_slice(), &[(0, seen)]].concat());
    assert_eq!(then(begin_on(1, 1, &R[1..2])), None);
    assert_eq!(then(begin_on(1, 0, &R[1..2])), rule);
    assert_eq!(then(begin_on(1, 2, &R[1..2])), rule);
    assert_eq!(then(begin_on(0, 1, &R[1..2])), rule);
    assert_eq!(then(Seen::Release { batch: BatchId(1) }), rule);
    let kept = [(0, FAILED), (0, ends(R[0], Ending::DeviceFailed))];
    assert_eq!(broken(&[two.as_slice(), &kept, &[(1, TICK)]].concat()), rule);
}

#[test]
fn a_batch_of_what_may_not_run_together_is_seen() {
    let rule = Some("batches");
    let many = [
        (0, arrives(R[0])),
        (0, arrives_as(R[1], 0, 9, Past::New)),
        (0, arrives_as(R[2], 1, 3, Past::New)),
        (0, arrives_as(R[3], 1, 4, Past::New)),
        (0, arrives(R[4])),
    ];
    let of = |function: u16, members: &[RequestId]| {
        let (batch, lane, function) = (B, L, FunctionId(function));
        broken(&[many.as_slice(), &[(0, Seen::Begin { batch, lane, function, members })]].concat())
    };
    assert_eq!(of(0, &[R[0], R[4]]), None);
    assert_eq!(of(0, &[]), rule);
    assert_eq!(of(0, &[R[0], R[4], R[1]]), rule, "more than fit");
    assert_eq!(of(0, &[R[0], R[1]]), rule, "of two buckets");
    assert_eq!(of(0, &[R[0], R[0]]), rule, "one twice");
    assert_eq!(of(0, &[R[0], R[2]]), rule, "of two functions");
    assert_eq!(of(1, &[R[2], R[3]]), rule, "of two lengths");
    assert_eq!(of(0, &[R[5]]), rule, "one that is not open");
    let ended =
        [(0, Seen::Event(Event::Cancelled { request: R[0] })), (0, ends(R[0], Ending::Cancelled))];
    let dead = [many.as_slice(), &ended, &[(0, begin(&R[..1]))]].concat();
    assert_eq!(broken(&dead), rule, "one that ended");
    let running = [(0, begin(&R[..1])), (0, begin_on(1, 1, &R[..1]))];
    assert_eq!(broken(&[many.as_slice(), &running].concat()), rule, "one that runs");
}

#[test]
fn a_deadline_that_is_acted_on_early_or_late_is_seen() {
    let rule = Some("deadlines");
    let missed = ends(R[0], Ending::DeadlineMissed);
    assert_eq!(broken(&[(0, hurries(R[0])), (10, TICK), (10, missed)]), None);
    assert_eq!(broken(&[(0, hurries(R[0])), (9, TICK), (9, missed)]), rule);
    assert_eq!(broken(&[(0, hurries(R[0])), (11, TICK)]), rule);
    assert_eq!(broken(&[(0, arrives(R[0])), (11, TICK), (11, missed)]), rule);
    assert_eq!(broken(&[(0, hurries(R[0])), (9, begin(&R[..1]))]), None);
    assert_eq!(broken(&[(0, hurries(R[0])), (10, begin(&R[..1]))]), rule);
}

#[test]
fn what_begins_or_is_admitted_after_a_stop_is_seen() {
    let rule = Some("stops");
    let halt = Seen::Event(Event::Halt);
    assert_eq!(broken(&[(0, arrives(R[0])), (0, halt), (0, begin(&R[..1]))]), rule);
    let drain = Seen::Event(Event::Drain);
    let refused = ends(R[0], Ending::Draining);
    assert_eq!(broken(&[(0, drain), (0, arrives(R[0])), (0, refused), (0, TICK)]), None);
    assert_eq!(broken(&[(0, drain), (0, arrives(R[0])), (0, TICK)]), rule);
    assert_eq!(broken(&[(0, arrives(R[0])), (0, refused)]), rule);
    let innocent = arrives_as(R[0], 0, 8, Past::Innocent);
    let recovered = Seen::Event(Event::Recovered);
    assert_eq!(broken(&[(0, innocent), (0, recovered), (0, begin(&R[..1]))]), None);
    assert_eq!(broken(&[(0, innocent), (0, begin(&R[..1]))]), rule);
}

#[test]
fn a_trial_that_is_not_alone_is_seen() {
    let rule = Some("trials");
    let recovered = Seen::Event(Event::Recovered);
    let suspect = |request, trial| (0, arrives_as(request, 0, 8, Past::Suspect { trial }));
    let innocent = |function| (0, arrives_as(R[2], function, 8, Past::Innocent));
    let two = [suspect(R[0], 0), suspect(R[1], 1)];
    let then = |more: &[(u64, Seen<'static>)], members| {
        broken(&[two.as_slice(), more, &[(0, recovered), (0, begin(members))]].concat())
    };
    assert_eq!(then(&[], &R[..1]), None);
    // Of the same function: it waits for the trials.
    assert_eq!(then(&[innocent(0)], &R[..1]), None);
    assert_eq!(then(&[innocent(0)], &R[2..3]), rule);
    assert_eq!(then(&[innocent(1)], &R[..1]), rule);
    assert_eq!(then(&[], &R[..2]), Some("batches"));
    let beside = [(0, recovered), (0, begin(&R[..1])), (0, begin_on(1, 1, &R[1..2]))];
    assert_eq!(broken(&[two.as_slice(), &beside].concat()), rule);
}

#[test]
fn a_lane_that_is_idle_while_somebody_waits_is_seen() {
    let rule = Some("idle lanes");
    let history = [(0, arrives(R[0])), (0, TICK)];
    assert_eq!(broken_of(&history, world()), rule);
    assert_eq!(broken(&history), None, "a policy may wait where it does not promise not to");
    let one_waits = [
        (0, arrives(R[0])),
        (0, begin(&R[..1])),
        (0, arrives(R[1])),
        (0, begin_on(1, 1, &R[1..2])),
        (0, arrives(R[2])),
        (0, TICK),
    ];
    assert_eq!(broken_of(&one_waits, world()), None);
}

#[test]
fn a_batch_before_a_higher_priority_is_seen() {
    let one_lane = |policy: &str| World { lanes: vec![4], policy: policy.to_owned(), ..world() };
    let until_free = [
        (0, arrives(R[0])),
        (0, begin(&R[..1])),
        (0, arrives(R[1])),
        (0, arrives_as(R[2], 1, 8, Past::New)),
        (0, begun(0)),
        (0, done(R[0], 0, 0, 1)),
        (0, RELEASE),
    ];
    let then =
        |next, policy| broken_of(&[&until_free[..], &[(0, next)]].concat(), one_lane(policy));
    let (batch, lane) = (BatchId(1), L);
    let high = Seen::Begin { batch, lane, function: FunctionId(1), members: &R[2..3] };
    assert_eq!(then(begin_on(1, 0, &R[1..2]), "sequoia-priority"), Some("priorities"));
    assert_eq!(then(high, "sequoia-priority"), None);
    assert_eq!(then(begin_on(1, 0, &R[1..2]), "fifo"), None, "which does not promise it");
}

#[test]
fn a_tick_that_is_asked_for_at_once_is_seen() {
    let wake_at = |nanos| Seen::WakeAt(MonoTime::from_nanos(nanos));
    assert_eq!(broken(&[(5, TICK), (5, wake_at(6))]), None);
    assert_eq!(broken(&[(5, TICK), (5, wake_at(5))]), Some("wake-ups"));
}
