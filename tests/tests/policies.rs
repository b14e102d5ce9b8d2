//! What runs next, under each policy that a daemon can be started with.

use gpumux_shim::{ChannelSize, Function, Outcome, Pending, SubmitOptions};
use gpumux_tests::{Daemon, Options};
use std::time::Duration;

/// Long enough that the device is at one request for longer than it takes to see that.
const LENGTH: u32 = 1 << 16;
const SIZE: ChannelSize = ChannelSize { slots: 64, arena_bytes: 1 << 24 };

fn function(priority: &str) -> String {
    format!(
        "model = \"builtin:echo\"\nlength = {{ max = {LENGTH} }}\nmax_batch = 1\n[service]\n\
         priority = \"{priority}\"\n"
    )
}

fn submit(function: &Function) -> Pending {
    let mut request = function.request(LENGTH).expect("a slot");
    request.input_mut::<u8>("data").expect("its input").fill(7);
    request.submit(SubmitOptions::default()).expect("the channel lives")
}

fn queued(pending: Vec<Pending>) -> Vec<Duration> {
    let reply = |pending: Pending| {
        let reply = pending.wait().expect("it ends");
        assert_eq!(reply.outcome(), Outcome::Done);
        reply.queued()
    };
    pending.into_iter().map(reply).collect()
}

/// How long requests of a low and of a high priority waited that a worker found at once.
fn waits(policy: &str) -> (Vec<Duration>, Vec<Duration>) {
    let arguments = vec![format!("--policy={policy}")];
    let options = Options { arguments, ..Options::default() };
    let (low, high) = (function("low"), function("high"));
    let daemon = Daemon::start_with(&[("bulk", &low), ("urgent", &high)], &options);
    let session = daemon.connect();
    // The channel that was opened first is read first.
    let open = |name| session.open(name, SIZE).expect("it is served");
    let (bulk, urgent) = (open("bulk"), open("urgent"));
    let (bulk, urgent) = daemon.at_once(|| {
        let bulk: Vec<_> = (0..20).map(|_| submit(&bulk)).collect();
        let urgent: Vec<_> = (0..5).map(|_| submit(&urgent)).collect();
        (bulk, urgent)
    });
    assert_eq!(daemon.status().devices[0].policy, policy);
    (queued(bulk), queued(urgent))
}

#[test]
fn strict_priority_lets_the_urgent_go_first() {
    let (bulk, urgent) = waits("sequoia-priority");
    let latest = urgent.iter().max().expect("there are some");
    // The first of the others had the lane before anything urgent was read.
    assert!(bulk[1..].iter().all(|wait| wait >= latest), "{urgent:?} and {bulk:?}");
    assert!(bulk[19] > *latest, "{urgent:?} and {bulk:?}");
}

#[test]
fn fifo_goes_by_age_alone() {
    let (bulk, urgent) = waits("fifo");
    let first = urgent.iter().min().expect("there are some");
    assert!(bulk.iter().all(|wait| wait <= first), "{urgent:?} and {bulk:?}");
    assert!(bulk[0] < *first, "{urgent:?} and {bulk:?}");
}
