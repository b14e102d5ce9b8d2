//! The daemon under a service manager: what it tells it, the sockets that it takes from it, and its
//! log; and what the package has for people at a terminal. The manager here is this test.

use gpumux_shim::{ChannelSize, Function, Outcome, Session, SubmitOptions};
use gpumux_tests::binary;
use gpumux_wire::status::Status;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr};
use nix::sys::socket::{bind, listen, socket};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const SIZE: ChannelSize = ChannelSize { slots: 64, arena_bytes: 1 << 20 };
const ECHO: &str = "model = \"builtin:echo\"\nlength = { max = 1024 }\n";
/// Gives its standard input and output to the daemon as the first two sockets of a service manager,
/// whose process the daemon must be.
const WITH_SOCKETS: &str =
    "exec 3<&0 4<&1 0</dev/null 1>&2; LISTEN_FDS=2 LISTEN_PID=$$ exec \"$0\" \"$@\"";
/// Where the journal listens, on a machine that has one.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// A service manager, as far as a daemon can tell.
struct Manager {
    folder: TempDir,
    notified: UnixDatagram,
}

/// A daemon that it started. Dropping it kills it.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        // One that has ended already needs neither.
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

impl Service {
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).expect("a process id"));
        kill(pid, signal).expect("it is our child");
    }

    fn succeeded(&mut self) -> bool {
        self.0.wait().expect("it is our child").success()
    }
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("room for a test's files");
        let function = folder.path().join("models/echo");
        fs::create_dir_all(&function).expect("a folder of our own");
        fs::write(function.join("function.toml"), ECHO).expect("a folder of our own");
        let notified =
            UnixDatagram::bind(folder.path().join("notify")).expect("a socket in our folder");
        Self { folder, notified }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The daemon's command line, its log to a file.
    fn daemon(&self, mut command: Command) -> Command {
        for (option, name) in [
            ("--socket", "gpumuxd.sock"),
            ("--admin-socket", "admin.sock"),
            ("--models", "models"),
            ("--state", "state"),
        ] {
            command.arg(option).arg(self.path(name));
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .expect("a folder of our own");
        command
            .args(["--device", "emulated"])
            .env("NOTIFY_SOCKET", self.path("notify"))
            .env_remove("JOURNAL_STREAM")
            .stderr(log);
        command
    }

    fn plain(&self) -> Command {
        self.daemon(Command::new(binary("gpumuxd")))
    }

    /// A daemon that is given two sockets.
    fn with_sockets(&self, names: &str, first: &OwnedFd, second: &OwnedFd) -> Command {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(WITH_SOCKETS).arg(binary("gpumuxd"));
        let mut command = self.daemon(shell);
        command
            .env("LISTEN_FDNAMES", names)
            .stdin(first.try_clone().expect("room for a descriptor"))
            .stdout(second.try_clone().expect("room for a descriptor"));
        command
    }

    /// The same, with tenants.
    fn with_tenants(&self, names: &str, first: &OwnedFd, second: &OwnedFd) -> Command {
        let mut command = self.with_sockets(names, first, second);
        command.arg("--config").arg(self.path("gpumuxd.toml"));
        command
    }

    /// Writes a configuration with one tenant, whose socket is there.
    fn configure(&self, tenant: &str, socket: &Path) {
        let text = format!("[tenant.{tenant}]\nsocket = \"{}\"\n", socket.display());
        fs::write(self.path("gpumuxd.toml"), text).expect("a folder of our own");
    }

    /// Has the daemon read its configuration, and returns why it does not, if so.
    fn reload(&self, admin: &Path) -> Result<(), String> {
        let mut gpumux = Command::new(binary("gpumux"));
        let output = gpumux.args(["reload", "--admin-socket"]).arg(admin).output();
        let output = output.expect("gpumux starts");
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8(output.stderr).expect("it writes text")),
        }
    }

    /// Starts a daemon and waits until it says that it is ready.
    fn start(&self, mut command: Command) -> Service {
        let mut service = Service(command.spawn().expect("it starts"));
        while !self.heard().is_some_and(|message| message.contains("READY=1")) {
            let ended = service.0.try_wait().expect("it is our child");
            assert!(ended.is_none(), "it ended before it was ready: {}", self.log());
        }
        service
    }

    /// Has a daemon start that is expected to refuse, and returns what it says.
    fn refused(&self, command: &mut Command) -> String {
        let output = command.stderr(Stdio::piped()).output().expect("it starts");
        let said = String::from_utf8(output.stderr).expect("it writes text");
        assert!(!output.status.success(), "it was expected to refuse: {said}");
        said
    }

    /// The next message of a daemon. None when none came for a while.
    fn heard(&self) -> Option<String> {
        self.notified
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("a span that is not zero");
        let mut message = [0; 512];
        let bytes = self.notified.recv(&mut message).ok()?;
        Some(String::from_utf8_lossy(&message[..bytes]).trim_end().to_owned())
    }

    /// Waits for a message.
    fn await_message(&self, wanted: &str) {
        while self.heard().as_deref() != Some(wanted) {}
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).expect("a folder of our own")
    }

    fn status(&self) -> Status {
        let mut gpumux = Command::new(binary("gpumux"));
        let admin = self.path("admin.sock");
        let output = gpumux.args(["status", "--json", "--admin-socket"]).arg(admin).output();
        serde_json::from_slice(&output.expect("gpumux starts").stdout).expect("the documented JSON")
    }
}

