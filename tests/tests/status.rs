//! `gpumux status` as an operator types it: at a glance, one function in depth, as JSON, again and
//! again.

use gpumux_shim::{ChannelSize, Function, Outcome, SubmitOptions};
use gpumux_tests::{Daemon, binary};
use gpumux_wire::status::{FunctionStatus, Status};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

const SIZE: ChannelSize = ChannelSize { slots: 16, arena_bytes: 1 << 16 };
const ECHO: (&str, &str) = (
    "echo",
    "model = \"builtin:echo\"\nlength = { max = 64 }\nmax_batch = 4\n\
     [service]\nobjective = \"p90 < 10m\"\n",
);
const NULL: (&str, &str) = ("null", "model = \"builtin:null\"\nlength = { max = 64 }\n");

fn command(daemon: &Daemon, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("gpumux"));
    command.arg("status").args(arguments).arg("--admin-socket").arg(daemon.admin_socket());
    command
}

fn output(daemon: &Daemon, arguments: &[&str]) -> Output {
    command(daemon, arguments).output().expect("gpumux starts")
}

fn shown(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = output(daemon, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn serve(function: &Function, count: usize) {
    for _ in 0..count {
        let mut request = function.request(5).expect("a slot");
        request.input_mut::<u8>("data").expect("its input").fill(1);
        let options = SubmitOptions { budget: Some(Duration::from_secs(600)) };
        let reply = request.submit(options).expect("it lives").wait().expect("it ends");
        assert_eq!(reply.outcome(), Outcome::Done);
    }
}

/// The line of a page that has this word first.
fn line<'a>(page: &'a str, first: &str) -> &'a str {
    let mut lines = page.lines();
    lines
        .find(|line| line.split_whitespace().next() == Some(first))
        .unwrap_or_else(|| panic!("no line of `{first}` in\n{page}"))
}

#[test]
fn a_glance_shows_what_an_operator_asks_first() {
    let daemon = Daemon::start(&[ECHO, NULL]);
    let session = daemon.connect();
    let echo = session.open("echo", SIZE).unwrap();
    serve(&echo, 20);
    session.open("ecko", SIZE).unwrap_err();
    let page = shown(&daemon, &[]);
    for expected in [
        "1 session, 1 channel, ",
        "functions not opened: 1 unknown_function",
        "(emulated): ready, 32 SMs, policy fifo, worker ",
        "  partitions  green contexts: ",
        "lane 0      32 SMs (all): idle now, ",
    ] {
        assert!(page.contains(expected), "no `{expected}` in\n{page}");
    }
    let header = line(&page, "FUNCTION");
    for column in ["RATE/S", "P50", "P99", "OBJECTIVE", "IS MET", "DEADLINES MET", "WAITING"] {
        assert!(header.contains(column), "{page}");
    }
    let row = line(&page, "echo");
    for expected in ["p90 < 10m", "yes, 100.0 %", "100.0 % of 20", "0/1024"] {
        assert!(row.contains(expected), "no `{expected}` in\n{page}");
    }
    let tenant = line(&page, "default");
    for expected in ["1/512", "1/1024", " of 4.0 GiB", "20", "*"] {
        assert!(tenant.contains(expected), "no `{expected}` in\n{page}");
    }
    let not_opened: Vec<&str> = tenant.split_whitespace().skip(8).take(2).collect();
    assert_eq!(not_opened, ["0", "1"], "nobody turned away, one function not opened:\n{page}");
    let sessions = page.split("SESSION ").nth(1).expect("a table of sessions");
    let session = line(sessions, "1");
    assert!(session.contains("default") && session.contains("echo"), "the session:\n{page}");
    assert!(!page.contains('\x1b'), "a pipe gets no colours:\n{page}");
}

#[test]
fn a_function_is_shown_in_depth() {
    let daemon = Daemon::start(&[ECHO, NULL]);
    let session = daemon.connect();
    let echo = session.open("echo", SIZE).unwrap();
    serve(&echo, 7);
    let page = shown(&daemon, &["echo"]);
    for (first, expected) in [
        ("echo:", "builtin:echo on device 0 ("),
        ("objective", "p90 < 10m: met, 100.0 % of 7 requests within it"),
        ("deadlines", "7 met, 0 done too late, 0 not run"),
        ("takes", "data: u8[length]"),
        ("gives", "data: u8[length]"),
        ("requests", "7 done, 0 refused"),
        ("waiting", "0 of 1024; 1 channel open"),
        ("padding", "0.0 % (0 elements beside the 35"),
    ] {
        assert!(line(&page, first).contains(expected), "no `{expected}` in\n{page}");
    }
    for stage in ["queue", "copy", "device", "return"] {
        assert!(line(&page, stage).contains(" %"), "{page}");
    }
    assert!(line(&page, "total").contains("100.0 %"), "{page}");
    assert!(page.contains("BATCH OF") && page.contains("SESSION"), "{page}");
    let idle = shown(&daemon, &["null"]);
    assert!(idle.contains("no peer has it open"), "{idle}");
    assert!(idle.contains("set service.objective in function.toml"), "{idle}");
}

