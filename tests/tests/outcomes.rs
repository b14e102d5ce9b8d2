//! Each way that a request can go wrong is a distinct typed outcome that says what to do.

use gpumux_shim::{
    ChannelSize, ConnectError, OpenError, OpenRefusal, Outcome, Reason, Session, SubmitError,
    SubmitOptions,
};
use gpumux_tests::raw::RawSession;
use gpumux_tests::{Daemon, Options};
use gpumux_wire::control::ToPeer;
use gpumux_wire::geometry::Geometry;
use gpumux_wire::record::{InputRecord, RequestRecord};
use gpumux_wire::signature::ElementType;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::os::fd::OwnedFd;

const NULL: (&str, &str) = ("null", "model = \"builtin:null\"\nlength = { max = 1024 }\n");
const SIZE: ChannelSize = ChannelSize { slots: 8, arena_bytes: 8192 };

#[test]
fn a_request_comes_back_done() {
    let daemon = Daemon::start(&[NULL]);
    let function = daemon.connect().open("null", SIZE).unwrap();
    assert_eq!(function.inputs()[0].to_string(), "data: u8[length]");
    let mut request = function.request(5).unwrap();
    request.input_mut::<u8>("data").unwrap().copy_from_slice(b"hello");
    let reply = request.submit(SubmitOptions::default()).unwrap().wait().unwrap();
    assert_eq!((reply.outcome(), reply.batch()), (Outcome::Done, 1));
    let status = daemon.status();
    assert_eq!(status.functions[0].outcomes.done, 1);
    assert_eq!(status.sessions[0].pid, i32::try_from(std::process::id()).unwrap());
    assert_eq!(status.sessions[0].functions, ["null"]);
}

#[test]
fn an_absent_daemon_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let error = Session::connect(folder.path().join("nobody.sock")).unwrap_err();
    assert!(matches!(error, ConnectError::DaemonAbsent { .. }), "{error}");
    assert!(error.to_string().contains("start gpumuxd"), "{error}");
}

#[test]
fn an_unknown_function_is_refused_with_the_nearest() {
    let daemon = Daemon::start(&[NULL]);
    let error = daemon.connect().open("nul", SIZE).unwrap_err();
    let OpenError::Refused(OpenRefusal::UnknownFunction { name, nearest }) = error else {
        panic!("{error}")
    };
    assert_eq!((name.as_str(), nearest.as_deref()), ("nul", Some("null")));
}

#[test]
fn what_the_shim_can_see_never_leaves_it() {
    let daemon = Daemon::start(&[NULL]);
    let function = daemon.connect().open("null", SIZE).unwrap();
    assert_eq!(
        function.request(1025).unwrap_err(),
        SubmitError::TooLong { length: 1025, max: 1024 }
    );
    assert!(matches!(function.request(0).unwrap_err(), SubmitError::BadLength { .. }));
    let mut request = function.request(4).unwrap();
    let wrong_type = request.input_mut::<f32>("data").unwrap_err();
    assert!(matches!(wrong_type, SubmitError::WrongType { expected: ElementType::U8, .. }));
    let wrong_shape = request.write::<u8>("data", &[2, 2], &[0; 4]).unwrap_err();
    assert!(matches!(wrong_shape, SubmitError::WrongShape { .. }), "{wrong_shape}");
    let unknown = request.input_mut::<u8>("dada").unwrap_err();
    assert!(unknown.to_string().contains("the function takes `data`"), "{unknown}");
    let missing = request.submit(SubmitOptions::default()).unwrap_err();
    assert_eq!(missing, SubmitError::MissingInput { name: "data".into() });
    assert_eq!(daemon.status().functions[0].arrived, 0);
}

#[test]
fn a_full_arena_and_full_slots_are_told_apart_and_pass() {
    let daemon = Daemon::start(&[NULL]);
    let function = daemon.connect().open("null", SIZE).unwrap();
    let held: Vec<_> = (0..8).map(|_| function.request(1).unwrap()).collect();
    assert_eq!(function.request(1).unwrap_err(), SubmitError::SlotsFull { slots: 8 });
    drop(held);
    let small = ChannelSize { slots: 8, arena_bytes: 2048 };
    let function = daemon.connect().open("null", small).unwrap();
    let held: Vec<_> = (0..2).map(|_| function.request(1024).unwrap()).collect();
    assert_eq!(function.request(1024).unwrap_err(), SubmitError::ArenaFull { needed: 1024 });
    drop(held);
    assert!(function.request(1024).is_ok());
}

