//! A daemon that runs is given other functions: what was submitted ends once, with a result where there
//! is one to be had, and what stays does not notice.

use gpumux_shim::{
    ChannelSize, Function, OpenError, OpenRefusal, Outcome, Pending, Reason, Refusal, ReopenError,
    SubmitError, SubmitOptions,
};
use gpumux_tests::{Daemon, Options};
use nix::sys::signal::{Signal, kill};
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const SIZE: ChannelSize = ChannelSize { slots: 64, arena_bytes: 1 << 20 };
const ECHO: &str = "model = \"builtin:echo\"\nlength = { max = 1024 }\n";
const NULL: &str = "model = \"builtin:null\"\nlength = { max = 1024 }\n";
const RESTARTED: Outcome = Outcome::Refused(Refusal::because(Reason::Restarted));

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn submit(function: &Function, byte: u8) -> Pending {
    let mut request = function.request(64).expect("a slot");
    request.input_mut::<u8>("data").expect("its input").fill(byte);
    request.submit(SubmitOptions::default()).expect("the channel lives")
}

fn expect_echo(pending: Pending, byte: u8) {
    let reply = pending.wait().expect("it ends");
    assert_eq!(reply.outcome(), Outcome::Done);
    assert_eq!(reply.output::<u8>("data").expect("its output"), [byte; 64]);
}

fn names(daemon: &Daemon) -> Vec<String> {
    daemon.status().functions.into_iter().map(|function| function.name).collect()
}

#[test]
fn functions_come_go_and_change_while_others_are_served() {
    let mut daemon = Daemon::start(&[("goes", NULL), ("stays", ECHO)]);
    let session = daemon.connect();
    let stays = session.open("stays", SIZE).unwrap();
    let goes = session.open("goes", SIZE).unwrap();
    expect_echo(submit(&stays, 1), 1);
    assert_eq!(said(&daemon.reload(&[("goes", NULL), ("stays", ECHO)])), "nothing has changed\n");
    let worker = daemon.worker();
    let other = format!("{ECHO}max_batch = 3\n");
    let reloaded = said(&daemon.reload(&[("comes", ECHO), ("stays", &other)]));
    assert_eq!(
        reloaded,
        "function `comes` was added\nfunction `stays` was changed\nfunction `goes` was removed\n"
    );
    assert_ne!(worker, daemon.worker(), "another worker loaded them");
    expect_echo(submit(&stays, 2), 2);
    expect_echo(submit(&session.open("comes", SIZE).unwrap(), 3), 3);
    // Whoever had the other open is told, sooner or later, and why.
    let unknown = || OpenRefusal::UnknownFunction { name: "goes".to_owned(), nearest: None };
    if let Ok(mut request) = goes.request(64) {
        request.input_mut::<u8>("data").unwrap().fill(4);
        let pending = request.submit(SubmitOptions::default()).unwrap();
        assert_eq!(pending.wait().unwrap().outcome(), RESTARTED);
    }
    let gone = SubmitError::Restarted(ReopenError::Refused(unknown()));
    assert_eq!(goes.request(64).unwrap_err(), gone);
    match session.open("goes", SIZE) {
        Err(OpenError::Refused(refusal)) => assert_eq!(refusal, unknown()),
        other => panic!("{other:?}"),
    }
    let status = daemon.status();
    assert_eq!(names(&daemon), ["comes", "stays"]);
    assert_eq!((status.functions[1].max_batch, status.functions[1].outcomes.done), (3, 2));
    assert_eq!(status.devices[0].worker_restarts, 0, "nothing died");
    // It comes back, and so does what it had counted.
    said(&daemon.reload(&[("goes", NULL)]));
    let goes = session.open("goes", SIZE).unwrap();
    assert_eq!(submit(&goes, 5).wait().unwrap().outcome(), Outcome::Done);
}

#[test]
fn what_was_accepted_of_a_function_that_goes_is_finished() {
    // A wait for company keeps the requests queued while the reload comes.
    let slow = format!("{ECHO}max_batch = 8\nmax_wait = \"300ms\"\n");
    let mut daemon = Daemon::start(&[("goes", &slow), ("stays", ECHO)]);
    let function = daemon.connect().open("goes", SIZE).unwrap();
    let waiting: Vec<_> = (0..7).map(|byte| (submit(&function, byte), byte)).collect();
    daemon.await_status(|status| status.functions[0].arrived == 7);
    said(&daemon.reload(&[("stays", ECHO)]));
    waiting.into_iter().for_each(|(pending, byte)| expect_echo(pending, byte));
}

#[test]
fn a_function_that_takes_other_tensors_is_to_be_opened_again() {
    let mut daemon = Daemon::start(&[("echo", ECHO)]);
    let session = daemon.connect();
    let function = session.open("echo", SIZE).unwrap();
    let longer = "model = \"builtin:echo\"\nlength = { max = 2048 }\n";
    assert_eq!(said(&daemon.reload(&[("echo", longer)])), "function `echo` was changed\n");
    let mut request = function.request(64).unwrap();
    request.input_mut::<u8>("data").unwrap().fill(1);
    let pending = request.submit(SubmitOptions::default()).unwrap();
    assert_eq!(pending.wait().unwrap().outcome(), RESTARTED);
    let changed = SubmitError::Restarted(ReopenError::SignatureChanged);
    assert_eq!(function.request(64).unwrap_err(), changed);
    expect_echo(submit(&session.open("echo", SIZE).unwrap(), 2), 2);
    drop(function);
    daemon.await_status(|status| status.functions[0].channels == 0);
}

