//! Which device is served is asked for, and said; nothing falls back silently.

use gpumux_shim::{ChannelSize, Outcome, SubmitOptions};
use gpumux_tests::{Daemon, Options};

const ECHO: (&str, &str) = ("echo", "model = \"builtin:echo\"\nlength = { max = 64 }\n");

fn asking_for(device: &str) -> Options {
    Options { device: Some(device.to_owned()), ..Options::default() }
}

/// Whether this machine has a GPU's driver: then the tests below would find a device.
fn has_driver() -> bool {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/cuda/lib64"];
    folders.iter().any(|folder| std::path::Path::new(folder).join("libcuda.so.1").exists())
}

#[test]
fn without_a_gpu_the_default_is_a_reason_and_no_daemon() {
    if has_driver() {
        println!("skipped: this machine has a GPU's driver");
        return;
    }
    let said = Daemon::refuse(&[ECHO], &asking_for("cuda"));
    assert!(said.contains("--device emulated"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn auto_emulates_where_there_is_no_gpu_and_says_so() {
    if has_driver() {
        println!("skipped: this machine has a GPU's driver");
        return;
    }
    let daemon = Daemon::start_with(&[ECHO], &asking_for("auto"));
    let device = &daemon.status().devices[0];
    assert!(device.emulated && device.worker_restarts == 0, "{device:?}");
    let size = ChannelSize { slots: 1, arena_bytes: 4096 };
    let function = daemon.connect().open("echo", size).unwrap();
    let mut request = function.request(2).unwrap();
    request.input_mut::<u8>("data").unwrap().copy_from_slice(b"ok");
    let reply = request.submit(SubmitOptions::default()).unwrap().wait().unwrap();
    assert_eq!((reply.outcome(), reply.output::<u8>("data").unwrap()), (Outcome::Done, &b"ok"[..]));
}

#[test]
fn an_emulated_device_is_what_it_is_asked_to_be() {
    let daemon = Daemon::start_with(&[ECHO], &asking_for("emulated:sms=6,memory=64MiB"));
    let device = &daemon.status().devices[0];
    assert!(device.emulated && device.sms == 6, "{device:?}");
}

#[test]
fn a_claim_that_is_not_understood_is_a_reason_and_no_daemon() {
    let said = Daemon::refuse(&[ECHO], &asking_for("emulated:sm=6"));
    assert!(said.contains("unknown key; known are sms"), "{said}");
}

#[test]
fn a_missing_emulator_is_a_reason_and_no_daemon() {
    let arguments = vec!["--emulator=/nonexistent/libgpumux_emulator.so".to_owned()];
    let said = Daemon::refuse(&[ECHO], &Options { arguments, ..Options::default() });
    assert!(said.contains("install it, or give --emulator"), "{said}");
}

/// Submits an echo of one byte and checks the answer.
fn echo(function: &gpumux_shim::Function, byte: u8) {
    let mut request = function.request(1).expect("a slot");
    request.input_mut::<u8>("data").expect("its input").fill(byte);
    let reply =
        request.submit(SubmitOptions::default()).expect("it lives").wait().expect("it ends");
    assert_eq!(reply.outcome(), Outcome::Done);
    assert_eq!(reply.output::<u8>("data").expect("its output"), [byte]);
}

#[test]
fn each_device_has_a_worker_and_functions_are_placed() {
    let named = "model = \"builtin:echo\"\nlength = { max = 64 }\ndevice = 1\n";
    let free = ECHO.1;
    let functions = [("first", free), ("named", named), ("second", free)];
    let daemon = Daemon::start_with(&functions, &asking_for("emulated:devices=2"));
    let status = daemon.status();
    let ordinals: Vec<u32> = status.devices.iter().map(|device| device.ordinal).collect();
    assert_eq!(ordinals, [0, 1]);
    let places: Vec<(&str, u32)> =
        status.functions.iter().map(|function| (function.name.as_str(), function.device)).collect();
    assert_eq!(places, [("first", 0), ("named", 1), ("second", 0)]);

    let session = daemon.connect();
    let size = ChannelSize { slots: 4, arena_bytes: 1 << 16 };
    let (first, named) =
        (session.open("first", size).unwrap(), session.open("named", size).unwrap());
    let dead = status.devices[1].worker_pid.unwrap();
    let dead = nix::unistd::Pid::from_raw(i32::try_from(dead).unwrap());
    nix::sys::signal::kill(dead, nix::sys::signal::Signal::SIGKILL).unwrap();
    (0..50).for_each(|byte| echo(&first, byte));
    echo(&named, 7);
    let after = daemon.status();
    let restarts: Vec<u32> = after.devices.iter().map(|device| device.worker_restarts).collect();
    assert_eq!(restarts, [0, 1]);
    assert_eq!(after.devices[0].worker_pid, status.devices[0].worker_pid);
}

#[test]
fn devices_are_chosen_and_one_that_is_not_there_is_a_reason() {
    let two = |arguments: &[&str]| Options {
        arguments: arguments.iter().map(|&it| it.to_owned()).collect(),
        ..asking_for("emulated:devices=2")
    };
    let daemon = Daemon::start_with(&[ECHO], &two(&["--devices=1"]));
    let status = daemon.status();
    assert_eq!(status.devices.iter().map(|it| it.ordinal).collect::<Vec<_>>(), [1]);
    let said = Daemon::refuse(&[ECHO], &two(&["--devices=0,2"]));
    assert!(said.contains("device 2 of --devices cannot be served"), "{said}");
    let named = ("named", "model = \"builtin:echo\"\nlength = { max = 64 }\ndevice = 2\n");
    let said = Daemon::refuse(&[named], &two(&[]));
    assert!(
        said.contains("function `named` says `device = 2`, and 2 devices are served"),
        "{said}"
    );
}

#[test]
fn lanes_divide_a_device_by_what_the_probe_saw() {
    for (device, choice, claim) in [
        ("emulated", "best", "green contexts: "),
        ("emulated:driver=12.8,cc=8.6", "best", "green contexts: "),
        ("emulated:driver=12.2", "best", "stream masks: "),
        ("emulated:driver=13.2,absent=cuGreenCtxCreate", "best", "none: "),
        // The mask is not where the list has it, so its self-test fails.
        ("emulated:driver=12.2,masks=12.8", "best", "none: "),
        ("emulated", "none", "green contexts: "),
    ] {
        let arguments = vec!["--lanes=4".to_owned(), format!("--partitions={choice}")];
        let daemon = Daemon::start_with(&[ECHO], &Options { arguments, ..asking_for(device) });
        let status = daemon.status();
        let device = &status.devices[0];
        assert!(device.partitions.starts_with(claim), "{}", device.partitions);
        let granted: Vec<&str> = device.lanes.iter().map(|lane| lane.granted.as_str()).collect();
        let is_divided = choice == "best" && claim != "none: ";
        if is_divided {
            assert!(device.lanes.iter().all(|lane| lane.sms == 8), "{device:?}");
            let apart: std::collections::BTreeSet<&str> = granted.iter().copied().collect();
            assert_eq!(apart.len(), 4, "{granted:?}");
        } else {
            assert!(device.lanes.iter().all(|lane| lane.sms == device.sms), "{device:?}");
        }
        let size = ChannelSize { slots: 4, arena_bytes: 1 << 16 };
        let function = daemon.connect().open("echo", size).unwrap();
        (0..20).for_each(|byte| echo(&function, byte));
    }
    let masks = vec!["--lanes=4".to_owned(), "--partitions=stream-masks".to_owned()];
    let options = Options { arguments: masks, ..asking_for("emulated:driver=12.9") };
    let said = Daemon::refuse(&[ECHO], &options);
    assert!(said.contains("stream masks"), "{said}");
}
