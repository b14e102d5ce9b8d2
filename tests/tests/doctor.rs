//! `gpumux doctor` on machines of many kinds: what it finds, what it claims, and its exit codes.

use gpumux_tests::binary;
use gpumux_wire::doctor::{
    DeviceReport, DoctorReport, Finding, Form, Level, PartitionReport, ProbeReport, SelfTestEnded,
    Verdict,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// A run of the command, in a folder of its own where the daemon's things would be.
struct Run {
    folder: TempDir,
    command: Command,
}

impl Run {
    fn on(device: &str) -> Self {
        let folder = tempfile::tempdir().expect("room for a test's files");
        let mut command = Command::new(binary("gpumux"));
        command
            .args(["doctor", "--device", device, "--socket"])
            .arg(folder.path().join("gpumuxd.sock"))
            .arg("--admin-socket")
            .arg(folder.path().join("admin.sock"))
            .arg("--state")
            .arg(folder.path())
            // Its processes can be told by this path.
            .env("TMPDIR", folder.path());
        Self { folder, command }
    }

    fn with(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    fn output(mut self) -> Output {
        self.command.output().expect("gpumux starts")
    }

    fn start(mut self) -> (Child, TempDir) {
        let command = self.command.arg("--json").stdout(Stdio::piped());
        (command.spawn().expect("gpumux starts"), self.folder)
    }

    /// The document, and the exit code that goes with it.
    fn report(self) -> DoctorReport {
        checked(&self.with(&["--json"]).output())
    }
}

/// Reads the document, and sees that the exit code is what the help says of it.
fn checked(output: &Output) -> DoctorReport {
    let said = String::from_utf8_lossy(&output.stderr);
    let report: DoctorReport = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}\n{said}", output.status));
    let code = match report.verdict {
        Verdict::Well => 0,
        Verdict::Degraded => 1,
        Verdict::CannotServe => 2,
    };
    assert_eq!(output.status.code(), Some(code), "{:?}", report.verdict);
    report
}

/// What is worse than a note, but for the limits, which are the test machine's.
fn grave(report: &DoctorReport) -> Vec<&Finding> {
    let is_grave = |finding: &&Finding| finding.level > Level::Note && finding.place != "limits";
    report.findings.iter().filter(is_grave).collect()
}

fn probe(report: &DoctorReport) -> &ProbeReport {
    report.probe.as_ref().expect("the probe ran")
}

fn device(report: &DoctorReport) -> &DeviceReport {
    &probe(report).devices[0]
}

fn partitions(report: &DoctorReport) -> &PartitionReport {
    device(report).partitions.as_ref().expect("the device was looked at")
}

/// Lanes ran where they were granted, none met another, and there are two at least.
fn assert_confined(partitions: &PartitionReport) {
    assert!(partitions.lanes.len() >= 2, "{partitions:?}");
    let mut all = BTreeSet::new();
    for lane in &partitions.lanes {
        assert!(!lane.strays && !lane.seen.is_empty(), "{lane:?}");
        assert_eq!(lane.seen.len(), lane.granted_sms as usize, "{lane:?}");
        for seen in &lane.seen {
            assert!(seen.blocks > 0, "{lane:?}");
            assert!(all.insert(seen.sm), "SM {} ran blocks of two lanes", seen.sm);
        }
    }
}

fn why_not<'a>(partitions: &'a PartitionReport, backend: &str) -> &'a str {
    let found = partitions.backends.iter().find(|report| report.name == backend);
    let found = found.unwrap_or_else(|| panic!("{backend} is reported"));
    assert!(!found.usable, "{found:?}");
    &found.why
}

/// Whether this machine has a GPU's driver: then the tests of its absence would find it.
fn has_driver() -> bool {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/cuda/lib64"];
    folders.iter().any(|folder| Path::new(folder).join("libcuda.so.1").exists())
}

#[test]
fn a_new_driver_is_partitioned_by_green_contexts() {
    for claim in ["emulated:driver=13.3,cc=9.0", "emulated:driver=12.8,cc=8.6,sms=16"] {
        let report = Run::on(claim).report();
        assert!(grave(&report).is_empty(), "{:?}", grave(&report));
        assert_eq!(partitions(&report).backend, "green contexts");
        assert_eq!(report.claims[0].claim, "partitioned by green contexts");
        assert!(report.claims[0].emulated);
        assert_confined(partitions(&report));
        assert!(partitions(&report).handshake.as_ref().is_some_and(|it| it.passed));
        let isolation = partitions(&report).isolation.expect("two lanes were compared");
        assert!(isolation.emulated && isolation.pairs > 0 && isolation.ratio > 0.0);
        let tested = &device(&report).self_tests[0].ended;
        assert!(matches!(tested, SelfTestEnded::Passed { .. }), "{tested:?}");
        assert!(device(&report).registered_memory.as_ref().is_some_and(|it| it.passed));
        assert!(!device(&report).latencies.is_empty());
        for latency in &device(&report).latencies {
            assert!(latency.median_us <= latency.p99_us, "{latency:?}");
        }
    }
}

