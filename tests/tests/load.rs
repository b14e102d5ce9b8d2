//! `gpumux bench FUNCTION`: what it counts is what the daemon saw, its arrivals are those of the seed,
//! and a pause of the daemon shows in every request that it delayed.

use gpumux_tests::{Daemon, binary};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const ECHO: (&str, &str) =
    ("echo", "model = \"builtin:echo\"\nlength = { max = 1024 }\nmax_batch = 8\nqueue = 4096\n");
/// Of so many requests at once most are refused.
const NARROW: (&str, &str) =
    ("narrow", "model = \"builtin:echo\"\nlength = { max = 64 }\nmax_batch = 1\nqueue = 1\n");

fn bench(socket: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(binary("gpumux"));
    command.arg("bench").args(words).arg("--socket").arg(socket).env_remove("GPUMUX_SEED");
    command
}

fn text(output: &Output) -> String {
    let wrote = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(wrote).expect("text")
}

/// Runs it to its end and returns its document.
fn measured(socket: &Path, words: &[&str]) -> Value {
    let output = bench(socket, words).arg("--json").output().expect("gpumux starts");
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).expect("a JSON document")
}

fn count(document: &Value, key: &str) -> u64 {
    document["requests"][key].as_u64().unwrap_or_else(|| panic!("`{key}` in {document}"))
}

fn refused(document: &Value) -> u64 {
    let reasons = document["requests"]["refused"].as_object().expect("an object");
    reasons.values().map(|count| count.as_u64().expect("a count")).sum()
}

/// The arrivals that a command line means, in seconds from the beginning.
fn dry(words: &[&str]) -> Vec<f64> {
    let output =
        bench(Path::new("/nowhere.sock"), words).arg("--dry-run").output().expect("gpumux starts");
    assert!(output.status.success(), "{}", text(&output));
    let lines = String::from_utf8(output.stdout).expect("text");
    let gaps = lines.lines().map(|line| line.parse::<f64>().expect("a number"));
    gaps.scan(0.0, |at, gap| {
        *at += gap;
        Some(*at)
    })
    .collect()
}

#[test]
fn every_request_is_counted_once_as_the_daemon_counts_it() {
    let daemon = Daemon::start(&[ECHO, NARROW]);
    let socket = daemon.socket();
    let open =
        ["narrow", "--rate", "4000", "--requests", "2000", "--peers", "3", "--warm-up", "0s"];
    let document = measured(&socket, &[&open[..], &["--length", "uniform:1-64"]].concat());
    let (done, refused) = (count(&document, "done"), refused(&document));
    assert_eq!((count(&document, "arrivals"), count(&document, "sent")), (2000, 2000));
    assert_eq!(done + refused, 2000, "{document}");
    assert_eq!(document["latency_ns"]["count"], done);
    assert_eq!(document["lateness_ns"]["count"], 2000);
    let status = daemon.status();
    let narrow = status.functions.iter().find(|function| function.name == "narrow").unwrap();
    assert_eq!((narrow.arrived, narrow.outcomes.done), (2000, done));
    let closed =
        ["echo", "--concurrency", "4", "--requests", "501", "--peers", "2", "--warm-up", "0s"];
    let document = measured(&socket, &closed);
    assert_eq!((count(&document, "sent"), count(&document, "done")), (501, 501), "{document}");
}

#[test]
fn arrivals_are_those_of_the_seed_and_a_trace_of_them_is_the_same_run() {
    let poisson = ["echo", "--rate", "800", "--duration", "2s", "--warm-up", "0s", "--peers", "2"];
    let seeded = |seed| [&poisson[..], &["--seed", seed]].concat();
    let arrivals = dry(&seeded("7"));
    assert_eq!(arrivals, dry(&seeded("7")));
    assert_ne!(arrivals, dry(&seeded("8")));
    // 1600 are expected; the deviation of their number is its root.
    assert!((1400..=1800).contains(&arrivals.len()), "{}", arrivals.len());
    let daemon = Daemon::start(&[ECHO]);
    let document = measured(&daemon.socket(), &seeded("7"));
    assert_eq!(count(&document, "arrivals"), arrivals.len() as u64);
    assert_eq!(document["seed"], 7);
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let output = bench(Path::new("/nowhere.sock"), &seeded("7")).arg("--dry-run").output().unwrap();
    std::fs::write(&trace, output.stdout).unwrap();
    let replay = ["echo", "--trace", trace.to_str().unwrap(), "--speed", "4", "--warm-up", "0s"];
    let document = measured(&daemon.socket(), &replay);
    assert_eq!(count(&document, "arrivals"), arrivals.len() as u64);
    assert_eq!(count(&document, "done"), arrivals.len() as u64, "{document}");
}

