//! Requests that run on the device: what comes back, and what becomes of those that must wait.

use gpumux_shim::{ChannelSize, Function, Outcome, Pending, Reason, SubmitOptions};
use gpumux_tests::{Daemon, Peer};
use std::time::Duration;

const SIZE: ChannelSize = ChannelSize { slots: 256, arena_bytes: 4 << 20 };

/// An echo that runs one request at a time, so that all others wait.
const NARROW: (&str, &str) =
    ("echo", "model = \"builtin:echo\"\nlength = { max = 4096 }\nmax_batch = 1\nqueue = 3\n");
const WIDE: (&str, &str) =
    ("echo", "model = \"builtin:echo\"\nlength = { max = 4096 }\nmax_batch = 16\nqueue = 512\n");
/// The same bytes without a device.
const RETURN: (&str, &str) = (
    "null",
    "model = \"builtin:null\"\noutputs = [\"data\"]\nlength = { max = 4096 }\nmax_batch = 16\nqueue = 512\n",
);

fn submit(function: &Function, bytes: &[u8], options: SubmitOptions) -> Pending {
    let length = u32::try_from(bytes.len()).expect("a short request");
    let mut request = function.request(length).expect("a free slot");
    request.input_mut::<u8>("data").expect("its input").copy_from_slice(bytes);
    request.submit(options).expect("an open channel")
}

#[test]
fn bytes_come_back_from_the_device() {
    let daemon = Daemon::start(&[WIDE]);
    let status = daemon.status();
    assert!(status.devices[0].emulated && status.devices[0].sms > 0);
    let function = daemon.connect().open("echo", SIZE).unwrap();
    for length in [1, 15, 16, 17, 1000, 4096] {
        let bytes: Vec<u8> = (0..length).map(|index: u32| index.to_le_bytes()[0] ^ 0x5a).collect();
        let reply = submit(&function, &bytes, SubmitOptions::default()).wait().unwrap();
        assert_eq!(reply.outcome(), Outcome::Done);
        assert_eq!(reply.output::<u8>("data").unwrap(), bytes);
        assert_eq!(reply.dims("data").unwrap(), [length]);
    }
}

#[test]
fn requests_of_unlike_length_share_a_batch_and_keep_their_bytes() {
    let daemon = Daemon::start(&[WIDE, RETURN]);
    assert_eq!(largest_batch(&daemon, WIDE.0), 16, "what waits together runs together");
    // Without launches a batch is over as soon as it began, so the next request finds the lane free.
    assert_eq!(largest_batch(&daemon, RETURN.0), 1);
}

/// Sends requests of unlike lengths together, checks their bytes, and says how many shared a batch.
fn largest_batch(daemon: &Daemon, name: &str) -> u32 {
    let function = daemon.connect().open(name, SIZE).expect("it is served");
    let bytes = |index: u8| vec![index; 1 + usize::from(index) * 37];
    let pending: Vec<Pending> = daemon.at_once(|| {
        (0..50).map(|index| submit(&function, &bytes(index), SubmitOptions::default())).collect()
    });
    let mut largest = 0;
    for (index, pending) in (0..).zip(pending) {
        let reply = pending.wait().expect("a live daemon");
        assert_eq!(reply.outcome(), Outcome::Done);
        assert_eq!(reply.output::<u8>("data").expect("its output"), bytes(index));
        largest = largest.max(reply.batch());
    }
    largest
}

