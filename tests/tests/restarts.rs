//! A daemon dies and another takes its place: peers keep their sessions, their channels and what
//! they had submitted, and every request has exactly one outcome.

use gpumux_shim::{
    ChannelSize, Function, OpenRefusal, Outcome, Pending, Reason, Refusal, ReopenError, Request,
    Session, SessionOptions, SubmitError, SubmitOptions,
};
use gpumux_tests::{Daemon, Options};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::getpgid;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const ECHO: (&str, &str) = ("echo", "model = \"builtin:echo\"\nlength = { max = 1024 }\n");
const NULL: (&str, &str) = ("null", "model = \"builtin:null\"\nlength = { max = 1024 }\n");
const SIZE: ChannelSize = ChannelSize { slots: 64, arena_bytes: 1 << 20 };
const RESTARTED: Outcome = Outcome::Refused(Refusal::because(Reason::Restarted));

/// Bytes that no other number has.
fn pattern(number: u64) -> Vec<u8> {
    let length = 8 + number % 500;
    (0..length).map(|index| (number * 31 + index * 7 + number / 250).to_le_bytes()[0]).collect()
}

fn filled(function: &Function, number: u64) -> Request {
    let data = pattern(number);
    let mut request = function.request(u32::try_from(data.len()).expect("short")).expect("a slot");
    request.input_mut::<u8>("data").expect("its input").copy_from_slice(&data);
    request
}

fn submit(function: &Function, number: u64) -> Pending {
    filled(function, number).submit(SubmitOptions::default()).expect("the channel lives")
}

fn within(function: &Function, number: u64, budget: Duration) -> Pending {
    filled(function, number)
        .submit(SubmitOptions { budget: Some(budget) })
        .expect("the channel lives")
}

/// Waits for a request and sees that what came back is what was sent.
fn expect_echo(pending: Pending, number: u64) {
    let reply = pending.wait().expect("it ends");
    assert_eq!(reply.outcome(), Outcome::Done, "request {number}");
    assert_eq!(
        reply.output::<u8>("data").expect("its output"),
        pattern(number),
        "request {number}"
    );
}

#[test]
fn what_was_not_answered_is_answered_by_the_next_daemon() {
    let mut daemon = Daemon::start(&[ECHO]);
    let sessions = [daemon.connect(), daemon.connect()];
    let functions = sessions.each_ref().map(|session| session.open("echo", SIZE).unwrap());
    let read = submit(&functions[0], 1000).wait().unwrap();
    let worker = daemon.stop_worker();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let function = &functions[thread % 2];
            let first = u64::try_from(thread).unwrap() * 6;
            let waiting: Vec<_> = (first..first + 6).map(|it| (submit(function, it), it)).collect();
            scope.spawn(move || waiting.into_iter().for_each(|(it, n)| expect_echo(it, n)));
        }
        let half_filled = filled(&functions[0], 2000);
        daemon.crash(worker);
        // Submitted while nobody is there, by one who knows of that or not.
        let meanwhile: Vec<_> = (3000..3010).map(|it| (submit(&functions[1], it), it)).collect();
        let half_filled = half_filled.submit(SubmitOptions::default()).unwrap();
        daemon.restart(&[ECHO]);
        meanwhile.into_iter().for_each(|(it, number)| expect_echo(it, number));
        expect_echo(half_filled, 2000);
    });
    assert_eq!(read.output::<u8>("data").unwrap(), pattern(1000), "a reply stays readable");
    let served = daemon.await_status(|status| status.functions[0].outcomes.done == 59);
    assert_eq!(served.functions[0].arrived, 59, "each was presented once");
    assert_eq!(served.sessions.len(), 2);
    expect_echo(submit(&sessions[0].open("echo", SIZE).unwrap(), 4000), 4000);
}

#[test]
fn what_was_answered_before_the_death_is_not_run_again() {
    let mut daemon = Daemon::start(&[ECHO]);
    let function = daemon.connect().open("echo", SIZE).unwrap();
    let waiting: Vec<_> = (0..20).map(|number| (submit(&function, number), number)).collect();
    daemon.await_status(|status| status.functions[0].outcomes.done == 20);
    let worker = daemon.worker();
    daemon.crash(worker);
    let late = submit(&function, 20);
    daemon.restart(&[ECHO]);
    expect_echo(late, 20);
    waiting.into_iter().for_each(|(pending, number)| expect_echo(pending, number));
    let status = daemon.await_status(|status| status.functions[0].outcomes.done > 0);
    assert_eq!(status.functions[0].arrived, 1);
}

