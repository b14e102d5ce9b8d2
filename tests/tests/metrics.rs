//! Metrics, as a scraper reads them: every family is moved by something that this file does, and a
//! family that nothing here moves is a failure.

use gpumux_shim::{ChannelSize, Function, Outcome, Pending, Reason, Session, SubmitOptions};
use gpumux_tests::golden::fetched;
use gpumux_tests::raw::RawSession;
use gpumux_tests::{Daemon, Options, shared_state};
use gpumux_wire::control::ToPeer;
use gpumux_wire::geometry::Geometry;
use nix::sys::signal::{Signal, kill};
use prometheus_parse::{Scrape, Value};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const SIZE: ChannelSize = ChannelSize { slots: 16, arena_bytes: 1 << 16 };
/// Everything that a function may be told, and one request at a time.
const ECHO: (&str, &str) = (
    "echo",
    "model = \"builtin:echo\"\nlength = { max = 64 }\nmax_batch = 1\nqueue = 3\ndevice = 0\n\
     [service]\nobjective = \"p90 < 10m\"\n",
);
/// On a device of its own, so that deaths of the other one's worker cost it nothing.
const EMBED: (&str, &str) = (
    "embed",
    "model = \"model.onnx\"\noutputs = [\"sentence_embedding\"]\n\
     length = { axis = \"seq\", max = 16 }\n\
     pad = { fill = { input_ids = 0 }, mask = \"attention_mask\" }\nmax_batch = 1\ndevice = 1\n",
);
const NULL: (&str, &str) = ("null", "model = \"builtin:null\"\nlength = { max = 64 }\n");
/// The tenant of a configuration that names none, and the only one.
const TENANT: (&str, &str) = ("tenant", "default");
/// Text that has the emulated device misbehave.
const HANG: &[u8] = b"gpumux-poison:hang";
const ILLEGAL: &[u8] = b"gpumux-poison:illegal";

/// What a server answers: its head and its body.
fn get(mut stream: impl Read + Write, accept: &str) -> (String, String) {
    let asked = format!(
        "GET /metrics HTTP/1.1\r\nHost: gpumuxd\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(asked.as_bytes()).expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers with text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    (head.to_ascii_lowercase(), body.to_owned())
}

fn text(socket: &Path) -> String {
    get(UnixStream::connect(socket).expect("it is served"), "text/plain").1
}

/// One scrape.
struct Page(Scrape);

impl Page {
    fn of(daemon: &Daemon) -> Self {
        let lines = text(&daemon.metrics_socket());
        let lines = lines.lines().map(|line| Ok(line.to_owned()));
        Self(Scrape::parse(lines).expect("it is what Prometheus reads"))
    }

    /// Scrapes until it is as described.
    fn once(daemon: &Daemon, described: impl Fn(&Self) -> bool) -> Self {
        loop {
            let page = Self::of(daemon);
            if described(&page) {
                return page;
            }
        }
    }

    /// The value of the one series of a family that has these labels; of a histogram, its count.
    fn get(&self, family: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |sample: &&prometheus_parse::Sample| {
            sample.metric == family
                && labels.iter().all(|(name, value)| sample.labels.get(name) == Some(*value))
        };
        let mut found = self.0.samples.iter().filter(has);
        let sample = found.next()?;
        assert!(found.next().is_none(), "{family}{labels:?} is one series");
        Some(match &sample.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => *value,
            Value::Histogram(buckets) => {
                buckets.iter().map(|bucket| bucket.count).fold(0.0, f64::max)
            }
            Value::Summary(_) => panic!("{family} is a summary"),
        })
    }

    fn value(&self, family: &str, labels: &[(&str, &str)]) -> f64 {
        self.get(family, labels).unwrap_or_else(|| panic!("{family}{labels:?} is not there"))
    }

    /// Every family, by the name that its `# HELP` gives.
    fn families(&self) -> BTreeSet<String> {
        self.0.docs.keys().cloned().collect()
    }
}

