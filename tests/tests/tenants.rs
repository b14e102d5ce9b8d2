//! Tenants: whose a peer is, what it may open, what it may have, and what an operator reads of it.

use gpumux_shim::{
    ChannelSize, OpenError, OpenRefusal, Outcome, Reason, Refusal, Session, SubmitError,
    SubmitOptions,
};
use gpumux_tests::{Daemon, Options, binary};
use nix::sys::signal::{Signal, kill};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const ECHO: &str = "model = \"builtin:echo\"\nlength = { max = 4096 }\n";
const SIZE: ChannelSize = ChannelSize { slots: 8, arena_bytes: 1 << 20 };

/// A folder for tenants' sockets, and a daemon that serves `embed`, `ocr-de` and `ocr-en`.
struct Node {
    folder: TempDir,
    daemon: Daemon,
}

impl Node {
    fn start(config: impl Fn(&Path) -> String) -> Self {
        let folder = tempfile::tempdir().expect("room for sockets");
        let options = Options { config: config(folder.path()), ..Options::default() };
        let functions = [("embed", ECHO), ("ocr-de", ECHO), ("ocr-en", ECHO)];
        let daemon = Daemon::start_with(&functions, &options);
        Self { folder, daemon }
    }

    fn socket(&self, tenant: &str) -> PathBuf {
        self.folder.path().join(tenant)
    }

    /// Writes another configuration and has it read.
    fn reload(&self, config: &str) -> Output {
        std::fs::write(self.daemon.config(), config).expect("a folder of the test");
        Command::new(binary("gpumux"))
            .args(["reload", "--admin-socket"])
            .arg(self.daemon.admin_socket())
            .output()
            .expect("gpumux starts")
    }
}

fn two(folder: &Path) -> String {
    let socket = |name: &str| folder.join(name).display().to_string();
    format!(
        "[tenant.shop]\nsocket = \"{}\"\nfunctions = [\"embed\"]\nsessions_max = 2\n\
         channels_max = 2\nmapped_bytes_max = \"3MiB\"\n\
         [tenant.desk]\nsocket = \"{}\"\nfunctions = [\"ocr-*\"]\n",
        socket("shop"),
        socket("desk")
    )
}

fn refusal(opened: Result<gpumux_shim::Function, OpenError>) -> OpenRefusal {
    match opened.expect_err("it is refused") {
        OpenError::Refused(refusal) => refusal,
        other => panic!("{other}"),
    }
}

fn echo(function: &gpumux_shim::Function) -> Outcome {
    let mut request = function.request(5).expect("there is room");
    request.input_mut::<u8>("data").expect("echo has it").copy_from_slice(b"hello");
    let reply =
        request.submit(SubmitOptions::default()).expect("it is served").wait().expect("it ends");
    if reply.outcome() == Outcome::Done {
        assert_eq!(reply.output::<u8>("data").expect("it is done"), b"hello");
    }
    reply.outcome()
}

#[test]
fn a_tenant_sees_its_functions_and_no_others() {
    let node = Node::start(two);
    let shop = Session::connect(node.socket("shop")).unwrap();
    let desk = Session::connect(node.socket("desk")).unwrap();
    assert_eq!(echo(&shop.open("embed", SIZE).unwrap()), Outcome::Done);
    assert_eq!(echo(&desk.open("ocr-en", SIZE).unwrap()), Outcome::Done);
    // What is another's is to it as if it were not there, down to the suggestion.
    let unknown = |name: &str, nearest: Option<&str>| OpenRefusal::UnknownFunction {
        name: name.to_owned(),
        nearest: nearest.map(str::to_owned),
    };
    assert_eq!(refusal(shop.open("ocr-de", SIZE)), unknown("ocr-de", None));
    assert_eq!(refusal(desk.open("embed", SIZE)), unknown("embed", None));
    assert_eq!(refusal(desk.open("ocr-dee", SIZE)), unknown("ocr-dee", Some("ocr-de")));
    // Nobody is let in at the daemon's own socket whom no tenant names.
    let refused = Session::connect(node.daemon.socket()).unwrap_err().to_string();
    assert!(refused.contains("no tenant has this peer"), "{refused}");
    let status = node.daemon.status();
    let of = |name: &str| status.tenants.iter().find(|tenant| tenant.name == name).unwrap();
    assert_eq!((of("shop").sessions, of("shop").channels), (1, 0));
    assert_eq!((of("shop").refused_opens, of("desk").refused_opens), (1, 2));
    assert!(status.connections.refused.iter().any(|it| it.reason == "no_tenant"));
    let embed = status.functions.iter().find(|function| function.name == "embed").unwrap();
    let uses: Vec<_> =
        embed.tenants.iter().map(|it| (it.tenant.as_str(), it.outcomes.done)).collect();
    assert_eq!(uses, [("shop", 1)]);
}