#[test]
fn a_budget_runs_out_while_nobody_serves() {
    let mut daemon = Daemon::start(&[ECHO]);
    let function = daemon.connect().open("echo", SIZE).unwrap();
    let worker = daemon.stop_worker();
    let short = within(&function, 1, Duration::from_millis(50));
    let long = within(&function, 2, Duration::from_secs(3600));
    daemon.crash(worker);
    assert_eq!(short.wait().unwrap().outcome(), Outcome::DeadlineMissed);
    daemon.restart(&[ECHO]);
    expect_echo(long, 2);
    let status = daemon.await_status(|status| status.functions[0].outcomes.done == 1);
    assert_eq!(status.functions[0].arrived, 1, "what ran out was not presented");
}

#[test]
fn a_function_that_is_gone_or_changed_ends_what_is_in_flight() {
    let mut daemon = Daemon::start(&[ECHO, NULL]);
    let session = daemon.connect();
    let gone = session.open("null", SIZE).unwrap();
    let changed = session.open("echo", SIZE).unwrap();
    let worker = daemon.stop_worker();
    let waiting = [submit(&gone, 1), submit(&changed, 2), submit(&changed, 3)];
    daemon.crash(worker);
    daemon.restart(&[("echo", "model = \"builtin:echo\"\nlength = { max = 512 }\n")]);
    for pending in waiting {
        assert_eq!(pending.wait().unwrap().outcome(), RESTARTED);
    }
    let name = "null".to_owned();
    let unknown = ReopenError::Refused(OpenRefusal::UnknownFunction { name, nearest: None });
    assert_eq!(gone.request(8).unwrap_err(), SubmitError::Restarted(unknown));
    let different = SubmitError::Restarted(ReopenError::SignatureChanged);
    assert_eq!(changed.request(8).unwrap_err(), different);
    // The session itself goes on, and what was refused is not held by the daemon.
    expect_echo(submit(&session.open("echo", SIZE).unwrap(), 4), 4);
    drop((gone, changed));
    daemon.await_status(|status| status.functions[0].channels == 0);
}

#[test]
fn what_nobody_waits_for_gives_its_room_back_at_once() {
    let mut daemon = Daemon::start(&[ECHO]);
    let size = ChannelSize { slots: 8, ..SIZE };
    let function = daemon.connect().open("echo", size).unwrap();
    let worker = daemon.stop_worker();
    let cancelled = submit(&function, 0);
    cancelled.cancel();
    for number in 1..8 {
        drop(submit(&function, number));
    }
    assert_eq!(function.request(8).unwrap_err(), SubmitError::SlotsFull { slots: 8 });
    daemon.crash(worker);
    let again: Vec<_> = loop {
        // The kernel closes a dead process's descriptors in its own time.
        if function.request(8).is_ok() {
            break (1..8).map(|number| (submit(&function, number), number)).collect();
        }
    };
    assert_eq!(cancelled.wait().unwrap().outcome(), Outcome::Cancelled);
    daemon.restart(&[ECHO]);
    again.into_iter().for_each(|(pending, number)| expect_echo(pending, number));
}

#[test]
fn one_who_only_polls_sees_the_next_daemon_too() {
    let mut daemon = Daemon::start(&[ECHO]);
    let function = daemon.connect().open("echo", SIZE).unwrap();
    let worker = daemon.stop_worker();
    let mut pending = submit(&function, 7);
    daemon.crash(worker);
    let restart = std::thread::spawn(move || {
        daemon.restart(&[ECHO]);
        daemon
    });
    let reply = loop {
        if let Some(reply) = pending.try_wait().unwrap() {
            break reply;
        }
        std::thread::yield_now();
    };
    assert_eq!(reply.outcome(), Outcome::Done);
    assert_eq!(reply.output::<u8>("data").unwrap(), pattern(7));
    drop(restart.join().unwrap());
}