/// Which families were seen to be what an action made them.
#[derive(Default)]
struct Moved(BTreeSet<String>);

impl Moved {
    /// A series is exactly this.
    fn is(&mut self, page: &Page, family: &str, labels: &[(&str, &str)], value: f64) {
        assert_eq!(page.value(family, labels), value, "{family}{labels:?}");
        self.0.insert(family.to_owned());
    }

    /// A series grew by exactly this, from nothing where it was not there.
    fn grew(
        &mut self,
        (before, after): (&Page, &Page),
        family: &str,
        labels: &[(&str, &str)],
        by: f64,
    ) {
        let was = before.get(family, labels).unwrap_or(0.0);
        assert_eq!(after.value(family, labels) - was, by, "{family}{labels:?}");
        self.0.insert(family.to_owned());
    }

    /// A series grew: how far is the machine's to say.
    fn rose(&mut self, (before, after): (&Page, &Page), family: &str, labels: &[(&str, &str)]) {
        let was = before.get(family, labels).unwrap_or(0.0);
        let is = after.value(family, labels);
        assert!(is > was, "{family}{labels:?}: {is} after {was}");
        self.0.insert(family.to_owned());
    }
}

fn submit_within(function: &Function, bytes: &[u8], budget: Option<Duration>) -> Pending {
    let mut request = function.request(u32::try_from(bytes.len()).expect("short")).expect("a slot");
    request.input_mut::<u8>("data").expect("its input").copy_from_slice(bytes);
    request.submit(SubmitOptions { budget }).expect("the channel lives")
}

fn submit(function: &Function, bytes: &[u8]) -> Pending {
    submit_within(function, bytes, None)
}

fn reason(pending: Pending) -> Option<Reason> {
    match pending.wait().expect("it ends").outcome() {
        Outcome::Refused(refusal) => Some(refusal.reason),
        _ => None,
    }
}

#[test]
fn every_metric_moves() {
    let options = Options {
        device: Some("emulated:poison=on,devices=2,sms=16".to_owned()),
        arguments: vec!["--hang-limit=3s".to_owned(), "--mapped-bytes-max=123456789".to_owned()],
        state: Some(shared_state()),
        beside: vec![("embed".to_owned(), fetched("minilm/model.onnx"))],
        ..Options::default()
    };
    let daemon = Daemon::start_with(&[ECHO, EMBED], &options);
    let mut moved = Moved::default();
    what_the_start_says(&daemon, &mut moved);
    let session = daemon.connect();
    let echo = sessions_and_channels(&daemon, &session, &mut moved);
    one_request(&daemon, &echo, &mut moved);
    one_padded_request(&daemon, &session, &mut moved);
    those_that_are_turned_away(&daemon, &session, &mut moved);
    a_lane_that_hangs(&daemon, &echo, &mut moved);
    a_function_that_kills(&daemon, &echo, &mut moved);
    let worker = daemon.workers()[0];
    kill(worker, Signal::SIGSTOP).unwrap();
    daemon.terminate();
    let page = Page::once(&daemon, |page| page.value("gpumux_draining", &[]) > 0.0);
    moved.is(&page, "gpumux_draining", &[], 1.0);
    let families = page.families();
    assert!(families.len() > 30, "{families:?}");
    let still: Vec<_> = families.difference(&moved.0).collect();
    assert!(still.is_empty(), "nothing in this test moves {still:?}");
    kill(worker, Signal::SIGKILL).unwrap();
}