#[test]
fn a_tenant_has_no_more_than_its_quotas() {
    let node = Node::start(two);
    let shop = Session::connect(node.socket("shop")).unwrap();
    let large = ChannelSize { slots: 8, arena_bytes: 2 << 20 };
    let first = shop.open("embed", large).unwrap();
    let over = refusal(shop.open("embed", large)).to_string();
    assert!(over.contains("this tenant's peers together may map 3145728 bytes"), "{over}");
    drop(first);
    let small = ChannelSize { slots: 8, arena_bytes: 64 << 10 };
    let _held = [shop.open("embed", small).unwrap(), shop.open("embed", small).unwrap()];
    let over = refusal(shop.open("embed", small)).to_string();
    assert!(over.contains("tenant `shop` may have 2 channels"), "{over}");
    let _second = Session::connect(node.socket("shop")).unwrap();
    let over = Session::connect(node.socket("shop")).unwrap_err().to_string();
    assert!(over.contains("tenant `shop` has 2 sessions"), "{over}");
    // Another's quotas are another's.
    assert_eq!(
        echo(&Session::connect(node.socket("desk")).unwrap().open("ocr-de", SIZE).unwrap()),
        Outcome::Done
    );
}

#[test]
fn a_tenant_is_held_to_its_queue_and_its_rate() {
    let node = Node::start(|folder| {
        let socket = |name: &str| folder.join(name).display().to_string();
        format!(
            "[tenant.queue]\nsocket = \"{}\"\nqueue_max = 3\n\
             [tenant.rate]\nsocket = \"{}\"\nrequests_per_s = 2\n",
            socket("queue"),
            socket("rate")
        )
    });
    let ended = |tenant: &str| -> Vec<Outcome> {
        let session = Session::connect(node.socket(tenant)).unwrap();
        let function = session.open("embed", SIZE).unwrap();
        let pending = node.daemon.at_once(|| {
            let submit = |_| {
                let mut request = function.request(5).unwrap();
                request.input_mut::<u8>("data").unwrap().fill(1);
                request.submit(SubmitOptions::default()).unwrap()
            };
            (0..6).map(submit).collect::<Vec<_>>()
        });
        pending.into_iter().map(|it| it.wait().unwrap().outcome()).collect()
    };
    let refused = |ended: &[Outcome]| -> Vec<(Reason, u64, bool)> {
        let refusals = ended.iter().filter_map(|outcome| match outcome {
            Outcome::Refused(refusal) => Some(refusal),
            _ => None,
        });
        refusals.map(|it| (it.reason, it.limit, it.retry_after_us > 0)).collect()
    };
    assert_eq!(refused(&ended("queue")), [(Reason::TenantQueueFull, 3, false); 3]);
    assert_eq!(refused(&ended("rate")), [(Reason::RateLimited, 2, true); 4]);
}

#[test]
fn users_and_groups_are_told_apart_at_the_shared_socket() {
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let node = Node::start(|_| {
        format!(
            "[tenant.other]\nuid = [{}]\n[tenant.group]\ngid = [{gid}]\n[tenant.user]\nuid = [{uid}]\n\
             functions = [\"embed\"]\n",
            uid + 1
        )
    });
    let session = node.daemon.connect();
    session.open("embed", SIZE).unwrap();
    assert_eq!(node.daemon.status().sessions[0].tenant, "user", "a user says more than a group");
    assert!(matches!(refusal(session.open("ocr-de", SIZE)), OpenRefusal::UnknownFunction { .. }));
}