#[test]
fn a_driver_without_green_contexts_is_partitioned_by_stream_masks() {
    let report = Run::on("emulated:driver=12.2,sms=16").report();
    assert!(grave(&report).is_empty(), "{:?}", grave(&report));
    assert_eq!(partitions(&report).backend, "stream masks");
    assert!(partitions(&report).proof.contains("self-test"), "{}", partitions(&report).proof);
    assert!(why_not(partitions(&report), "green contexts").contains("12.5"));
    assert_confined(partitions(&report));
}

#[test]
fn a_driver_with_neither_is_undivided_and_says_why() {
    // Where 13.2 has the mask nobody published.
    let absent = "absent=cuGreenCtxCreate+cuGreenCtxStreamCreate";
    let report = Run::on(&format!("emulated:driver=13.2,sms=8,{absent}")).report();
    assert_eq!(report.verdict, Verdict::Degraded);
    assert_eq!(partitions(&report).backend, "none");
    assert_eq!(report.claims[0].claim, "undivided");
    assert!(why_not(partitions(&report), "green contexts").contains("cuGreenCtx"));
    assert!(why_not(partitions(&report), "stream masks").contains("not known"));
    assert!(device(&report).self_tests.is_empty(), "{:?}", device(&report).self_tests);
    assert!(partitions(&report).handshake.is_none() && partitions(&report).isolation.is_none());
    assert!(grave(&report).iter().all(|finding| finding.remedy.is_some()));
}

#[test]
fn a_mask_at_a_wrong_offset_fails_its_self_test_and_is_not_used() {
    // The list says of 12.2 where its mask is; this driver keeps it where 12.8 does.
    let report = Run::on("emulated:driver=12.2,masks=12.8,sms=8").report();
    assert_eq!(report.verdict, Verdict::Degraded);
    assert_eq!(partitions(&report).backend, "none");
    assert_eq!(report.claims[0].claim, "undivided");
    let tested = &device(&report).self_tests[0].ended;
    assert!(!matches!(tested, SelfTestEnded::Passed { .. }), "{tested:?}");
    why_not(partitions(&report), "stream masks");
}

#[test]
fn what_a_driver_lacks_degrades_and_is_named() {
    let report = Run::on("emulated:sms=8,absent=cuMemHostRegister_v2").report();
    assert_eq!(report.verdict, Verdict::Degraded);
    let checked = device(&report).registered_memory.as_ref().expect("it was looked at");
    assert!(!checked.passed && checked.what.contains("cuMemHostRegister_v2"), "{checked:?}");
    assert_eq!(grave(&report).len(), 1, "{:?}", grave(&report));
}

#[test]
fn each_of_two_devices_is_looked_at() {
    let report = Run::on("emulated:devices=2,sms=8").report();
    let devices = &probe(&report).devices;
    assert_eq!(devices.iter().map(|device| device.ordinal).collect::<Vec<_>>(), [0, 1]);
    assert_ne!(devices[0].uuid, devices[1].uuid);
    assert_eq!(report.claims.len(), 2);
    for device in devices {
        assert_confined(device.partitions.as_ref().expect("it was looked at"));
    }
}

#[test]
fn without_a_driver_it_cannot_serve_and_says_what_to_do() {
    if has_driver() {
        println!("skipped: this machine has a GPU's driver");
        return;
    }
    let report = Run::on("cuda").report();
    assert_eq!(report.verdict, Verdict::CannotServe);
    let fault = report.findings.iter().find(|finding| finding.level == Level::Fault).unwrap();
    assert!(fault.what.contains("no CUDA driver"), "{fault:?}");
    assert!(fault.remedy.as_ref().is_some_and(|it| it.contains("--device emulated")), "{fault:?}");
    assert!(probe(&report).driver.is_none() && probe(&report).devices.is_empty());
    let report = Run::on("auto").report();
    assert!(report.claims[0].emulated);
}

#[test]
fn a_claim_that_is_not_understood_is_a_fault_that_says_so() {
    let report = Run::on("emulated:sm=6").report();
    assert_eq!(report.verdict, Verdict::CannotServe);
}

