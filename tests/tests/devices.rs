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
