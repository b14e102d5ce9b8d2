//! Programs in C, Python and Rust, each a tenant's and a process of its own, share one daemon: each has
//! its own function and no other's, what each is refused is said in the same words and audited, and
//! all go on when the daemon dies and another takes its place.

use gpumux_shim::{ChannelSize, Session};
use gpumux_tests::clock::Clock;
use gpumux_tests::programs::{Link, Programs, Talking, in_tree, python};
use gpumux_tests::{Daemon, Options, binary};
use gpumux_wire::status::Status;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

const ECHO: &str = "model = \"builtin:echo\"\nlength = { max = 1024 }\nmax_batch = 8\n";
/// Tenants and their functions, in the order of their programs: C, Python, Rust.
const TENANTS: [(&str, &str); 3] = [("shop", "embed"), ("desk", "translate"), ("lab", "classify")];
/// A function that there is not, for anybody.
const NOBODYS: &str = "upscale";
const SIZE: ChannelSize = ChannelSize { slots: 8, arena_bytes: 1 << 16 };

/// A daemon with the three tenants, each on a socket of its own with room for one session, and its log.
struct Node {
    daemon: Daemon,
    options: Options,
    folder: TempDir,
}

impl Node {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("room for sockets");
        let tenant = |(name, function): (&str, &str)| {
            let socket = folder.path().join(name).display().to_string();
            format!(
                "[tenant.{name}]\nsocket = \"{socket}\"\nfunctions = [\"{function}\"]\nsessions_max = 1\n"
            )
        };
        let options = Options {
            config: TENANTS.into_iter().map(tenant).collect(),
            log: Some(folder.path().join("log")),
            ..Options::default()
        };
        let daemon = Daemon::start_with(&functions(), &options);
        Self { daemon, options, folder }
    }

    fn socket(&self, tenant: &str) -> PathBuf {
        self.folder.path().join(tenant)
    }

    fn restart(&mut self) {
        self.daemon.restart_with(&functions(), &self.options);
    }

    /// The audit's lines so far.
    fn audit(&self) -> Vec<Value> {
        let log = std::fs::read_to_string(self.folder.path().join("log")).expect("it is written");
        let lines = log.lines().map(|line| serde_json::from_str(line).expect("JSON on each line"));
        lines.filter(|line: &Value| line["target"] == "gpumux::audit").collect()
    }
}

fn functions() -> [(&'static str, &'static str); 3] {
    TENANTS.map(|(_, function)| (function, ECHO))
}

/// A tenant's program, and what it was refused.
struct Tenant {
    name: &'static str,
    program: Talking,
    /// By the function asked for, what it was told.
    not_opened: BTreeMap<&'static str, String>,
    /// Where it is nobody's, and where it has a session already.
    turned_away: [String; 2],
}

impl Tenant {
    /// Starts a program, and hears what it is refused.
    fn start(
        node: &Node,
        (name, function): (&'static str, &'static str),
        mut command: Command,
    ) -> Self {
        let others = TENANTS.map(|(_, other)| other).into_iter().chain([NOBODYS]);
        let others: Vec<_> = others.filter(|other| *other != function).collect();
        command.arg(node.socket(name)).arg(function).arg(node.daemon.socket()).args(&others);
        let mut program = Talking::start(&mut command);
        let mut told = |how: &str| {
            let line = program.line();
            line.strip_prefix(how).unwrap_or_else(|| panic!("{name}: `{line}`")).to_owned()
        };
        let not_opened = others.into_iter().map(|other| (other, told("not opened: "))).collect();
        let turned_away = [told("turned away: "), told("turned away: ")];
        program.hear("serving");
        Self { name, program, not_opened, turned_away }
    }

    /// How many of its requests have been served.
    fn served(&mut self) -> u64 {
        self.program.tell();
        let line = self.program.line();
        line.parse().unwrap_or_else(|_| panic!("{}: `{line}`", self.name))
    }

    /// Waits until so many more have been.
    fn await_more(&mut self, more: u64) {
        let before = self.served();
        while self.served() < before + more {}
    }
}