fn what_the_start_says(daemon: &Daemon, moved: &mut Moved) {
    let page = Page::of(daemon);
    moved.is(&page, "gpumux_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    moved.is(&page, "gpumux_draining", &[], 0.0);
    moved.is(&page, "gpumux_mapped_limit_bytes", &[], 123_456_789.0);
    for (family, limit) in [
        ("gpumux_tenant_sessions_limit", 512.0),
        ("gpumux_tenant_channels_limit", 1024.0),
        ("gpumux_tenant_mapped_limit_bytes", 123_456_789.0),
    ] {
        moved.is(&page, family, &[TENANT], limit);
    }
    let first = [("device", "0"), ("emulated", "true")];
    let labels = [first[0], first[1], ("policy", "fifo"), ("partitions", "green contexts")];
    moved.is(&page, "gpumux_device_info", &labels, 1.0);
    moved.is(&page, "gpumux_device_up", &first, 1.0);
    moved.is(&page, "gpumux_device_sms", &first, 16.0);
    moved.is(&page, "gpumux_lane_sms", &[first[0], first[1], ("lane", "0")], 16.0);
    let memory = |device, kind| {
        let labels = [("device", device), ("emulated", "true"), ("use", kind)];
        page.value("gpumux_device_memory_bytes", &labels)
    };
    // MiniLM is on the second device alone: its weights are 90 MB.
    assert!(memory("1", "weights") > 9e7 && memory("0", "weights") < 1e6);
    let status = daemon.status();
    for (device, name) in status.devices.iter().zip(["0", "1"]) {
        let all: f64 = ["weights", "batches", "free"].map(|kind| memory(name, kind)).iter().sum();
        let reserved = device.memory_bytes;
        moved.is(&page, "gpumux_staging_memory_bytes", &[("device", name)], {
            u32::try_from(device.memory.staging_bytes).expect("it is small").into()
        });
        assert_eq!(all.to_string(), reserved.to_string());
    }
    moved.0.insert("gpumux_device_memory_bytes".to_owned());
    let labels = [("function", "embed"), ("device", "1"), ("model", "model.onnx")];
    moved.is(&page, "gpumux_function_info", &labels, 1.0);
    moved.is(&page, "gpumux_queue_limit_requests", &[("function", "echo")], 3.0);
    moved.is(&page, "gpumux_objective_ratio", &[("function", "echo")], 0.9);
    assert_eq!(page.get("gpumux_objective_ratio", &[("function", "embed")]), None);
    let later = Page::once(daemon, |page| page.value("gpumux_uptime_seconds", &[]) > 0.0);
    moved.rose((&page, &later), "gpumux_uptime_seconds", &[]);
}

fn sessions_and_channels(daemon: &Daemon, session: &Session, moved: &mut Moved) -> Function {
    let before = Page::once(daemon, |page| page.value("gpumux_sessions", &[]) > 0.0);
    moved.is(&before, "gpumux_connections_accepted_total", &[], 1.0);
    moved.is(&before, "gpumux_mapped_bytes", &[], 0.0);
    let echo = session.open("echo", SIZE).expect("it is served");
    let after = Page::of(daemon);
    let bytes = Geometry::new(SIZE).expect("a possible size").total_bytes();
    let bytes = f64::from(u32::try_from(bytes).expect("it is small"));
    for (family, labels) in [("gpumux", &[][..]), ("gpumux_tenant", &[TENANT])] {
        moved.is(&after, &format!("{family}_sessions"), labels, 1.0);
        moved.grew((&before, &after), &format!("{family}_channels"), labels, 1.0);
        moved.grew((&before, &after), &format!("{family}_mapped_bytes"), labels, bytes);
    }
    moved.grew((&before, &after), "gpumux_function_channels", &[("function", "echo")], 1.0);
    echo
}

fn one_request(daemon: &Daemon, echo: &Function, moved: &mut Moved) {
    let before = Page::of(daemon);
    let lane = [("device", "0"), ("lane", "0")];
    let done = submit_within(echo, b"hello", Some(Duration::from_secs(3600)));
    assert_eq!(done.wait().expect("it ends").outcome(), Outcome::Done);
    // The lane is free a moment after the answer.
    let busy = |page: &Page| page.value("gpumux_lane_busy_seconds_total", &lane);
    let after = Page::once(daemon, |page| busy(page) > busy(&before));
    let pages = (&before, &after);
    let function = ("function", "echo");
    moved.grew(pages, "gpumux_requests_read_total", &[function], 1.0);
    moved.grew(pages, "gpumux_requests_total", &[function, ("outcome", "done")], 1.0);
    moved.grew(pages, "gpumux_tenant_requests_total", &[function, ("outcome", "done")], 1.0);
    moved.grew(pages, "gpumux_request_duration_seconds", &[function], 1.0);
    for stage in ["queue", "copy", "device", "return"] {
        moved.grew(pages, "gpumux_stage_duration_seconds", &[function, ("stage", stage)], 1.0);
    }
    moved.grew(pages, "gpumux_deadlines_total", &[function, ("result", "met")], 1.0);
    moved.grew(pages, "gpumux_objective_requests_total", &[function, ("result", "within")], 1.0);
    moved.grew(pages, "gpumux_batch_size", &[function], 1.0);
    moved.grew(pages, "gpumux_elements_total", &[function, ("kind", "own")], 5.0);
    moved.grew(pages, "gpumux_lane_batches_total", &lane, 1.0);
    moved.rose(pages, "gpumux_lane_busy_seconds_total", &lane);
    moved.rose(pages, "gpumux_sm_seconds_total", &[function]);
    // One request had all of its batch, and its batch all of the lane.
    let sm_seconds = after.value("gpumux_sm_seconds_total", &[function]);
    let held = busy(&after) * 16.0;
    assert!((sm_seconds - held).abs() <= 1e-6 * held, "{sm_seconds} of {held}");
    the_parts_make_up_the_whole(daemon);
}

/// The stages' sums are the duration's.
fn the_parts_make_up_the_whole(daemon: &Daemon) {
    let page = text(&daemon.metrics_socket());
    let sum_of = |family: &str| -> f64 {
        let begin = format!("gpumux_{family}_sum{{function=\"echo\"");
        let lines = page.lines().filter(|line| line.starts_with(&begin));
        let value = |line: &str| line.rsplit(' ').next().and_then(|it| it.parse::<f64>().ok());
        lines.map(|line| value(line).expect("a number")).sum()
    };
    let (parts, whole) = (sum_of("stage_duration_seconds"), sum_of("request_duration_seconds"));
    assert!(whole > 0.0 && (parts - whole).abs() < 1e-8, "{parts} of {whole}");
}

fn one_padded_request(daemon: &Daemon, session: &Session, moved: &mut Moved) {
    let embed = session.open("embed", SIZE).expect("it is served");
    let before = Page::of(daemon);
    let mut request = embed.request(3).expect("a slot");
    request.input_mut::<i64>("input_ids").expect("its input").copy_from_slice(&[101, 7592, 102]);
    request.input_mut::<i64>("attention_mask").expect("its input").fill(1);
    request.input_mut::<i64>("token_type_ids").expect("its input").fill(0);
    let reply =
        request.submit(SubmitOptions::default()).expect("it lives").wait().expect("it ends");
    assert_eq!(reply.outcome(), Outcome::Done);
    let after = Page::of(daemon);
    let function = ("function", "embed");
    let padding = [function, ("kind", "padding")];
    moved.rose((&before, &after), "gpumux_elements_total", &padding);
    let padded = after.value("gpumux_elements_total", &padding);
    moved.is(&after, "gpumux_padding_ratio", &[function], padded / 3.0);
}

fn those_that_are_turned_away(daemon: &Daemon, session: &Session, moved: &mut Moved) {
    let before = Page::of(daemon);
    session.open("ecko", SIZE).expect_err("there is none");
    let raw = RawSession::connect(&daemon.socket());
    let mut channel = raw.open("echo", SIZE);
    channel.push(u64::MAX);
    assert!(matches!(raw.hear(), Some((ToPeer::Violation { .. }, _))));
    assert!(raw.hear().is_none(), "the session is over");
    let alone = |page: &Page| page.value("gpumux_sessions", &[]) == 1.0;
    let _left = Page::once(daemon, alone);
    // One of the places of this user is taken.
    let crowd: Vec<_> = (1..256).map(|_| RawSession::connect(&daemon.socket())).collect();
    // Until more are refused than the audit has lines for.
    let mut turned_away = 0.0;
    let left_out = |page: &Page| page.value("gpumux_tenant_audit_lines_left_out_total", &[TENANT]);
    let after = loop {
        for _ in 0..20 {
            Session::connect(daemon.socket()).expect_err("there is no place");
            turned_away += 1.0;
        }
        let page = Page::of(daemon);
        if left_out(&page) > left_out(&before) {
            break page;
        }
    };
    let pages = (&before, &after);
    let unknown = [("reason", "unknown_function")];
    moved.grew(pages, "gpumux_opens_refused_total", &unknown, 1.0);
    moved.grew(pages, "gpumux_violations_total", &[], 1.0);
    let full = [("reason", "user_sessions_full")];
    moved.grew(pages, "gpumux_connections_refused_total", &full, turned_away);
    moved.grew(pages, "gpumux_tenant_connections_refused_total", &[TENANT], turned_away);
    moved.grew(pages, "gpumux_tenant_opens_refused_total", &[TENANT], 1.0);
    moved.rose(pages, "gpumux_tenant_audit_lines_left_out_total", &[TENANT]);
    moved.grew(pages, "gpumux_connections_accepted_total", &[], 256.0);
    drop(crowd);
    let _left = Page::once(daemon, alone);
}

/// A batch that never ends holds its lane: what comes after waits, and ends in every way that it can.
fn a_lane_that_hangs(daemon: &Daemon, echo: &Function, moved: &mut Moved) {
    let before = Page::of(daemon);
    let function = ("function", "echo");
    let endless = submit(echo, HANG);
    let lane = [("device", "0"), ("lane", "0")];
    let granted = |page: &Page| page.value("gpumux_lane_granted_sms", &lane);
    assert_eq!(granted(&before), 0.0);
    let held = Page::once(daemon, |page| granted(page) > 0.0);
    moved.is(&held, "gpumux_lane_granted_sms", &lane, 16.0);
    let patient = submit(echo, b"waits");
    let late = submit_within(echo, b"late", Some(Duration::from_micros(1)));
    assert_eq!(late.wait().expect("it ends").outcome(), Outcome::DeadlineMissed);
    let (second, third) = (submit(echo, b"waits"), submit(echo, b"waits"));
    assert_eq!(reason(submit(echo, b"too many")), Some(Reason::QueueFull));
    let queued = |page: &Page| page.get("gpumux_queued_requests", &[function]);
    let full = Page::once(daemon, |page| queued(page) == Some(3.0));
    moved.is(&full, "gpumux_queued_requests", &[function], 3.0);
    drop((second, third));
    let cancelled = [function, ("outcome", "cancelled")];
    let count = |page: &Page| page.value("gpumux_requests_total", &cancelled);
    let after = Page::once(daemon, |page| count(page) == 2.0);
    let pages = (&before, &after);
    let refused = [function, ("reason", "queue_full")];
    moved.grew(pages, "gpumux_refusals_total", &refused, 1.0);
    moved.grew(pages, "gpumux_deadlines_total", &[function, ("result", "missed")], 1.0);
    moved.grew(pages, "gpumux_objective_requests_total", &[function, ("result", "beyond")], 1.0);
    // The worker is ended, and the next, for the same request; then that is refused.
    assert_eq!(reason(endless), Some(Reason::Poison));
    assert_eq!(patient.wait().expect("it ends").outcome(), Outcome::Done);
    let restarted = Page::of(daemon);
    moved.grew((&before, &restarted), "gpumux_worker_restarts_total", &[("device", "0")], 2.0);
    nothing_goes_back(&full, &restarted);
}

fn a_function_that_kills(daemon: &Daemon, echo: &Function, moved: &mut Moved) {
    let before = Page::of(daemon);
    let poison = submit(echo, ILLEGAL);
    let down = Page::once(daemon, |page| page.value("gpumux_device_up", &[("device", "0")]) < 1.0);
    moved.is(&down, "gpumux_device_up", &[("device", "0"), ("emulated", "true")], 0.0);
    nothing_goes_back(&before, &down);
    // Two convictions quarantine the function, so its end may be either.
    let end = reason(poison);
    assert!(matches!(end, Some(Reason::Poison | Reason::Quarantined)), "{end:?}");
    let after = Page::once(daemon, |page| page.value("gpumux_device_up", &[("device", "0")]) > 0.0);
    moved.is(&after, "gpumux_quarantined", &[("function", "echo")], 1.0);
    moved.is(&after, "gpumux_quarantined", &[("function", "embed")], 0.0);
    nothing_goes_back(&down, &after);
}

/// No counter of the one page is smaller in the other.
fn nothing_goes_back(before: &Page, after: &Page) {
    let mut compared = 0;
    for sample in &before.0.samples {
        let Value::Counter(was) = sample.value else { continue };
        let labels: Vec<(&str, &str)> =
            sample.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let is = after.value(&sample.metric, &labels);
        assert!(is >= was, "{}{labels:?} went from {was} to {is}", sample.metric);
        compared += 1;
    }
    assert!(compared > 20, "{compared} counters were compared");
}

#[test]
fn counters_survive_a_worker_but_for_what_it_did_not_report() {
    let daemon = Daemon::start(&[NULL]);
    let function = daemon.connect().open("null", SIZE).unwrap();
    for _ in 0..10 {
        assert_eq!(submit(&function, b"1").wait().unwrap().outcome(), Outcome::Done);
    }
    let before = Page::of(&daemon);
    let labels = [("function", "null"), ("outcome", "done")];
    assert_eq!(before.value("gpumux_requests_total", &labels), 10.0);
    kill(daemon.worker(), Signal::SIGKILL).unwrap();
    assert_eq!(submit(&function, b"1").wait().unwrap().outcome(), Outcome::Done);
    let after = Page::of(&daemon);
    assert_eq!(after.value("gpumux_requests_total", &labels), 11.0);
    assert_eq!(after.value("gpumux_request_duration_seconds", &[("function", "null")]), 11.0);
    nothing_goes_back(&before, &after);
}

#[test]
fn metrics_are_served_at_three_places_in_two_forms() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let arguments = vec![format!("--metrics-listen={port}")];
    let daemon = Daemon::start_with(&[NULL], &Options { arguments, ..Options::default() });
    let names = |page: &str| {
        let types = page.lines().filter(|line| line.starts_with("# TYPE "));
        types.map(str::to_owned).collect::<Vec<_>>()
    };
    let own = names(&text(&daemon.metrics_socket()));
    assert!(own.len() > 30, "{own:?}");
    assert_eq!(names(&text(&daemon.admin_socket())), own);
    let (head, page) = get(TcpStream::connect(port).unwrap(), "*/*");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert_eq!(names(&page), own);
    let wanted = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.1";
    let (head, page) = get(UnixStream::connect(daemon.metrics_socket()).unwrap(), wanted);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(page.ends_with("# EOF\n") && names(&page).len() == own.len(), "{page}");
    let mode = std::fs::metadata(daemon.metrics_socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[test]
fn nothing_is_served_to_the_network() {
    let arguments = vec!["--metrics-listen=0.0.0.0:9400".to_owned()];
    let said = Daemon::refuse(&[NULL], &Options { arguments, ..Options::default() });
    assert!(said.contains("0.0.0.0 is not a loopback address"), "{said}");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap();
    let arguments = vec![format!("--metrics-listen={port}")];
    let said = Daemon::refuse(&[NULL], &Options { arguments, ..Options::default() });
    assert!(said.contains(&port.to_string()) && said.contains("is the port free?"), "{said}");
}

/// Names and labels of the reference's table.
fn reference() -> Vec<(String, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tree's root");
    let page = std::fs::read_to_string(root.join("docs/reference/metrics.md")).expect("the page");
    let rows = page.lines().filter(|line| line.starts_with("| `gpumux_"));
    let words =
        |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let mut families = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').collect();
        let (name, mut labels) = (words(cells[1]).remove(0), words(cells[4]));
        if cells[2].trim() == "histogram" {
            for suffix in ["_bucket", "_sum", "_count"] {
                families.push((format!("{name}{suffix}"), labels.clone()));
            }
            labels.push("le".to_owned());
            families.push((format!("{name}_bucket"), labels));
        } else {
            families.push((name, labels));
        }
    }
    assert!(families.len() > 40, "{families:?}");
    families
}

fn is_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// Sees that a query names metrics and labels that exist. Says how many metrics it names.
fn check_query(query: &str) -> usize {
    let families = reference();
    let mut count = 0;
    for (at, _) in query.match_indices("gpumux_") {
        let rest = &query[at..];
        let end = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
        let name = &rest[..end];
        let family: Vec<_> = families.iter().filter(|(known, _)| known == name).collect();
        assert!(!family.is_empty(), "`{name}` of `{query}` is not in the reference");
        count += 1;
        let Some(matchers) = rest[end..].strip_prefix('{') else { continue };
        let matchers = matchers.split('}').next().unwrap_or_default();
        for matcher in matchers.split(',') {
            let label = matcher.trim().split(|letter| !is_name(letter)).next().unwrap_or_default();
            // Prometheus adds this one.
            let known = label == "instance"
                || family.iter().any(|(_, labels)| labels.iter().any(|it| it == label));
            assert!(known, "`{name}` has no label `{label}`: `{query}`");
        }
    }
    count
}

fn deployed(file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tree's root");
    std::fs::read_to_string(root.join("deploy").join(file)).expect("a file of the tree")
}

/// Every text of a JSON document that stands under one of these keys.
fn texts<'a>(value: &'a serde_json::Value, keys: &[&str], found: &mut Vec<&'a str>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                match value.as_str() {
                    Some(text) if keys.contains(&key.as_str()) => found.push(text),
                    _ => texts(value, keys, found),
                }
            }
        }
        serde_json::Value::Array(values) => {
            values.iter().for_each(|value| texts(value, keys, found));
        }
        _ => (),
    }
}

