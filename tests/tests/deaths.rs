//! Peers, workers and daemons die at any moment; nobody else loses anything, and every request of a
//! survivor has exactly one outcome.

use gpumux_shim::{
    ChannelSize, OpenError, OpenRefusal, Outcome, Reason, Refusal, Session, SessionOptions,
    SubmitOptions,
};
use gpumux_tests::raw::RawSession;
use gpumux_tests::{Daemon, Options, Peer};
use gpumux_wire::control::ToPeer;
use gpumux_wire::record::RequestRecord;
use nix::sys::signal::{Signal, kill};
use std::time::Duration;

const NULL: (&str, &str) = ("null", "model = \"builtin:null\"\nlength = { max = 1024 }\n");
const SIZE: ChannelSize = ChannelSize { slots: 64, arena_bytes: 1 << 20 };

#[test]
fn a_peer_killed_in_the_middle_harms_nobody() {
    let daemon = Daemon::start(&[NULL]);
    let mut victim = Peer::start(&daemon, "null", 0, 64);
    let mut survivor = Peer::start(&daemon, "null", 20_000, 16);
    assert_eq!(victim.line(), "started");
    assert_eq!(survivor.line(), "started");
    victim.kill();
    assert_eq!(survivor.line(), "done 20000");
    assert!(survivor.succeeded());
    let status = daemon.await_status(|status| status.sessions.is_empty());
    assert_eq!(status.devices[0].worker_restarts, 0);
    daemon.await_status(|status| status.functions[0].channels == 0);
}

#[test]
fn a_dead_daemon_ends_what_is_open() {
    let mut daemon = Daemon::start(&[NULL]);
    let options = SessionOptions { reconnect_for: Duration::ZERO };
    let session = Session::connect_with(daemon.socket(), options).unwrap();
    let function = session.open("null", SIZE).unwrap();
    let worker = daemon.stop_worker();
    let mut request = function.request(8).unwrap();
    request.input_mut::<u8>("data").unwrap().fill(1);
    let pending = request.submit(SubmitOptions::default()).unwrap();
    kill(daemon.pid(), Signal::SIGKILL).unwrap();
    daemon.wait();
    kill(worker, Signal::SIGKILL).unwrap();
    let lost = Outcome::Refused(Refusal::because(Reason::DaemonLost));
    assert_eq!(pending.wait().unwrap().outcome(), lost);
    assert!(matches!(session.open("null", SIZE), Err(OpenError::SessionOver(_))));
}

#[test]
fn a_daemon_that_is_told_to_stop_finishes_and_ends_well() {
    let mut daemon = Daemon::start(&[NULL]);
    let mut peer = Peer::start(&daemon, "null", 0, 32);
    assert_eq!(peer.line(), "started");
    daemon.terminate();
    assert!(daemon.wait().success());
    // The peer saw a refusal or the daemon's end, not silence.
    assert!(!peer.succeeded());
    assert!(!daemon.socket().exists() && !daemon.admin_socket().exists());
}

#[test]
fn a_violation_ends_its_own_session_alone() {
    let daemon = Daemon::start(&[NULL]);
    let mut honest = Peer::start(&daemon, "null", 20_000, 16);
    assert_eq!(honest.line(), "started");
    let forgeries: [&dyn Fn(&mut gpumux_tests::raw::RawChannel); 3] = [
        &|channel| channel.push(u64::MAX),
        &|channel| {
            let record = RequestRecord { generation: 5, ..RequestRecord::default() };
            channel.side.write_request(0, &record);
            channel.push(6 << 32 | 1 << 16);
        },
        &|channel| {
            let mut record = RequestRecord { generation: 1, input_count: 1, ..Default::default() };
            record.inputs[0].offset = u64::MAX - 63;
            record.inputs[0].element = 1;
            record.inputs[0].rank = 1;
            record.inputs[0].dims[0] = 64;
            channel.submit(0, &record);
        },
    ];
    for forge in forgeries {
        let session = RawSession::connect(&daemon.socket());
        let mut channel = session.open("null", SIZE);
        forge(&mut channel);
        assert!(matches!(session.hear(), Some((ToPeer::Violation { .. }, _))));
        assert!(session.hear().is_none(), "the session is over");
        assert!(channel.completion().is_none(), "and so is its channel");
    }
    assert_eq!(honest.line(), "done 20000");
    assert!(honest.succeeded());
}

#[test]
fn a_second_daemon_does_not_take_the_socket() {
    let daemon = Daemon::start(&[NULL]);
    let options = Options { socket: Some(daemon.socket()), ..Options::default() };
    let said = Daemon::refuse(&[NULL], &options);
    assert!(said.contains("is served by another gpumuxd"), "{said}");
    assert!(daemon.connect().open("null", SIZE).is_ok());
}

#[test]
fn a_drained_daemon_opens_nothing_more() {
    let daemon = Daemon::start(&[NULL]);
    let session = daemon.connect();
    let worker = daemon.stop_worker();
    daemon.terminate();
    // The worker is stopped, so the daemon stays in its drain; it says so all the same.
    let status = daemon.await_status(|status| status.draining);
    assert_eq!(status.devices[0].state, "silent");
    let error = session.open("null", SIZE).unwrap_err();
    assert!(matches!(error, OpenError::Refused(OpenRefusal::Draining)), "{error}");
    kill(worker, Signal::SIGKILL).unwrap();
}