#[test]
fn a_pause_of_the_worker_is_in_the_latency_of_all_that_it_delayed() {
    const PER_SECOND: u64 = 500;
    let pause = Duration::from_millis(600);
    let daemon = Daemon::start(&[ECHO]);
    let folder = tempfile::tempdir().unwrap();
    let histogram = folder.path().join("latency.hgrm");
    let rate = PER_SECOND.to_string();
    let words = ["echo", "--rate", &rate, "--duration", "1h", "--warm-up", "0s", "--json"];
    let running = bench(&daemon.socket(), &words)
        .arg("--in-flight=4096")
        .arg("--histogram")
        .arg(&histogram)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("gpumux starts");
    let arrived = |least: u64| daemon.await_status(|status| status.functions[0].arrived >= least);
    arrived(50);
    let worker = daemon.stop_worker();
    // The span of the pause: nothing is sent here, so it always passes.
    let (_silent, nothing) = mpsc::channel::<()>();
    assert!(nothing.recv_timeout(pause).is_err());
    kill(worker, Signal::SIGCONT).expect("the worker lives");
    arrived(50 + PER_SECOND / 2);
    // An interrupt ends the arrivals; what was measured is said.
    let pid = Pid::from_raw(i32::try_from(running.id()).expect("a process id"));
    kill(pid, Signal::SIGINT).expect("it is our child");
    let output = running.wait_with_output().expect("it is our child");
    assert!(output.status.success(), "{}", text(&output));
    let document: Value = serde_json::from_slice(&output.stdout).expect("a JSON document");
    assert_eq!(document["interrupted"], true);
    // Arrivals of the first half of the pause waited for more than the other half. A generator that
    // waits for answers would have seen but one of them.
    let expected = PER_SECOND * 3 / 10;
    let lines = std::fs::read_to_string(&histogram).expect("it was written");
    let rows = lines.lines().skip(2).take_while(|line| !line.starts_with('#'));
    let half_us = 300_000.0;
    let (mut below, mut all) = (0, 0);
    for row in rows {
        let words: Vec<&str> = row.split_whitespace().collect();
        all = words[2].parse::<u64>().expect("a count");
        if words[0].parse::<f64>().expect("a value") < half_us {
            below = all;
        }
    }
    assert_eq!(all, count(&document, "done"));
    // The number is Poisson's: five deviations below what is expected.
    assert!(all - below >= expected - 60, "{} of {all}\n{lines}", all - below);
}

#[test]
fn what_cannot_be_asked_is_refused_with_advice_and_nothing_is_sent() {
    let daemon = Daemon::start(&[ECHO]);
    let socket = daemon.socket();
    let check = |words: &[&str], code: i32, advice: &str| {
        let output = bench(&socket, words).output().expect("gpumux starts");
        let wrote = text(&output);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {wrote}");
        assert!(wrote.contains(advice), "{words:?}: {wrote}");
    };
    check(&["echo"], 2, "--rate");
    check(&["--rate", "5"], 2, "FUNCTION");
    check(&["echo", "--rate", "0"], 2, "give a number");
    check(&["echo", "--rate", "5", "--concurrency", "3"], 2, "cannot be used with");
    check(&["echo", "--rate", "5", "--duration", "10"], 2, "--duration");
    check(&["ecko", "--rate", "5"], 4, "the nearest is `echo`");
    check(&["echo", "--rate", "5", "--length", "1025"], 2, "at most 1024");
    check(&["echo", "--rate", "5", "--length", "uniform:5-2"], 2, "lognormal:MEDIAN,P99");
    check(&["echo", "--rate", "5", "--range", "ids=0..5"], 2, "the function takes `data`");
    check(&["echo", "--rate", "5", "--range", "data=0..500"], 2, "from 0 to 256");
    check(&["echo", "--rate", "5", "--input", "data=/nowhere.npy"], 5, "/nowhere.npy");
    check(&["echo", "--trace", "/nowhere.txt"], 2, "/nowhere.txt");
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    std::fs::write(&trace, "0.5\nsoon\n").unwrap();
    check(&["echo", "--trace", trace.to_str().unwrap()], 2, "line 2: `soon`");
    assert_eq!(daemon.status().functions[0].arrived, 0);
}