/// A socket that listens, as a service manager makes it.
fn listening(path: &Path, kind: SockType) -> OwnedFd {
    let made = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    bind(std::os::fd::AsRawFd::as_raw_fd(&made), &UnixAddr::new(path).expect("a short path"))
        .expect("a path of our own");
    listen(&made, Backlog::new(16).expect("a small number")).expect("it is bound");
    made
}

/// Waits until somebody has connected whom nobody has accepted.
fn await_connection(listener: &OwnedFd) {
    let mut polled = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
    while poll(&mut polled, PollTimeout::NONE) != Ok(1) {}
}

/// A session of another thread, which connects now and is served when somebody is there.
fn call_in(path: PathBuf) -> std::thread::JoinHandle<Function> {
    std::thread::spawn(move || {
        let session = Session::connect(path).expect("somebody listens");
        let function = session.open("echo", SIZE).expect("it is served");
        echo(&function);
        function
    })
}

fn echo(function: &Function) {
    let mut request = function.request(5).expect("a slot");
    request.input_mut::<u8>("data").expect("its input").copy_from_slice(b"hello");
    let reply = request
        .submit(SubmitOptions::default())
        .expect("the channel lives")
        .wait()
        .expect("it ends");
    assert_eq!(reply.outcome(), Outcome::Done);
    assert_eq!(reply.output::<u8>("data").expect("its output"), b"hello");
}

#[test]
fn the_manager_hears_of_each_turn() {
    let manager = Manager::new();
    let mut command = manager.plain();
    command.env("WATCHDOG_USEC", "100000");
    let mut service = Service(command.spawn().unwrap());
    // Before each model, whose import may take its time.
    manager.await_message("EXTEND_TIMEOUT_USEC=1200000000");
    manager.await_message("READY=1");
    for _ in 0..5 {
        manager.await_message("WATCHDOG=1");
    }
    // That its worker hangs is its keeper's affair: the daemon is fine.
    let worker = manager.status().devices[0].worker_pid.unwrap();
    let worker = Pid::from_raw(i32::try_from(worker).unwrap());
    kill(worker, Signal::SIGSTOP).unwrap();
    while manager.status().devices[0].state != "silent" {}
    // More than it can have said before.
    for _ in 0..60 {
        manager.await_message("WATCHDOG=1");
    }
    kill(worker, Signal::SIGCONT).unwrap();
    service.signal(Signal::SIGTERM);
    manager.await_message("STOPPING=1");
    assert!(service.succeeded());
}

#[test]
fn a_daemon_of_many_models_gets_ready() {
    let manager = Manager::new();
    for number in 0..100 {
        let function = manager.path(&format!("models/function-{number}"));
        fs::create_dir(&function).unwrap();
        fs::write(function.join("function.toml"), ECHO).unwrap();
    }
    // It tells of each model, and nothing of that crowds out that it is ready.
    let mut service = manager.start(manager.plain());
    assert_eq!(manager.status().functions.len(), 101);
    service.signal(Signal::SIGTERM);
    manager.await_message("STOPPING=1");
    assert!(service.succeeded());
}