#[test]
fn a_full_queue_refuses_with_its_reason_and_loses_nothing() {
    let daemon = Daemon::start(&[NARROW]);
    let function = daemon.connect().open("echo", SIZE).unwrap();
    let pending: Vec<Pending> = daemon.at_once(|| {
        (0..100).map(|_| submit(&function, &[7; 4096], SubmitOptions::default())).collect()
    });
    let (mut done, mut refused) = (0, 0);
    for pending in pending {
        match pending.wait().unwrap().outcome() {
            Outcome::Done => done += 1,
            Outcome::Refused(refusal) => {
                assert_eq!(refusal.reason, Reason::QueueFull);
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(done >= 4 && refused > 0, "{done} done, {refused} refused");
    assert_eq!(done + refused, 100);
    let status = daemon.status();
    assert_eq!(status.functions[0].outcomes.refused, refused);
    assert_eq!(status.functions[0].refusals[0].reason, "queue_full");
}

#[test]
fn a_cancelled_request_ends_as_cancelled_and_its_neighbours_do_not() {
    let narrow = ("echo", NARROW.1.replace("queue = 3", "queue = 300"));
    let daemon = Daemon::start(&[(narrow.0, &narrow.1)]);
    let function = daemon.connect().open("echo", SIZE).unwrap();
    let pending: Vec<Pending> = daemon.at_once(|| {
        let pending: Vec<_> =
            (0..100).map(|_| submit(&function, &[1; 4096], SubmitOptions::default())).collect();
        pending.iter().skip(1).step_by(2).for_each(Pending::cancel);
        pending
    });
    let mut cancelled = 0;
    for (index, pending) in pending.into_iter().enumerate() {
        match pending.wait().unwrap().outcome() {
            Outcome::Done => (),
            Outcome::Cancelled => {
                assert_eq!(index % 2, 1, "request {index} was not cancelled by anybody");
                cancelled += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(cancelled > 0, "cancellations overtook what waited");
}

#[test]
fn cancellations_leave_room_for_submissions() {
    let daemon = Daemon::start(&[WIDE]);
    let size = ChannelSize { slots: 2, arena_bytes: 1 << 16 };
    let function = daemon.connect().open("echo", size).unwrap();
    for round in 0..500u32 {
        let bytes = round.to_le_bytes();
        // The worker reads the ring when it likes; each time it has more to read than the last.
        let cancelled: Vec<Pending> =
            (0..2).map(|_| submit(&function, &bytes, SubmitOptions::default())).collect();
        (0..8).for_each(|_| cancelled.iter().for_each(Pending::cancel));
        for pending in cancelled {
            assert!(matches!(
                pending.wait().unwrap().outcome(),
                Outcome::Done | Outcome::Cancelled
            ));
        }
        let reply = submit(&function, &bytes, SubmitOptions::default()).wait().unwrap();
        assert_eq!(reply.output::<u8>("data").unwrap(), bytes);
    }
}

#[test]
fn a_dropped_request_gives_its_slot_back() {
    let daemon = Daemon::start(&[WIDE]);
    let size = ChannelSize { slots: 4, arena_bytes: 1 << 16 };
    let function = daemon.connect().open("echo", size).unwrap();
    for round in 0..200u32 {
        let bytes = round.to_le_bytes();
        // Slots come back when the worker answers, so a full channel is waited out by a reply.
        let Ok(mut request) = function.request(4) else { continue };
        request.input_mut::<u8>("data").unwrap().copy_from_slice(&bytes);
        let pending = request.submit(SubmitOptions::default()).unwrap();
        if round % 3 == 0 {
            drop(pending);
        } else {
            let reply = pending.wait().unwrap();
            assert_eq!(reply.output::<u8>("data").unwrap(), bytes);
        }
    }
}

#[test]
fn a_budget_that_passes_in_the_queue_is_a_missed_deadline() {
    let narrow = ("echo", NARROW.1.replace("queue = 3", "queue = 300"));
    let daemon = Daemon::start(&[(narrow.0, &narrow.1)]);
    let function = daemon.connect().open("echo", SIZE).unwrap();
    let hurried = SubmitOptions { budget: Some(Duration::from_micros(1)) };
    let patient = SubmitOptions { budget: Some(Duration::from_secs(3600)) };
    let pending: Vec<Pending> = daemon.at_once(|| {
        (0..100)
            .map(|index| submit(&function, &[1; 64], if index < 90 { hurried } else { patient }))
            .collect()
    });
    let mut missed = 0;
    for (index, pending) in pending.into_iter().enumerate() {
        match pending.wait().unwrap().outcome() {
            Outcome::Done => (),
            Outcome::DeadlineMissed => {
                assert!(index < 90, "request {index} had time");
                missed += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(missed > 0, "a microsecond is not enough for ninety launches");
    assert_eq!(daemon.status().functions[0].outcomes.deadline_missed, missed);
}

#[test]
fn two_peers_one_killed_and_the_other_complete() {
    let daemon = Daemon::start(&[WIDE]);
    let mut victim = Peer::start(&daemon, "echo", 0, 64);
    let mut survivor = Peer::start(&daemon, "echo", 2_000, 16);
    assert_eq!(victim.line(), "started");
    assert_eq!(survivor.line(), "started");
    victim.kill();
    assert_eq!(survivor.line(), "done 2000");
    assert!(survivor.succeeded());
    daemon.await_status(|status| status.sessions.is_empty() && status.functions[0].channels == 0);
}

#[test]
fn a_daemon_that_drains_answers_what_it_admitted() {
    let mut daemon = Daemon::start(&[WIDE]);
    let function = daemon.connect().open("echo", SIZE).unwrap();
    let pending: Vec<Pending> = daemon.at_once(|| {
        let pending =
            (0..40).map(|_| submit(&function, &[9; 512], SubmitOptions::default())).collect();
        daemon.terminate();
        pending
    });
    for pending in pending {
        match pending.wait().unwrap().outcome() {
            Outcome::Done => (),
            // The word to drain may reach the worker before it has read a slot.
            Outcome::Refused(refusal) => assert_eq!(refusal.reason, Reason::Draining),
            other => panic!("{other:?}"),
        }
    }
    assert!(daemon.wait().success());
}