#[test]
fn a_self_test_that_crashes_is_a_finding() {
    let (mut child, folder) = Run::on("emulated:driver=12.2,sms=16").start();
    let victim = process_of(&mut child, folder.path(), "--self-test");
    fault(victim);
    let report = checked(&child.wait_with_output().expect("it is our child"));
    let died = SelfTestEnded::Died { of: "SIGSEGV".to_owned() };
    assert_eq!(device(&report).self_tests[0].ended, died);
    // Nothing is claimed that was not proven.
    assert_eq!(partitions(&report).backend, "none");
    assert_eq!(report.claims[0].claim, "undivided");
    let said = "the self-test of stream masks died by SIGSEGV";
    assert!(grave(&report).iter().any(|finding| finding.what == said), "{:?}", grave(&report));
}

#[test]
fn a_probe_that_crashes_is_a_finding() {
    let (mut child, folder) = Run::on("emulated").start();
    let victim = process_of(&mut child, folder.path(), "--inner");
    fault(victim);
    let report = checked(&child.wait_with_output().expect("it is our child"));
    assert_eq!(report.verdict, Verdict::CannotServe);
    let unusable = probe(&report).unusable.as_ref().expect("no device was seen");
    assert!(unusable.what.contains("SIGSEGV") && !unusable.absent, "{unusable:?}");
}

/// Ends a process as a fault would. The first signal only takes away the handler by which Rust tells a
/// stack overflow; a true fault would come again by itself.
fn fault(victim: Pid) {
    while kill(victim, Signal::SIGSEGV).is_ok() {
        std::thread::yield_now();
    }
}

/// Waits for a process with that argument, and with `folder` in its arguments.
///
/// # Panics
/// When the command ends first: then there never was one.
fn process_of(command: &mut Child, folder: &Path, argument: &str) -> Pid {
    let folder = folder.to_str().expect("a path that is text");
    loop {
        let ended = command.try_wait().expect("it is our child");
        assert!(ended.is_none(), "{ended:?}, and no process had {argument}");
        for entry in std::fs::read_dir("/proc").expect("Linux").flatten() {
            let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
            let line = String::from_utf8_lossy(&line);
            let is_probe = line.split('\0').nth(1) == Some("probe");
            if is_probe && line.contains(folder) && line.split('\0').any(|it| it == argument) {
                let name = entry.file_name();
                return Pid::from_raw(
                    name.to_str().expect("a number").parse().expect("a process id"),
                );
            }
        }
    }
}

#[test]
fn a_device_that_hangs_is_a_finding_in_time() {
    let report = Run::on("emulated:hang=smid_probe:1").with(&["--limit", "3s"]).report();
    assert_eq!(report.verdict, Verdict::CannotServe);
    let unusable = probe(&report).unusable.as_ref().expect("no device was seen");
    assert!(unusable.what.contains("did not end within 3s"), "{unusable:?}");
}

#[test]
fn a_misuse_is_told_from_a_finding() {
    for arguments in [&["--nope"][..], &["--limit", "soon"]] {
        let output = Run::on("emulated").with(arguments).output();
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
    }
    let output = Run::on("gpu").output();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("expected cuda, auto, emulated"), "{said}");
}

#[test]
fn the_page_says_that_a_device_is_emulated_and_where_lanes_ran() {
    let output = Run::on("emulated:sms=16").output();
    let page = String::from_utf8_lossy(&output.stdout);
    for expected in ["emulated on the CPU", "%smid", "(emulated): partitioned by green contexts"] {
        assert!(page.contains(expected), "no {expected:?} in:\n{page}");
    }
}

#[test]
fn the_exit_codes_are_in_the_help() {
    let output = Run::on("emulated").with(&["--help"]).output();
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8_lossy(&output.stdout);
    for code in ["0  all is well", "1  the node serves", "2  the node cannot", "3  the command"] {
        assert!(help.contains(code), "no {code:?} in:\n{help}");
    }
}

#[test]
fn the_short_form_proves_partitions_and_measures_no_latency() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(binary("gpumuxd"))
        .args(["probe", "emulated:driver=12.2,sms=16", "--form", "short", "--state"])
        .arg(folder.path())
        .output()
        .expect("gpumuxd starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: ProbeReport = serde_json::from_slice(&output.stdout).expect("the document");
    assert_eq!(report.form, Form::Short);
    let device = &report.devices[0];
    assert_confined(device.partitions.as_ref().expect("it was looked at"));
    assert!(device.latencies.is_empty() && device.registered_memory.is_none());
}