#[test]
fn a_session_opens_functions_of_the_next_daemon() {
    let mut daemon = Daemon::start(&[NULL]);
    let session = daemon.connect();
    let worker = daemon.worker();
    daemon.crash(worker);
    std::thread::scope(|scope| {
        // Asked before the next daemon is there, and after.
        let early = scope.spawn(|| session.open("echo", SIZE).unwrap());
        daemon.restart(&[ECHO]);
        expect_echo(submit(&early.join().unwrap(), 1), 1);
    });
    expect_echo(submit(&session.open("echo", SIZE).unwrap(), 2), 2);
    assert_eq!(daemon.status().sessions.len(), 1, "all over one connection");
}

#[test]
fn nobody_is_waited_for_longer_than_asked() {
    let mut daemon = Daemon::start(&[ECHO]);
    let options = SessionOptions { reconnect_for: Duration::from_millis(100) };
    let session = Session::connect_with(daemon.socket(), options).unwrap();
    let function = session.open("echo", SIZE).unwrap();
    let worker = daemon.stop_worker();
    let pending = submit(&function, 1);
    daemon.crash(worker);
    let lost = Outcome::Refused(Refusal::because(Reason::DaemonLost));
    assert_eq!(pending.wait().unwrap().outcome(), lost);
    assert_eq!(function.request(8).unwrap_err(), SubmitError::Lost(Reason::DaemonLost));
    daemon.restart(&[ECHO]);
    assert_eq!(function.request(8).unwrap_err(), SubmitError::Lost(Reason::DaemonLost));
    expect_echo(submit(&session.open("echo", SIZE).unwrap(), 2), 2);
}

#[test]
fn peers_work_through_one_death_after_another() {
    let mut daemon = Daemon::start(&[ECHO]);
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let sessions = [daemon.connect(), daemon.connect()];
    let functions = sessions.each_ref().map(|session| session.open("echo", SIZE).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let function = &functions[thread % 2];
            let (stop, answered) = (&stop, &answered);
            scope.spawn(move || {
                let mut number = u64::try_from(thread).unwrap() * 1_000_000;
                while !stop.load(Ordering::Relaxed) {
                    let burst: Vec<_> =
                        (number..number + 5).map(|it| (submit(function, it), it)).collect();
                    number += 5;
                    for (pending, number) in burst {
                        expect_echo(pending, number);
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for _ in 0..4 {
            let before = answered.load(Ordering::Relaxed);
            while answered.load(Ordering::Relaxed) < before + 500 {
                std::thread::yield_now();
            }
            let worker = daemon.worker();
            daemon.crash(worker);
            daemon.restart(&[ECHO]);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn an_orphaned_worker_ends_within_its_grace_and_the_next_waits_for_it() {
    let arguments = ["--hang-limit=1h", "--orphan-grace=100ms"].map(str::to_owned).to_vec();
    let device = Some("emulated:poison=on".to_owned());
    let options = Options { device, arguments, ..Options::default() };
    let mut daemon = Daemon::start_with(&[ECHO], &options);
    let function = daemon.connect().open("echo", SIZE).unwrap();
    let poison = b"gpumux-poison:hang";
    let mut request = function.request(18).unwrap();
    request.input_mut::<u8>("data").unwrap().copy_from_slice(poison);
    let endless = request.submit(SubmitOptions::default()).unwrap();
    daemon.await_status(|status| status.functions[0].batches == 1);
    let behind_it = submit(&function, 1);
    endless.cancel();
    // Its worker holds the device, and the function's channels, until it gives the batch up.
    daemon.crash_supervisor();
    daemon.restart_with(&[ECHO], &options);
    assert_eq!(endless.wait().unwrap().outcome(), Outcome::Cancelled);
    expect_echo(behind_it, 1);
}

#[test]
fn an_interrupt_at_the_terminal_drains() {
    let mut daemon = Daemon::start(&[ECHO]);
    let function = daemon.connect().open("echo", SIZE).unwrap();
    let worker = daemon.worker();
    assert_ne!(getpgid(Some(worker)), getpgid(Some(daemon.pid())), "it is in a group of its own");
    let waiting: Vec<_> = (0..10).map(|number| (submit(&function, number), number)).collect();
    // What was read is admitted; a daemon that drains refuses what comes later.
    daemon.await_status(|status| status.functions[0].arrived == 10);
    killpg(daemon.pid(), Signal::SIGINT).unwrap();
    waiting.into_iter().for_each(|(pending, number)| expect_echo(pending, number));
    assert!(daemon.wait().success());
}