/// A record that the daemon would serve.
fn record(generation: u32) -> RequestRecord {
    let mut record = RequestRecord { generation, input_count: 1, ..RequestRecord::default() };
    record.inputs[0] = InputRecord {
        offset: 0,
        element: ElementType::U8.code(),
        rank: 1,
        dims: [16, 0, 0, 0, 0, 0],
    };
    record
}

#[test]
fn what_reaches_the_worker_wrong_is_refused_by_reason() {
    let daemon = Daemon::start(&[NULL]);
    let session = RawSession::connect(&daemon.socket());
    let mut channel = session.open("null", SIZE);
    let mut refused = |generation: u32, change: &dyn Fn(&mut RequestRecord)| {
        let mut record = record(generation);
        change(&mut record);
        channel.submit(3, &record);
        let (response, outcome) = channel.completion().expect("the channel lives");
        assert_eq!(response.generation, generation);
        outcome
    };
    let reason = |outcome| match outcome {
        Outcome::Refused(refusal) => refusal.reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(refused(1, &|record| record.inputs[0].element = 4)), Reason::WrongType);
    assert_eq!(reason(refused(2, &|record| record.inputs[0].rank = 2)), Reason::WrongShape);
    assert_eq!(reason(refused(3, &|record| record.inputs[0].dims[0] = 1025)), Reason::TooLong);
    assert_eq!(reason(refused(4, &|record| record.input_count = 0)), Reason::WrongCount);
    assert_eq!(refused(5, &|_| ()), Outcome::Done);
    let refusals = daemon.status().functions[0].refusals.clone();
    assert_eq!(refusals.iter().map(|refusal| refusal.count).sum::<u64>(), 4);
}

#[test]
fn memory_that_is_not_a_channel_is_refused_by_cause() {
    let daemon = Daemon::start(&[NULL]);
    let session = RawSession::connect(&daemon.socket());
    let needed = Geometry::new(SIZE).unwrap().total_bytes();
    let memfd = |bytes: u64, seals: SealFlag| -> OwnedFd {
        let memfd = memfd_create(c"test", MFdFlags::MFD_ALLOW_SEALING).unwrap();
        nix::unistd::ftruncate(&memfd, i64::try_from(bytes).unwrap()).unwrap();
        fcntl(&memfd, FcntlArg::F_ADD_SEALS(seals)).unwrap();
        memfd
    };
    let sealed = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    let file = std::fs::File::open("/dev/null").unwrap().into();
    let cases = [
        (Some(memfd(needed, SealFlag::empty())), "seals are not SHRINK, GROW and SEAL alone"),
        (Some(memfd(4096, sealed)), "the memfd holds 4096 bytes"),
        (Some(file), "not a memfd on tmpfs"),
        (None, "no memfd came with the message"),
    ];
    for (memory, expected) in cases {
        let answer = session.ask("null", SIZE, memory.as_ref());
        let ToPeer::NotOpened { refusal: OpenRefusal::BadMemory { what }, .. } = answer else {
            panic!("{expected}: {answer:?}")
        };
        assert!(what.contains(expected), "{what}");
    }
    // The session goes on.
    session.open("null", SIZE);
}

#[test]
fn a_channel_over_a_limit_is_refused() {
    let options = Options {
        arguments: vec!["--session-mapped-bytes-max=1048576".into()],
        ..Options::default()
    };
    let daemon = Daemon::start_with(&[NULL], &options);
    let session = daemon.connect();
    let error = session.open("null", ChannelSize { slots: 8, arena_bytes: 1 << 20 }).unwrap_err();
    assert!(matches!(error, OpenError::Refused(OpenRefusal::OverLimit { .. })), "{error}");
    assert!(session.open("null", SIZE).is_ok());
}

#[test]
fn a_wrong_function_file_keeps_the_daemon_from_starting() {
    let functions = [("null", "model = \"builtin:null\"\nlenght = { max = 3 }\n")];
    let said = Daemon::refuse(&functions, &Options::default());
    assert!(said.contains("null/function.toml:2:1: unknown field `lenght`"), "{said}");
    assert!(said.contains("did you mean `length`?"), "{said}");
}