#[test]
fn tenants_are_reloaded_and_a_bad_configuration_changes_nothing() {
    let node = Node::start(two);
    let shop = Session::connect(node.socket("shop")).unwrap();
    let embed = shop.open("embed", SIZE).unwrap();
    let good = two(node.folder.path());
    let bad = node.reload(&format!("{good}colour = \"red\"\n"));
    let said = String::from_utf8_lossy(&bad.stderr).into_owned();
    assert!(!bad.status.success());
    let line = good.lines().count() + 1;
    assert!(said.contains(&format!("gpumuxd.toml:{line}:1: unknown field `colour`")), "{said}");
    assert_eq!(echo(&embed), Outcome::Done);
    assert_eq!(node.daemon.status().tenants.len(), 2);
    // `desk` goes, `back` comes, `shop` may open more: its session and its channel stay.
    let desk = Session::connect(node.socket("desk")).unwrap();
    let after = good.replace("[tenant.desk]", "[tenant.back]").replace("\"embed\"", "\"*\"");
    let reloaded = node.reload(&after);
    let said = String::from_utf8_lossy(&reloaded.stdout).into_owned();
    assert!(reloaded.status.success(), "{}", String::from_utf8_lossy(&reloaded.stderr));
    assert_eq!(
        said,
        "tenant `back` was added\ntenant `shop` was changed\ntenant `desk` was removed\n"
    );
    assert_eq!(echo(&embed), Outcome::Done);
    assert_eq!(echo(&shop.open("ocr-de", SIZE).unwrap()), Outcome::Done);
    assert!(desk.open("ocr-de", SIZE).is_err(), "its tenant is gone");
    let back = Session::connect(node.socket("desk")).unwrap();
    assert_eq!(echo(&back.open("ocr-de", SIZE).unwrap()), Outcome::Done);
    // What a tenant may not have any more is taken from it, and it is told so.
    let taken = shop.open("ocr-de", SIZE).unwrap();
    // A signal does the same.
    std::fs::write(node.daemon.config(), &good).unwrap();
    kill(node.daemon.pid(), Signal::SIGHUP).unwrap();
    let is_back = |tenants: &[gpumux_wire::status::TenantStatus]| {
        tenants.iter().any(|tenant| tenant.name == "desk")
    };
    node.daemon.await_status(|status| is_back(&status.tenants));
    assert_eq!(echo(&embed), Outcome::Done);
    assert_eq!(echo(&taken), Outcome::Refused(Refusal::because(Reason::Restarted)));
    let refused = OpenRefusal::UnknownFunction { name: "ocr-de".to_owned(), nearest: None };
    assert_eq!(taken.request(5).unwrap_err(), SubmitError::Restarted(refused.into()));
    let of_shop = |status: &gpumux_wire::status::Status| {
        let shop = status.tenants.iter().find(|tenant| tenant.name == "shop");
        shop.map(|shop| shop.channels)
    };
    node.daemon.await_status(|status| of_shop(status) == Some(1));
}

#[test]
fn a_daemon_that_stops_is_not_reloaded() {
    let mut node = Node::start(two);
    let session = Session::connect(node.socket("shop")).unwrap();
    let function = session.open("embed", SIZE).unwrap();
    // One request keeps the drain from its end.
    let worker = node.daemon.stop_worker();
    let mut request = function.request(5).unwrap();
    request.input_mut::<u8>("data").unwrap().fill(1);
    let pending = request.submit(SubmitOptions::default()).unwrap();
    kill(node.daemon.pid(), Signal::SIGTERM).unwrap();
    let config = two(node.folder.path());
    let said = loop {
        let reloaded = node.reload(&config);
        if !reloaded.status.success() {
            break String::from_utf8_lossy(&reloaded.stderr).into_owned();
        }
    };
    assert!(said.contains("the daemon is stopping"), "{said}");
    kill(worker, Signal::SIGCONT).unwrap();
    assert!(matches!(pending.wait().unwrap().outcome(), Outcome::Done | Outcome::Refused(_)));
    assert!(node.daemon.wait().success());
}