fn start(node: &Node, programs: &Programs) -> [Tenant; 3] {
    let c = programs.compile("tests/programs/tenant.c", "c99", Link::Shared);
    let mut interpreter = Command::new(python());
    interpreter.args(["-P", "-B"]).arg(in_tree("tests/programs/tenant.py"));
    let commands = [programs.command(c), interpreter, Command::new(binary("gpumux-test-tenant"))];
    let mut commands = commands.into_iter();
    TENANTS.map(|tenant| Tenant::start(node, tenant, commands.next().expect("one for each")))
}

/// Each has its session, its channel and its function, at the same time.
fn sees_its_own(status: &Status) {
    assert_eq!(status.sessions.len(), 3);
    for (name, function) in TENANTS {
        let sessions: Vec<_> = status.sessions.iter().filter(|it| it.tenant == name).collect();
        assert_eq!(sessions.len(), 1, "{name}");
        assert_eq!(sessions[0].functions, [function]);
        let tenant = status.tenants.iter().find(|it| it.name == name).expect("it is configured");
        assert_eq!((tenant.sessions, tenant.channels), (1, 1), "{name}");
        let served = status.functions.iter().find(|it| it.name == function).expect("it is served");
        let users: Vec<_> = served.tenants.iter().map(|it| it.tenant.as_str()).collect();
        assert_eq!(users, [name]);
        assert!(served.tenants[0].outcomes.done > 0, "{name}");
    }
}

#[test]
fn three_languages_share_a_daemon_over_its_restarts() {
    let mut node = Node::start();
    let programs = Programs::new();
    let mut tenants = start(&node, &programs);
    tenants.iter_mut().for_each(|tenant| tenant.await_more(200));
    let status = node.daemon.status();
    sees_its_own(&status);
    for tenant in &status.tenants {
        assert_eq!((tenant.refused_opens, tenant.refused_connections), (3, 1), "{}", tenant.name);
    }
    are_told_the_same(&tenants);
    are_audited(&node, &tenants);
    // The supervisor dies, and what its worker had read is answered by that one; then both die while
    // nothing that was submitted is answered.
    node.daemon.crash_supervisor();
    node.restart();
    tenants.iter_mut().for_each(|tenant| tenant.await_more(100));
    let worker = node.daemon.stop_worker();
    node.daemon.crash(worker);
    node.restart();
    tenants.iter_mut().for_each(|tenant| tenant.await_more(100));
    sees_its_own(&node.daemon.status());
    for tenant in &mut tenants {
        let served = tenant.served();
        tenant.program.hang_up();
        let last = tenant.program.line();
        let all = last.strip_prefix("done ").and_then(|count| count.parse::<u64>().ok());
        assert!(all.is_some_and(|all| all > served), "{}: `{last}` after {served}", tenant.name);
        assert!(tenant.program.succeeded(), "{}", tenant.name);
    }
    let left = node.daemon.await_status(|status| status.sessions.is_empty());
    assert!(left.tenants.iter().all(|tenant| tenant.mapped_bytes == 0), "{:?}", left.tenants);
}

/// What is another's is to each as if it were not there; and a refusal is the same in all languages.
fn are_told_the_same(tenants: &[Tenant; 3]) {
    let mut said: BTreeMap<&str, &str> = BTreeMap::new();
    for tenant in tenants {
        for (function, told) in &tenant.not_opened {
            assert_eq!(*said.entry(function).or_insert(told), told, "{}", tenant.name);
        }
        let [nobodys, second] = &tenant.turned_away;
        assert_eq!(*nobodys, tenants[0].turned_away[0], "{}", tenant.name);
        assert_eq!(second.replace(tenant.name, "shop"), tenants[0].turned_away[1]);
    }
    assert_eq!(said.len(), 4);
    for (function, told) in &said {
        assert_eq!(told.replace(function, NOBODYS), said[NOBODYS], "no hint that it is there");
    }
    assert!(said[NOBODYS].starts_with("there is no function `upscale`: "), "{}", said[NOBODYS]);
    let [nobodys, second] = &tenants[0].turned_away;
    assert!(nobodys.contains("no tenant has this peer"), "{nobodys}");
    assert!(second.contains("tenant `shop` has 1 sessions"), "{second}");
}

