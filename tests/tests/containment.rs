//! What a fault of the device, a hang or a dead worker costs: the requests that ran run again, and
//! nobody else loses one. Poison is found, refused, and its function quarantined.

use gpumux_shim::{ChannelSize, Function, Outcome, Pending, Reason, Refusal, SubmitOptions};
use gpumux_tests::{Daemon, Options};
use gpumux_wire::status::Status;
use nix::sys::signal::{Signal, kill};
use std::process::Command;

const ECHO: &str = "model = \"builtin:echo\"\nlength = { max = 64 }\n";
const ALONE: &str = "model = \"builtin:echo\"\nlength = { max = 64 }\nmax_batch = 1\n";
const SIZE: ChannelSize = ChannelSize { slots: 64, arena_bytes: 1 << 20 };
/// Text that has the emulated device misbehave.
const ILLEGAL: &[u8] = b"gpumux-poison:illegal";
const HANG: &[u8] = b"gpumux-poison:hang";
const LOSE: &[u8] = b"gpumux-poison:lose";

fn daemon(functions: &[(&str, &str)]) -> Daemon {
    let options = Options {
        device: Some("emulated:poison=on".to_owned()),
        arguments: vec!["--hang-limit=2s".to_owned()],
        ..Options::default()
    };
    Daemon::start_with(functions, &options)
}

fn submit(function: &Function, bytes: &[u8]) -> Pending {
    let mut request = function.request(u32::try_from(bytes.len()).expect("short")).expect("a slot");
    request.input_mut::<u8>("data").expect("its input").copy_from_slice(bytes);
    request.submit(SubmitOptions::default()).expect("the channel lives")
}

/// Waits for an echo and checks it.
fn expect_echo(pending: Pending, bytes: &[u8]) {
    let reply = pending.wait().expect("it ends");
    assert_eq!(reply.outcome(), Outcome::Done, "of {:?}", String::from_utf8_lossy(bytes));
    assert_eq!(reply.output::<u8>("data").expect("its output"), bytes);
}

fn expect_refused(pending: Pending, reason: Reason) {
    let refused = Outcome::Refused(Refusal::because(reason));
    assert_eq!(pending.wait().expect("it ends").outcome(), refused);
}

fn restarts(status: &Status) -> u32 {
    status.devices[0].worker_restarts
}

#[test]
fn what_a_dead_worker_had_accepted_runs_again() {
    let daemon = Daemon::start(&[("echo", ECHO)]);
    let function = daemon.connect().open("echo", SIZE).unwrap();
    for round in 0..5_u8 {
        let texts: Vec<Vec<u8>> = (0..40).map(|number| vec![round, number, 7]).collect();
        let worker = daemon.worker();
        let pending: Vec<_> = texts.iter().map(|text| submit(&function, text)).collect();
        kill(worker, Signal::SIGKILL).unwrap();
        pending.into_iter().zip(&texts).for_each(|(pending, text)| expect_echo(pending, text));
        daemon.await_status(|status| restarts(status) == u32::from(round) + 1);
    }
}

#[test]
fn what_arrives_while_no_worker_lives_waits_for_the_next() {
    let daemon = Daemon::start(&[("echo", ECHO)]);
    let session = daemon.connect();
    let function = session.open("echo", SIZE).unwrap();
    kill(daemon.worker(), Signal::SIGKILL).unwrap();
    let pending = submit(&function, b"while nobody serves");
    let second = session.open("echo", SIZE).unwrap();
    expect_echo(submit(&second, b"opened meanwhile"), b"opened meanwhile");
    expect_echo(pending, b"while nobody serves");
}

#[test]
fn poison_is_convicted_and_its_batch_mates_and_neighbours_are_served() {
    for poison in [ILLEGAL, LOSE] {
        let daemon = daemon(&[("echo", ECHO), ("other", ECHO)]);
        let session = daemon.connect();
        let (function, other) =
            (session.open("echo", SIZE).unwrap(), session.open("other", SIZE).unwrap());
        let texts: Vec<Vec<u8>> = (0..30).map(|number| vec![number, 1, 2, 3]).collect();
        let (mut mates, mut neighbours, mut poisoned) = (Vec::new(), Vec::new(), Vec::new());
        daemon.at_once(|| {
            for (index, text) in texts.iter().enumerate() {
                mates.push(submit(&function, text));
                neighbours.push(submit(&other, text));
                if index == 11 {
                    poisoned.push(submit(&function, poison));
                }
            }
        });
        poisoned.into_iter().for_each(|pending| expect_refused(pending, Reason::Poison));
        mates.into_iter().zip(&texts).for_each(|(pending, text)| expect_echo(pending, text));
        neighbours.into_iter().zip(&texts).for_each(|(pending, text)| expect_echo(pending, text));
        // As one of its batch, with its batch alone, and alone.
        let status = daemon.await_status(|status| status.devices[0].state == "ready");
        assert_eq!(restarts(&status), 3);
        assert!(status.functions.iter().all(|function| function.quarantined.is_none()));
    }
}

