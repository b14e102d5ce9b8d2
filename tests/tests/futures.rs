//! Requests as futures: under executors of several kinds, beside threads and loops that wait for
//! requests of the same functions, over restarts of the daemon. No wake-up is lost: each request is
//! answered once, or a test here never ends.

use gpumux_shim::{ChannelSize, Function, Outcome, Pending, Reply, SubmitOptions, WaitError};
use gpumux_tests::Daemon;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

const ECHO: (&str, &str) = ("echo", "model = \"builtin:echo\"\nlength = { max = 1024 }\n");
const SIZE: ChannelSize = ChannelSize { slots: 256, arena_bytes: 4 << 20 };
/// Replays a run of `every_way_of_waiting_at_once_over_restarts`.
const SEED: &str = "GPUMUX_TEST_SEED";

/// Bytes that no other number has.
fn pattern(number: u64) -> Vec<u8> {
    let length = 8 + number % 500;
    (0..length).map(|index| (number * 31 + index * 7 + number / 250).to_le_bytes()[0]).collect()
}

fn submit_within(function: &Function, number: u64, budget: Option<Duration>) -> Pending {
    let data = pattern(number);
    let length = u32::try_from(data.len()).expect("short");
    let mut request = function.request(length).expect("a slot");
    request.input_mut::<u8>("data").expect("its input").copy_from_slice(&data);
    request.submit(SubmitOptions { budget }).expect("the channel lives")
}

fn submit(function: &Function, number: u64) -> Pending {
    submit_within(function, number, None)
}

fn check(reply: &Reply, number: u64) {
    assert_eq!(reply.outcome(), Outcome::Done, "request {number}");
    let found = reply.output::<u8>("data").expect("its output");
    assert_eq!(found, pattern(number), "request {number}");
}

/// Wakes a thread that is parked.
struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn waker() -> Waker {
    Waker::from(Arc::new(Parked(std::thread::current())))
}