#[test]
fn the_manager_hears_of_a_reload() {
    let manager = Manager::new();
    let mut service = manager.start(manager.plain());
    let session = Session::connect(manager.path("gpumuxd.sock")).unwrap();
    let function = session.open("echo", SIZE).unwrap();
    let other = manager.path("models/other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("function.toml"), ECHO).unwrap();
    service.signal(Signal::SIGHUP);
    let reloading = loop {
        if let Some(message) = manager.heard() {
            break message;
        }
    };
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("it says so first");
    assert!(since.trim().parse::<u64>().is_ok(), "{reloading}");
    manager.await_message("READY=1");
    let functions = manager.status().functions;
    assert_eq!(functions.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["echo", "other"]);
    echo(&function);
    // What is wrong is in the log, and the daemon is as ready as before.
    fs::write(other.join("function.toml"), "model = 3\n").unwrap();
    service.signal(Signal::SIGHUP);
    manager.await_message("READY=1");
    let log = manager.log();
    assert!(log.contains("not reloaded") && log.contains("other/function.toml:1"), "{log}");
    assert_eq!(manager.status().functions.len(), 2);
    echo(&function);
    service.signal(Signal::SIGTERM);
    assert!(service.succeeded());
}

#[test]
fn who_connects_while_nobody_serves_is_served_by_the_next() {
    let manager = Manager::new();
    let (peers, admin) = (manager.path("peers.sock"), manager.path("operators.sock"));
    let first = listening(&peers, SockType::SeqPacket);
    let second = listening(&admin, SockType::Stream);
    let early = call_in(peers.clone());
    await_connection(&first);
    let mut service = manager.start(manager.with_sockets("peers:admin", &first, &second));
    echo(&early.join().expect("it was served"));
    // It listens where it was told to, and nowhere else.
    assert!(!manager.path("gpumuxd.sock").exists() && !manager.path("admin.sock").exists());
    let output = Command::new(binary("gpumux"))
        .args(["status", "--json", "--admin-socket"])
        .arg(&admin)
        .output()
        .unwrap();
    let status: Status = serde_json::from_slice(&output.stdout).expect("the documented JSON");
    assert_eq!(status.functions[0].name, "echo");

    let again = manager.refused(&mut manager.with_sockets("peers:admin", &first, &second));
    assert!(again.contains("peers.sock is served by another gpumuxd"), "{again}");

    service.signal(Signal::SIGTERM);
    assert!(service.succeeded());
    // Nobody serves, but the socket is there, and so is its queue.
    let meanwhile = call_in(peers.clone());
    await_connection(&first);
    // The names say which is which, and not the order.
    let _service = manager.start(manager.with_sockets("admin:peers", &second, &first));
    echo(&meanwhile.join().expect("it was served"));
}

#[test]
fn a_socket_that_is_not_what_its_name_says_is_refused() {
    let manager = Manager::new();
    let packets = listening(&manager.path("packets.sock"), SockType::SeqPacket);
    let stream = listening(&manager.path("stream.sock"), SockType::Stream);
    let deaf = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::empty(), None).unwrap();
    for (names, first, second, complaint) in [
        (
            "peers:admin",
            &stream,
            &packets,
            "`peers` that the service manager gave: it is not a Unix socket that listens, of ListenSequentialPacket=",
        ),
        (
            "peers:admin",
            &packets,
            &packets,
            "`admin` that the service manager gave: it is not a Unix socket that listens, of ListenStream=",
        ),
        ("peers:admin", &deaf, &stream, "`peers` that the service manager gave: it is not"),
        ("peers:peers", &packets, &packets, "there are several of that name"),
        (
            "peers:friends",
            &packets,
            &stream,
            "`friends` that the service manager gave: nothing is served under that name",
        ),
        ("peers", &packets, &stream, "LISTEN_FDNAMES"),
    ] {
        let said = manager.refused(&mut manager.with_sockets(names, first, second));
        assert!(said.contains(complaint), "{names}: {said}");
    }
    let said = manager.refused(
        manager.with_sockets("peers:admin:more", &packets, &stream).env("LISTEN_FDS", "3"),
    );
    assert!(said.contains("LISTEN_FD"), "{said}");
    assert!(manager.path("packets.sock").exists(), "they are not ours to remove");
}