#[test]
fn a_hang_is_found_and_convicted() {
    let daemon = daemon(&[("alone", ALONE), ("other", ECHO)]);
    let session = daemon.connect();
    let function = session.open("alone", SIZE).unwrap();
    let other = session.open("other", SIZE).unwrap();
    let pending = submit(&function, HANG);
    let neighbour = submit(&other, b"behind it");
    expect_echo(neighbour, b"behind it");
    expect_refused(pending, Reason::Poison);
    expect_echo(submit(&function, b"afterwards"), b"afterwards");
    assert_eq!(restarts(&daemon.status()), 2);
}

#[test]
fn a_function_that_sends_poison_alone_causes_four_restarts_and_is_quarantined() {
    for function in [ECHO, ALONE] {
        let daemon = daemon(&[("poison", function), ("other", ECHO)]);
        let session = daemon.connect();
        let poison = session.open("poison", SIZE).unwrap();
        let other = session.open("other", SIZE).unwrap();
        let mut doses: Vec<Pending> = Vec::new();
        for number in 0..40 {
            let mut text = ILLEGAL.to_vec();
            text.push(number);
            doses.push(submit(&poison, &text));
            expect_echo(submit(&other, &[number]), &[number]);
        }
        let mut convicted = 0;
        for dose in doses {
            let Outcome::Refused(refusal) = dose.wait().unwrap().outcome() else {
                panic!("poison was served")
            };
            match refusal.reason {
                Reason::Poison => convicted += 1,
                reason => assert_eq!(reason, Reason::Quarantined),
            }
        }
        assert_eq!(convicted, 2);
        let status = daemon.await_status(|status| status.devices[0].state == "ready");
        assert_eq!(restarts(&status), 4);
        let of = |name: &str| {
            let mut functions = status.functions.iter();
            functions.find(|function| function.name == name).unwrap().quarantined.clone()
        };
        assert!(of("poison").is_some() && of("other").is_none());
        expect_refused(submit(&poison, b"harmless"), Reason::Quarantined);
        clear(&daemon, "poison");
        expect_echo(submit(&poison, b"harmless"), b"harmless");
        assert_eq!(restarts(&daemon.status()), 4);
    }
}

/// Runs `gpumux functions clear`.
fn clear(daemon: &Daemon, function: &str) {
    let output = Command::new(gpumux_tests::binary("gpumux"))
        .args(["functions", "clear", function, "--admin-socket"])
        .arg(daemon.admin_socket())
        .output()
        .expect("gpumux starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_worker_that_does_not_answer_is_replaced() {
    let daemon = daemon(&[("echo", ECHO)]);
    let function = daemon.connect().open("echo", SIZE).unwrap();
    daemon.stop_worker();
    expect_echo(submit(&function, b"the next one's"), b"the next one's");
    assert_eq!(restarts(&daemon.status()), 1);
}

#[test]
fn a_drain_outlives_a_worker() {
    let mut daemon = Daemon::start(&[("echo", ECHO)]);
    let function = daemon.connect().open("echo", SIZE).unwrap();
    let worker = daemon.worker();
    let pending: Vec<_> = (0..60_u8).map(|number| submit(&function, &[number])).collect();
    // A daemon that drains refuses what it had not read.
    daemon.await_status(|status| status.functions[0].arrived == 60);
    daemon.terminate();
    // It may be through already.
    let _gone = kill(worker, Signal::SIGKILL);
    assert!(daemon.wait().success());
    pending.into_iter().zip(0..).for_each(|(pending, number)| expect_echo(pending, &[number]));
}

#[test]
fn an_unknown_function_is_not_cleared() {
    let daemon = Daemon::start(&[("echo", ECHO)]);
    let output = Command::new(gpumux_tests::binary("gpumux"))
        .args(["functions", "clear", "ecko", "--admin-socket"])
        .arg(daemon.admin_socket())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no function `ecko`; the nearest is `echo`"), "{said}");
}
