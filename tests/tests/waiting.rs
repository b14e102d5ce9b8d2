//! `gpumux status --wait`: for scripts, and for people who have just started a daemon.

use gpumux_tests::{Daemon, binary};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

const ECHO: (&str, &str) = ("echo", "model = \"builtin:echo\"\nlength = { max = 64 }\n");

fn waiting(socket: &Path, limit: &str) -> Command {
    let mut command = Command::new(binary("gpumux"));
    command.args(["status", "--wait", limit, "--admin-socket"]).arg(socket);
    command
}

/// What a wait that comes to nothing says.
fn in_vain(socket: &Path) -> String {
    let output = waiting(socket, "100ms").output().expect("gpumux starts");
    assert_eq!(output.status.code(), Some(3), "as where no daemon answers");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn who_waits_is_told_when_the_next_daemon_serves() {
    let mut daemon = Daemon::start(&[ECHO]);
    let worker = daemon.worker();
    daemon.crash(worker);
    let waiter =
        waiting(&daemon.admin_socket(), "1h").stdout(Stdio::piped()).spawn().expect("it starts");
    daemon.restart(&[ECHO]);
    let output = waiter.wait_with_output().expect("it is our child");
    assert!(output.status.success());
    let page = String::from_utf8(output.stdout).expect("text");
    assert!(page.contains(": ready, ") && page.contains("echo"), "{page}");
}

#[test]
fn a_wait_ends_with_what_was_seen_last() {
    let folder = tempfile::tempdir().expect("room for a test's files");
    let socket = folder.path().join("admin.sock");
    let nobody = in_vain(&socket);
    assert!(nobody.contains("after 100ms: no daemon answers at "), "{nobody}");
    // As a daemon that starts: it listens, and does not answer yet.
    let _listens = UnixListener::bind(&socket).expect("a socket of our own");
    let starting = in_vain(&socket);
    assert!(starting.contains("admin.sock is still starting"), "{starting}");
}