#[test]
fn a_tenants_socket_is_its_own_and_stays() {
    let manager = Manager::new();
    let (shop, admin) = (manager.path("shop.sock"), manager.path("operators.sock"));
    let first = listening(&shop, SockType::SeqPacket);
    let second = listening(&admin, SockType::Stream);
    fs::set_permissions(&shop, fs::Permissions::from_mode(0o600)).unwrap();
    manager.configure("shop", &shop);
    let early = call_in(shop.clone());
    await_connection(&first);
    let mut service = manager.start(manager.with_tenants("tenant-shop:admin", &first, &second));
    let function = early.join().expect("it was served");
    let tenant_of = |session: usize| {
        let output = Command::new(binary("gpumux"))
            .args(["status", "--json", "--admin-socket"])
            .arg(&admin)
            .output()
            .expect("gpumux starts");
        let status: Status = serde_json::from_slice(&output.stdout).expect("the documented JSON");
        status.sessions.get(session).map(|session| session.tenant.clone())
    };
    assert_eq!(tenant_of(0).as_deref(), Some("shop"));
    // It cannot be another's, or elsewhere, and a configuration that says so changes nothing.
    manager.configure("shop", &manager.path("elsewhere.sock"));
    let said = manager.reload(&admin).unwrap_err();
    assert!(said.contains("`[tenant.shop]` does not say `socket = "), "{said}");
    manager.configure("desk", &shop);
    let said = manager.reload(&admin).unwrap_err();
    assert!(said.contains("which `[tenant.desk]` has as its `socket`"), "{said}");
    echo(&function);
    // Its tenant goes: nobody waits at it in vain. It comes back: it has it again.
    manager.configure("desk", &manager.path("desk.sock"));
    manager.reload(&admin).unwrap();
    while tenant_of(0).is_some() {}
    let refused = Session::connect(&shop).unwrap_err().to_string();
    assert!(refused.contains("no tenant has this peer"), "{refused}");
    echo(&call_in(manager.path("desk.sock")).join().expect("that one is served"));
    manager.configure("shop", &shop);
    manager.reload(&admin).unwrap();
    echo(&call_in(shop.clone()).join().expect("it is served again"));
    assert!(!manager.path("desk.sock").exists(), "the daemon made that one");
    service.signal(Signal::SIGTERM);
    assert!(service.succeeded());
    // Nobody serves, and it is as it was made.
    assert_eq!(fs::metadata(&shop).unwrap().permissions().mode() & 0o777, 0o600);
    let meanwhile = call_in(shop);
    await_connection(&first);
    let _service = manager.start(manager.with_tenants("tenant-shop:admin", &first, &second));
    echo(&meanwhile.join().expect("it was served"));
}

#[test]
fn a_socket_of_no_tenant_is_refused() {
    let manager = Manager::new();
    let path = manager.path("shop.sock");
    let first = listening(&path, SockType::SeqPacket);
    let second = listening(&manager.path("second.sock"), SockType::SeqPacket);
    let refused = |names: &str, tenant: &str, socket: &Path| {
        manager.configure(tenant, socket);
        manager.refused(&mut manager.with_tenants(names, &first, &second))
    };
    let desk = manager.path("desk.sock");
    for (said, complaint) in [
        (
            refused("tenant-shop:peers", "desk", &desk),
            "`tenant-shop` that the service manager gave: nothing is served under that name",
        ),
        (
            refused("tenant-shop:peers", "shop", &desk),
            "and `[tenant.shop]` does not say `socket = ",
        ),
        (
            refused("tenant-desk:peers", "shop", &path),
            "`tenant-desk` that the service manager gave",
        ),
        (refused("peers:admin", "shop", &path), "`peers` that the service manager gave: it is at"),
        (refused("tenant-shop:tenant-shop", "shop", &path), "there are several of that name"),
    ] {
        assert!(said.contains(complaint), "{said}");
    }
    assert!(path.exists(), "it is not ours to remove");
}