#[test]
fn an_unknown_function_is_told_with_the_nearest_and_a_code() {
    let daemon = Daemon::start(&[ECHO]);
    for arguments in [&["ecko"][..], &["ecko", "--json"], &["ecko", "--watch"]] {
        let output = output(&daemon, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(said.contains("there is no function `ecko`; the nearest is `echo`"), "{said}");
    }
    let strange = output(&daemon, &["a/../b c"]);
    assert_eq!(strange.status.code(), Some(4), "{strange:?}");
}

#[test]
fn the_document_is_what_its_schema_says() {
    let daemon = Daemon::start(&[ECHO]);
    let echo = daemon.connect().open("echo", SIZE).unwrap();
    serve(&echo, 3);
    let schema = Command::new(binary("gpumux")).args(["status", "--schema"]).output().unwrap();
    assert!(schema.status.success(), "{schema:?}");
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    let document: serde_json::Value = serde_json::from_str(&shown(&daemon, &["--json"])).unwrap();
    let mut checked = 0;
    check(&schema, &schema, &document, &mut checked);
    assert!(checked > 100, "{checked} values were checked");
    let one: FunctionStatus = serde_json::from_str(&shown(&daemon, &["echo", "--json"])).unwrap();
    assert_eq!((one.name.as_str(), one.outcomes.done), ("echo", 3));
}

/// Holds a value to as much of a schema as the document's is made of.
fn check(
    root: &serde_json::Value,
    schema: &serde_json::Value,
    value: &serde_json::Value,
    checked: &mut usize,
) {
    *checked += 1;
    if let Some(path) = schema["$ref"].as_str() {
        let path = path.strip_prefix('#').expect("of this schema");
        return check(root, root.pointer(path).expect("it is there"), value, checked);
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let other = choices.iter().find(|choice| (choice["type"] == "null") == value.is_null());
        return check(root, other.expect("a choice"), value, checked);
    }
    if let Some(properties) = schema["properties"].as_object() {
        let fields = value.as_object().unwrap_or_else(|| panic!("{value} is no object"));
        for required in schema["required"].as_array().into_iter().flatten() {
            assert!(
                fields.contains_key(required.as_str().expect("a name")),
                "{required} is not there"
            );
        }
        for (name, value) in fields {
            let field = properties.get(name).unwrap_or_else(|| panic!("`{name}` is not known"));
            check(root, field, value, checked);
        }
        return;
    }
    if let Some(values) = value.as_array() {
        return values.iter().for_each(|value| check(root, &schema["items"], value, checked));
    }
    let kinds = match &schema["type"] {
        serde_json::Value::String(kind) => vec![kind.as_str()],
        serde_json::Value::Array(kinds) => kinds.iter().filter_map(|kind| kind.as_str()).collect(),
        // A choice of words, or anything.
        _ => return,
    };
    let kind = match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "boolean",
        serde_json::Value::String(_) => "string",
        serde_json::Value::Number(number) if number.is_f64() => "number",
        serde_json::Value::Number(_) => "integer",
        other => panic!("{other} is neither an object nor an array by {schema}"),
    };
    let fits = kinds.contains(&kind) || (kind == "integer" && kinds.contains(&"number"));
    assert!(fits, "{value} is no {kinds:?}");
}

/// A `gpumux status --watch` and what it writes.
fn watch(daemon: &Daemon, arguments: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut process = command(daemon, &["--watch=200ms"])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("gpumux starts");
    let lines = BufReader::new(process.stdout.take().expect("it was piped"));
    (process, lines)
}

fn document(lines: &mut impl BufRead) -> Status {
    let mut line = String::new();
    lines.read_line(&mut line).expect("text");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn a_watch_shows_what_changes_until_it_is_interrupted() {
    let daemon = Daemon::start(&[ECHO]);
    let (mut process, mut lines) = watch(&daemon, &["--json"]);
    assert_eq!(document(&mut lines).functions[0].outcomes.done, 0);
    let echo = daemon.connect().open("echo", SIZE).unwrap();
    serve(&echo, 5);
    while document(&mut lines).functions[0].outcomes.done < 5 {}
    // The rate is over the last seconds, so it is seen a moment later.
    while document(&mut lines).functions[0].rate_per_s == 0.0 {}
    kill(Pid::from_raw(process.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    assert!(process.wait().unwrap().success());
}

#[test]
fn a_watch_whose_reader_has_seen_enough_ends_in_silence() {
    let daemon = Daemon::start(&[ECHO]);
    let (mut process, mut lines) = watch(&daemon, &[]);
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    assert!(first.starts_with("gpumuxd "), "{first}");
    drop(lines);
    let output = process.wait().unwrap();
    let mut said = String::new();
    let stderr = process.stderr.take().unwrap();
    BufReader::new(stderr).read_line(&mut said).unwrap();
    assert!(output.success() && said.is_empty(), "{output}: {said}");
}

#[test]
fn an_interval_without_a_unit_is_misuse() {
    let daemon = Daemon::start(&[ECHO]);
    for wrong in ["--watch=2", "--watch=1ms"] {
        assert_eq!(output(&daemon, &[wrong]).status.code(), Some(2), "{wrong}");
    }
}