/// Each refusal is a line with who it was, what it asked for and why not, and there are no others.
fn are_audited(node: &Node, tenants: &[Tenant; 3]) {
    let uid = nix::unistd::geteuid().as_raw();
    let line = |tenant: &Tenant, of: &str, what: &str, reason: &str, why: &str| {
        let why = why.strip_prefix("the daemon refused the session: ").unwrap_or(why);
        serde_json::json!({
            "tenant": of, "pid": tenant.program.id(), "uid": uid, "what": what,
            "reason": reason, "why": why, "left_out": 0, "level": "WARN", "message": "refused",
        })
    };
    let mut expected = Vec::new();
    for tenant in tenants {
        for (function, told) in &tenant.not_opened {
            let mut line = line(tenant, tenant.name, "function", "unknown_function", told);
            line["function"] = (*function).into();
            expected.push(line);
        }
        let [nobodys, second] = &tenant.turned_away;
        expected.push(line(tenant, "(none)", "connection", "no_tenant", nobodys));
        expected.push(line(tenant, tenant.name, "connection", "tenant_sessions_full", second));
    }
    let mut audited = node.audit();
    for line in &mut audited {
        let line = line.as_object_mut().expect("an object");
        for field in ["timestamp", "target", "gid", "cgroup"] {
            assert!(line.remove(field).is_some(), "no {field}: {line:?}");
        }
    }
    let sorted = |mut lines: Vec<Value>| {
        lines.sort_by_key(Value::to_string);
        lines
    };
    assert_eq!(sorted(audited), sorted(expected));
}

/// The lines of one tenant: how many, and how many refusals they stand for.
fn told(lines: &[Value], tenant: &str) -> (u64, u64) {
    let its = lines.iter().filter(|line| line["tenant"] == tenant);
    its.fold((0, 0), |(lines, refusals), line| {
        let left_out = line["left_out"].as_u64().expect("a number");
        (lines + 1, refusals + 1 + left_out)
    })
}

#[test]
fn a_flood_of_refusals_is_few_lines_which_count_them_all() {
    let node = Node::start();
    let strangers = node.daemon.socket();
    let clock = Clock::start();
    let mut refusals = 0;
    let mut refuse = || {
        Session::connect(&strangers).expect_err("it is nobody's");
        refusals += 1;
        refusals
    };
    for _ in 0..400 {
        refuse();
    }
    // Ten at once and one a second.
    let (lines, _) = told(&node.audit(), "(none)");
    let most = 11 + clock.now().as_secs();
    assert!((10..=most).contains(&lines), "{lines} lines, and at most {most} were due");
    // A line says how many there were without one.
    loop {
        let all = refuse();
        let (_, counted) = told(&node.audit(), "(none)");
        assert!(counted <= all, "{counted} of {all}");
        if counted == all {
            break;
        }
    }
    // What one does takes no line from another.
    let session = Session::connect(node.socket("lab")).expect("there is room");
    for name in ["embed", "line\nbreak \u{1b}[31m"] {
        session.open(name, SIZE).expect_err("it is not its own");
    }
    let lines = node.audit();
    assert_eq!(told(&lines, "lab"), (2, 2));
    let last = lines.last().expect("there are some");
    assert_eq!(last["function"], "line\nbreak \u{1b}[31m", "what a peer chose is quoted");
    let text = std::fs::read_to_string(node.folder.path().join("log")).expect("it is written");
    assert!(!text.contains('\u{1b}'), "and does nothing to a terminal");
    let status = node.daemon.status();
    let count = status.connections.refused.iter().find(|it| it.reason == "no_tenant");
    assert_eq!(count.map(|it| it.count), Some(refusals));
}