#[test]
fn a_thousand_requests_add_no_line_to_the_log() {
    let manager = Manager::new();
    let mut command = manager.plain();
    command.args(["--log-format", "json"]);
    let mut service = manager.start(command);
    let session = Session::connect(manager.path("gpumuxd.sock")).unwrap();
    let function = session.open("echo", SIZE).unwrap();
    echo(&function);
    let before = manager.log();
    for _ in 0..1000 {
        echo(&function);
    }
    assert_eq!(manager.status().functions[0].outcomes.done, 1001);
    assert_eq!(manager.log(), before, "no request is worth a line");
    drop((function, session));
    service.signal(Signal::SIGTERM);
    assert!(service.succeeded());
    let log = manager.log();
    assert!(log.lines().any(|line| line.contains("\"message\":\"worker ready\"")), "{log}");
    for line in log.lines() {
        let parsed: serde_json::Value = serde_json::from_str(line).expect("JSON on each line");
        for field in ["timestamp", "level", "target", "message"] {
            assert!(parsed[field].is_string(), "no {field}: {line}");
        }
    }
}

#[test]
fn the_journal_is_used_where_it_is_and_missed_where_it_is_not() {
    let manager = Manager::new();
    // Told by the option, and told by standard error being the journal's.
    let mut asked = manager.plain();
    asked.env("GPUMUX_LOG_FORMAT", "journald");
    let mut noticed = manager.plain();
    let log = fs::metadata(manager.path("log")).unwrap();
    noticed.env("JOURNAL_STREAM", format!("{}:{}", log.dev(), log.ino()));
    for mut command in [asked, noticed] {
        if Path::new(JOURNAL).exists() {
            drop(manager.start(command));
            assert_eq!(manager.log(), "", "the journal has it");
        } else {
            assert!(!command.status().unwrap().success(), "there is no journal");
            let log = manager.log();
            assert!(log.contains("the journal cannot be reached at /run/systemd"), "{log}");
            File::create(manager.path("log")).unwrap();
        }
    }
    let said = manager.refused(manager.plain().env("GPUMUX_LOG", "gpumux=loud"));
    assert!(said.contains("GPUMUX_LOG: "), "{said}");
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("a program writes text")
}

#[test]
fn shells_complete_the_commands() {
    for (shell, mark) in
        [("bash", "complete -F"), ("zsh", "#compdef gpumux"), ("fish", "complete -c gpumux")]
    {
        let output = Command::new(binary("gpumux")).args(["completions", shell]).output().unwrap();
        let script = said(&output);
        for word in [mark, "status", "doctor", "functions"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
        assert!(!script.contains("bench-peer"), "{shell}: what is hidden is not completed");
        if shell == "bash" {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), script).unwrap();
            said(&Command::new("bash").arg("-n").arg(file.path()).output().unwrap());
        }
    }
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let folder = tempfile::tempdir().unwrap();
    for program in ["gpumux", "gpumuxd"] {
        said(&Command::new(binary(program)).arg("man").arg(folder.path()).output().unwrap());
    }
    for (page, words) in [
        ("gpumuxd.8", ["GPUMUX_ADMIN_SOCKET", "hang", "emulated"]),
        ("gpumux.1", ["SUBCOMMANDS", "doctor", "completions"]),
        ("gpumux-status.1", ["json", "GPUMUX_ADMIN_SOCKET", "OPTIONS"]),
        ("gpumux-functions-clear.1", ["quarantined", "SYNOPSIS", "NAME"]),
    ] {
        let path = folder.path().join(page);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(text.contains(".TH "), "{page}");
        for word in words {
            assert!(text.contains(word), "{page}: no {word}");
        }
        assert!(!text.contains("\\fBworker\\fR") && !page.contains("man"), "{page}: hidden");
        // Where there is a formatter, it has nothing to complain of.
        if Path::new("/usr/bin/man").exists() {
            let output = Command::new("/usr/bin/man")
                .args(["--warnings", "--local-file"])
                .arg(&path)
                .env("MANPAGER", "cat")
                .env("LC_ALL", "C.UTF-8")
                .output()
                .unwrap();
            assert!(said(&output).contains("NAME"), "{page}");
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{page}");
        }
    }
    let hidden = folder.path().join("gpumux-man.1");
    assert!(!hidden.exists(), "what is hidden has no page");
}