/// The smallest executor: a thread that parks.
fn block_on<F: Future>(future: F) -> F::Output {
    let (mut future, waker) = (pin!(future), waker());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

/// All of these requests, each checked as it ends.
struct All(Vec<(Pending, u64)>);

impl Future for All {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.retain_mut(|(pending, number)| match Pin::new(pending).poll(context) {
            Poll::Ready(reply) => {
                check(&reply.expect("it ends"), *number);
                false
            }
            Poll::Pending => true,
        });
        if self.0.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime")
}

fn threads_named(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("our threads");
    let names =
        tasks.flatten().filter_map(|it| std::fs::read_to_string(it.path().join("comm")).ok());
    names.filter(|comm| comm.trim_end() == name).count()
}

#[test]
fn a_future_needs_no_runtime() {
    let daemon = Daemon::start(&[ECHO]);
    let function = daemon.connect().open("echo", SIZE).unwrap();
    for number in 0..200 {
        check(&block_on(submit(&function, number)).unwrap(), number);
    }
    block_on(All((0..200).map(|number| (submit(&function, number), number)).collect()));
    assert_eq!(threads_named("gpumux-attend"), 1, "one thread a session looks for them");
    drop(function);
    // It holds nothing that keeps the session, and ends with it.
    while threads_named("gpumux-attend") > 0 {
        std::thread::yield_now();
    }
    daemon.await_status(|status| status.sessions.is_empty());
}

#[test]
fn a_tokio_runtime_waits_by_its_own_driver() {
    let daemon = Daemon::start(&[ECHO]);
    let function = daemon.connect().open("echo", SIZE).unwrap();
    let runtime = runtime();
    runtime.block_on(async {
        for number in 0..200 {
            check(&submit(&function, number).await.unwrap(), number);
        }
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..200 {
            let pending = submit(&function, number);
            tasks.spawn(async move { check(&pending.await.unwrap(), number) });
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
    });
    assert_eq!(threads_named("gpumux-attend"), 0, "no thread of ours was needed");
}

#[test]
fn a_reply_is_taken_once() {
    let daemon = Daemon::start(&[ECHO]);
    let function = daemon.connect().open("echo", SIZE).unwrap();
    let mut pending = submit(&function, 1);
    check(&block_on(&mut pending).unwrap(), 1);
    assert_eq!(pending.try_wait().unwrap_err(), WaitError::Taken);
    assert_eq!(block_on(&mut pending).unwrap_err(), WaitError::Taken);
    assert_eq!(pending.wait().unwrap_err(), WaitError::Taken);
}

#[test]
fn waiting_for_a_while_leaves_the_request_in_flight() {
    let daemon = Daemon::start(&[ECHO]);
    let function = daemon.connect().open("echo", SIZE).unwrap();
    let mut pending = daemon.at_once(|| {
        let mut pending = submit(&function, 1);
        for span in [Duration::ZERO, Duration::from_millis(5)] {
            assert!(pending.wait_for(span).unwrap().is_none());
        }
        assert!(pending.try_wait().unwrap().is_none());
        pending
    });
    let reply = pending.wait_for(Duration::MAX).unwrap();
    check(&reply.expect("it waits for as long as it takes"), 1);
}

#[test]
fn dropping_a_future_cancels_its_request() {
    let daemon = Daemon::start(&[ECHO]);
    let function = daemon.connect().open("echo", SIZE).unwrap();
    let kept = daemon.at_once(|| {
        let mut pending: Vec<_> = (0..8).map(|number| submit(&function, number)).collect();
        for pending in &mut pending {
            let waker = waker();
            let polled = Pin::new(pending).poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
        }
        pending[1].cancel();
        pending.truncate(2);
        pending
    });
    let [first, second]: [Pending; 2] = kept.try_into().unwrap();
    check(&block_on(first).unwrap(), 0);
    assert_eq!(block_on(second).unwrap().outcome(), Outcome::Cancelled);
    let status = daemon.await_status(|status| status.functions[0].outcomes.cancelled == 7);
    assert_eq!(status.functions[0].outcomes.done, 1);
}

#[test]
fn a_runtime_that_ends_leaves_what_waits_to_the_session() {
    let daemon = Daemon::start(&[ECHO]);
    let function = daemon.connect().open("echo", SIZE).unwrap();
    let mut pending = daemon.at_once(|| {
        let runtime = runtime();
        let context = runtime.enter();
        let mut pending = submit(&function, 1);
        let waker = waker();
        assert!(Pin::new(&mut pending).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(context);
        drop(runtime);
        pending
    });
    // It is not polled again before it wakes this thread.
    std::thread::park();
    check(&block_on(&mut pending).unwrap(), 1);
}

#[test]
fn a_deadline_wakes_a_future_while_nobody_serves() {
    let mut daemon = Daemon::start(&[ECHO]);
    let function = daemon.connect().open("echo", SIZE).unwrap();
    let worker = daemon.stop_worker();
    let short = submit_within(&function, 1, Some(Duration::from_millis(50)));
    let inside = submit_within(&function, 2, Some(Duration::from_millis(60)));
    let long = submit(&function, 3);
    daemon.crash(worker);
    assert_eq!(block_on(short).unwrap().outcome(), Outcome::DeadlineMissed);
    assert_eq!(runtime().block_on(inside).unwrap().outcome(), Outcome::DeadlineMissed);
    let waits = std::thread::spawn(move || check(&block_on(long).unwrap(), 3));
    daemon.restart(&[ECHO]);
    waits.join().unwrap();
}

/// Waits as a loop outside of the crate does.
fn by_readiness(function: &Function, mut waiting: Vec<(Pending, u64)>) {
    let readiness = function.readiness().expect("a descriptor");
    loop {
        readiness.arm().expect("it arms");
        waiting.retain_mut(|(pending, number)| match pending.try_wait().expect("it ends") {
            Some(reply) => {
                check(&reply, *number);
                false
            }
            None => true,
        });
        if waiting.is_empty() {
            return;
        }
        let mut ends = [PollFd::new(readiness.as_fd(), PollFlags::POLLIN)];
        poll(&mut ends, PollTimeout::NONE).expect("a poll");
    }
}

/// Waits for a burst in a way of the seed's choice.
fn wait_somehow(function: &Function, mut burst: Vec<(Pending, u64)>, random: &mut StdRng) {
    match random.random_range(0..6) {
        0 => burst.into_iter().for_each(|(it, number)| check(&it.wait().expect("it ends"), number)),
        1 => block_on(All(burst)),
        2 => runtime().block_on(All(burst)),
        3 => by_readiness(function, burst),
        4 => {
            // Polled once by one who then waits otherwise.
            let waker = waker();
            for (pending, _) in &mut burst {
                let polled = Pin::new(pending).poll(&mut Context::from_waker(&waker));
                if let Poll::Ready(reply) = polled {
                    drop(reply.expect("it ends"));
                }
            }
            for (mut pending, number) in burst {
                match pending.wait_for(Duration::from_secs(3600)) {
                    Ok(reply) => check(&reply.expect("an hour is long"), number),
                    Err(error) => assert_eq!(error, WaitError::Taken),
                }
            }
        }
        _ => {
            for (mut pending, number) in burst {
                let span = Duration::from_micros(random.random_range(0..300));
                match pending.wait_for(span).expect("it ends") {
                    Some(reply) => check(&reply, number),
                    None => check(&block_on(pending).expect("it ends"), number),
                }
            }
        }
    }
}

#[test]
fn every_way_of_waiting_at_once_over_restarts() {
    let seed = match std::env::var(SEED) {
        Ok(seed) => seed.parse().expect("a number"),
        Err(_) => rand::random::<u64>(),
    };
    println!("replay with {SEED}={seed}");
    let mut daemon = Daemon::start(&[ECHO]);
    let sessions = [daemon.connect(), daemon.connect()];
    let functions = sessions.each_ref().map(|session| session.open("echo", SIZE).unwrap());
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..6u64 {
            let function = &functions[usize::from(thread % 3 == 0)];
            let (stop, answered) = (&stop, &answered);
            scope.spawn(move || {
                let mut random = StdRng::seed_from_u64(seed.wrapping_add(thread));
                let mut number = thread * 1_000_000;
                while !stop.load(Ordering::Relaxed) {
                    let count = random.random_range(1..12);
                    let mut burst: Vec<_> =
                        (number..number + count).map(|it| (submit(function, it), it)).collect();
                    number += count;
                    if random.random_bool(0.2) {
                        // Somebody loses interest.
                        burst.pop();
                    }
                    wait_somehow(function, burst, &mut random);
                    answered.fetch_add(count, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..3 {
            let before = answered.load(Ordering::Relaxed);
            while answered.load(Ordering::Relaxed) < before + 1500 {
                std::thread::yield_now();
            }
            let worker = daemon.worker();
            daemon.crash(worker);
            daemon.restart(&[ECHO]);
        }
        let before = answered.load(Ordering::Relaxed);
        while answered.load(Ordering::Relaxed) < before + 1500 {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
    });
}