#[test]
fn what_cannot_be_served_changes_nothing() {
    let device = Some("emulated:sms=2,memory=64MiB".to_owned());
    let options = Options { device, ..Options::default() };
    let mut daemon = Daemon::start_with(&[("echo", ECHO)], &options);
    let function = daemon.connect().open("echo", SIZE).unwrap();
    let worker = daemon.worker();
    let bad = format!("{ECHO}max_batsh = 3\n");
    let what = refused(&daemon.reload(&[("echo", ECHO), ("new", &bad)]));
    assert!(what.contains("new/function.toml:3:1: unknown field `max_batsh`"), "{what}");
    let what = refused(&daemon.reload(&[("new", "model = \"absent.onnx\"\n")]));
    assert!(what.contains("new/absent.onnx"), "{what}");
    let what = refused(&daemon.reload(&[("new", &format!("{ECHO}device = 7\n"))]));
    assert!(what.contains("function `new` says `device = 7`"), "{what}");
    assert_eq!((daemon.worker(), names(&daemon)), (worker, vec!["echo".to_owned()]));
    // Only a worker finds out that it does not fit the device.
    let large = "model = \"builtin:echo\"\nlength = { max = 1048576 }\nmax_batch = 1024\n";
    let what = refused(&daemon.reload(&[("echo", large), ("new", ECHO)]));
    assert!(what.contains("device 0 does not serve the new functions"), "{what}");
    expect_echo(submit(&function, 1), 1);
    assert_eq!(names(&daemon), ["echo"]);
    assert_eq!(said(&daemon.reload(&[("echo", ECHO)])), "nothing has changed\n");
    expect_echo(submit(&function, 2), 2);
}

#[test]
fn a_function_stays_on_its_device() {
    let device = Some("emulated:devices=2".to_owned());
    let options = Options { device, ..Options::default() };
    let on = |device: u32| format!("{ECHO}device = {device}\n");
    let mut daemon = Daemon::start_with(&[("a", &on(0)), ("b", &on(1))], &options);
    let session = daemon.connect();
    let functions = ["a", "b"].map(|name| session.open(name, SIZE).unwrap());
    let workers = daemon.workers();
    let reloaded = said(&daemon.reload(&[("a", &on(0)), ("b", &on(0))]));
    assert_eq!(
        reloaded,
        "function `b` was changed\nfunction `b` says `device = 0` and is served on device 1: this \
         needs a restart of gpumuxd\n"
    );
    assert_eq!(workers[0], daemon.workers()[0], "what has not changed does not notice");
    functions.iter().for_each(|function| expect_echo(submit(function, 1), 1));
}

#[test]
fn twenty_reloads_under_load_lose_nothing() {
    let mut daemon = Daemon::start(&[("echo", ECHO), ("null", NULL)]);
    let (ends, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let sessions = [daemon.connect(), daemon.connect()];
    std::thread::scope(|scope| {
        for session in &sessions {
            let function = session.open("echo", SIZE).unwrap();
            let (ends, done) = (&ends, &done);
            scope.spawn(move || {
                for first in (0..=255u8).step_by(8).cycle() {
                    let batch: Vec<_> =
                        (first..first + 7).map(|byte| (submit(&function, byte), byte)).collect();
                    done.fetch_add(7, Ordering::Relaxed);
                    batch.into_iter().for_each(|(pending, byte)| expect_echo(pending, byte));
                    if ends.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        for round in 0..20 {
            let batch = format!("{ECHO}max_batch = {}\n", 1 + round % 4);
            let before = done.load(Ordering::Relaxed);
            if round % 2 == 0 {
                said(&daemon.reload(&[("echo", &batch)]));
            } else {
                said(&daemon.reload(&[("echo", &batch), ("null", NULL)]));
            }
            // Both are served again before the next comes.
            while done.load(Ordering::Relaxed) < before + 28 {
                std::thread::yield_now();
            }
        }
        ends.store(true, Ordering::Relaxed);
    });
    let done = done.into_inner();
    let status = daemon.await_status(|status| status.functions[0].outcomes.done >= done);
    assert_eq!(status.functions[0].outcomes.done, done, "each ended once");
    assert_eq!(status.devices[0].worker_restarts, 0);
}

#[test]
fn a_worker_that_dies_over_a_reload_is_no_harm() {
    let mut daemon = Daemon::start(&[("echo", ECHO), ("goes", NULL)]);
    let session = daemon.connect();
    let echo = session.open("echo", SIZE).unwrap();
    let goes = session.open("goes", SIZE).unwrap();
    // The worker is stopped with a request of a function that is to go, so the reload waits for it.
    let worker = daemon.stop_worker();
    let waiting = [submit(&echo, 1), submit(&echo, 2)];
    let late = submit(&goes, 3);
    std::thread::scope(|scope| {
        let reload = scope.spawn(|| said(&daemon.reload(&[("echo", ECHO)])));
        kill(worker, Signal::SIGKILL).unwrap();
        assert_eq!(reload.join().unwrap(), "function `goes` was removed\n");
    });
    for (pending, byte) in waiting.into_iter().zip(1..) {
        expect_echo(pending, byte);
    }
    let outcome = late.wait().unwrap().outcome();
    assert!(outcome == Outcome::Done || outcome == RESTARTED, "{outcome:?}");
    expect_echo(submit(&echo, 4), 4);
}

#[test]
fn a_worker_that_still_loads_is_not_waited_for() {
    let mut daemon = Daemon::start(&[("echo", ECHO), ("goes", NULL)]);
    let echo = daemon.connect().open("echo", SIZE).unwrap();
    kill(daemon.worker(), Signal::SIGKILL).unwrap();
    let waiting = submit(&echo, 1);
    assert_eq!(said(&daemon.reload(&[("echo", ECHO)])), "function `goes` was removed\n");
    expect_echo(waiting, 1);
    assert_eq!(names(&daemon), ["echo"]);
}