#[test]
fn the_dashboard_names_only_metrics_and_labels_that_exist() {
    let dashboard = deployed("grafana/gpumux.json");
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).expect("it is JSON");
    let mut queries = Vec::new();
    texts(&dashboard, &["expr", "definition"], &mut queries);
    assert!(queries.len() > 20, "{queries:?}");
    for query in &queries {
        assert!(check_query(query) > 0, "`{query}` names no metric of gpumux");
    }
    let variables = dashboard["templating"]["list"].as_array().expect("a list");
    assert!(variables.iter().any(|it| it["type"] == "datasource" && it["name"] == "datasource"));
    let mut uids = Vec::new();
    texts(&dashboard["panels"], &["uid"], &mut uids);
    assert!(!uids.is_empty() && uids.iter().all(|uid| *uid == "${datasource}"), "{uids:?}");
}

#[test]
fn the_alerts_name_only_metrics_and_labels_that_exist() {
    let alerts = deployed("prometheus/alerts.yml");
    let rules: Vec<&str> = alerts.split("- alert: ").skip(1).collect();
    assert!(rules.len() >= 5, "{alerts}");
    for rule in rules {
        let query = rule.split("labels: {").next().expect("a rule");
        assert!(query.contains("expr:") && check_query(query) > 0, "{rule}");
        assert!(rule.contains("severity:") && rule.contains("description:"), "{rule}");
    }
}
