//! From what the probe saw to findings: pure, so that each rule is a test.

use gpumux_wire::doctor::{
    Claim, ComputeMode, DeviceReport, Finding, Isolation, Level, Occupants, PartitionReport,
    ProbeReport, SelfTest, SelfTestEnded, UNDIVIDED,
};

/// Findings of one place, as they are made.
struct Place {
    place: String,
    found: Vec<Finding>,
}

impl Place {
    fn new(place: impl Into<String>) -> Self {
        Self { place: place.into(), found: Vec::new() }
    }

    fn add(&mut self, level: Level, what: impl Into<String>) {
        self.found.push(Finding {
            level,
            place: self.place.clone(),
            what: what.into(),
            remedy: None,
        });
    }

    fn add_with(&mut self, level: Level, what: impl Into<String>, remedy: &str) {
        self.add(level, what);
        if let Some(last) = self.found.last_mut() {
            last.remedy = Some(remedy.to_owned());
        }
    }
}

/// What the probe found.
pub(super) fn of_probe(probe: &ProbeReport) -> Vec<Finding> {
    let mut driver = Place::new("driver");
    if let Some(report) = &probe.driver {
        driver.add(Level::Ok, format!("CUDA {}, {}", report.version, report.library));
        if report.emulated {
            let what =
                "emulated on the CPU: it shows that things work, and nothing of a GPU's speed";
            driver.add(Level::Note, what);
        }
    }
    if let Some(unusable) = &probe.unusable {
        let remedy = if unusable.absent {
            "install the GPU's driver, or pass the GPU to this container (--gpus all), or ask for \
             --device emulated"
        } else {
            "look at the kernel's log (dmesg) and at the driver's installation"
        };
        driver.add_with(Level::Fault, unusable.what.clone(), remedy);
    } else if probe.devices.is_empty() {
        driver.add_with(Level::Fault, "the driver finds no device", "check that it sees the GPU");
    }
    let serves = probe.devices.iter().any(|device| device.fault.is_none());
    let emulated = is_emulated(probe);
    let devices = probe.devices.iter().flat_map(|device| of_device(device, serves, emulated));
    driver.found.into_iter().chain(devices).collect()
}

fn is_emulated(probe: &ProbeReport) -> bool {
    probe.driver.as_ref().is_some_and(|driver| driver.emulated)
}

/// What was found of a device; `serves` when any of them works.
fn of_device(device: &DeviceReport, serves: bool, emulated: bool) -> Vec<Finding> {
    let mut place = Place::new(format!("device {}", device.ordinal));
    let name = &device.name;
    let what = format!("{name}, compute capability {}", device.compute_capability);
    place.add(Level::Ok, format!("{what}, {} SMs", device.sms));
    of_mode(&mut place, device.compute_mode);
    if let Some(fault) = &device.fault {
        let level = if serves { Level::Warning } else { Level::Fault };
        place.add_with(level, fault.clone(), "look at the kernel's log (dmesg) for this device");
        return place.found;
    }
    match device.products.as_deref() {
        Some("own kernel") => place.add_with(
            Level::Warning,
            "there is no cublasLt: gpumux's own kernel multiplies, slower",
            "install libcublas of CUDA 12 or 13 where the loader finds it",
        ),
        Some(library) => place.add(Level::Ok, format!("products by {library}")),
        None => (),
    }
    if device.marks.as_deref() == Some("kernels") {
        place.add(Level::Note, "the driver does not write values on streams: marks are kernels");
    }
    let divided =
        device.partitions.as_ref().is_some_and(|partitions| partitions.backend != UNDIVIDED);
    for test in &device.self_tests {
        of_self_test(&mut place, test, divided);
    }
    if let Some(partitions) = &device.partitions {
        of_partitions(&mut place, partitions, emulated);
    }
    match &device.registered_memory {
        Some(checked) if checked.passed => {
            place.add(Level::Ok, format!("registered memory: {}", checked.what));
        }
        Some(checked) => place.add_with(
            Level::Warning,
            format!("registered memory: {}", checked.what),
            "large tensors are copied once more by the CPU; nothing else is lost",
        ),
        None => (),
    }
    for latency in &device.latencies {
        let (median, p99) = (latency.median_us, latency.p99_us);
        let what = format!("{}: median {median:.1} µs, p99 {p99:.1} µs", latency.of);
        place.add(Level::Ok, format!("{what}, of {}", latency.repeats));
    }
    place.found
}

fn of_mode(place: &mut Place, mode: ComputeMode) {
    match mode {
        ComputeMode::Default => place.add(Level::Ok, "compute mode: default"),
        ComputeMode::ExclusiveProcess => place.add_with(
            Level::Note,
            "compute mode: exclusive process; while gpumuxd has the device nobody else opens it",
            "nothing; stop gpumuxd before another program, or this one, opens the device",
        ),
        ComputeMode::Prohibited => place.add_with(
            Level::Fault,
            "compute mode: prohibited; nobody may open the device",
            "nvidia-smi --compute-mode=DEFAULT",
        ),
        ComputeMode::Unknown => place.add(Level::Note, "compute mode: one that is not known here"),
    }
}

fn of_self_test(place: &mut Place, test: &SelfTest, divided: bool) {
    let SelfTest { of, ended } = test;
    // What nobody relies on may fail.
    let level = if divided { Level::Note } else { Level::Warning };
    let remedy =
        "nothing is lost where another backend is in force; else report the driver's version";
    match ended {
        SelfTestEnded::Passed { what } => {
            place.add(Level::Ok, format!("the self-test of {of} passed: {what}"));
        }
        SelfTestEnded::Failed { what } => {
            place.add_with(level, format!("the self-test of {of} failed: {what}"), remedy);
        }
        SelfTestEnded::Died { of: cause } => {
            place.add_with(level, format!("the self-test of {of} died by {cause}"), remedy);
        }
        SelfTestEnded::TimedOut { limit_ms } => {
            let what = format!("the self-test of {of} hung, and was killed after {limit_ms} ms");
            place.add_with(level, what, remedy);
        }
    }
}

fn of_partitions(place: &mut Place, partitions: &PartitionReport, emulated: bool) {
    let PartitionReport { backend, proof, granularity_sms, .. } = partitions;
    if backend == UNDIVIDED {
        place.add_with(
            Level::Warning,
            format!("partitions are off: {proof}"),
            "lanes share all SMs, so a busy function slows its neighbours: install driver 550 (CUDA \
             12.5) or newer",
        );
    } else {
        let what = format!("partitioned by {backend} in steps of {granularity_sms} SMs: {proof}");
        place.add(Level::Ok, what);
    }
    for backend in &partitions.backends {
        place.add(Level::Note, format!("{}: {}", backend.name, backend.why));
    }
    let strays = partitions.lanes.iter().filter(|lane| lane.strays).count();
    if strays > 0 {
        let what = format!("{strays} lanes ran outside the SMs that they were granted");
        place.add_with(Level::Warning, what, "report it: partitions do not hold on this driver");
    }
    match &partitions.handshake {
        Some(checked) if checked.passed => place.add(Level::Ok, checked.what.clone()),
        Some(checked) => place.add_with(
            Level::Warning,
            checked.what.clone(),
            "lanes wait for each other: is CUDA_DEVICE_MAX_CONNECTIONS changed, or a debugger attached?",
        ),
        None => (),
    }
    if let Some(isolation) = &partitions.isolation {
        of_isolation(place, isolation, emulated);
    }
}

fn of_isolation(place: &mut Place, isolation: &Isolation, emulated: bool) {
    let Isolation { ratio, tolerance, pairs, .. } = isolation;
    let whose = if emulated { " (emulated: this is the emulator's pacing)" } else { "" };
    let what = format!(
        "beside a busy neighbour a lane takes {ratio:.2} times as long{whose}; up to {tolerance:.2} is \
         well; median of {pairs} pairs"
    );
    let level = match (ratio <= tolerance, emulated) {
        (true, _) => Level::Ok,
        // A busy host slows the emulated device, which is nothing that an operator mends.
        (false, true) => Level::Note,
        (false, false) => Level::Warning,
    };
    if level == Level::Warning {
        let remedy = "memory and caches are shared by all lanes; is anything else on the GPU?";
        place.add_with(level, what, remedy);
    } else {
        place.add(level, what);
    }
}

/// Who else is on the GPUs.
pub(super) fn of_occupants(occupants: &Occupants, emulated: bool) -> Vec<Finding> {
    let mut place = Place::new("other processes");
    match occupants {
        Occupants::Listed { processes } if processes.is_empty() => {
            place.add(Level::Ok, "nobody else has a GPU open");
        }
        Occupants::Listed { processes } => {
            for occupant in processes {
                let command = occupant.command.as_deref().unwrap_or("of another namespace");
                let what = format!("pid {} ({command}) is on {}", occupant.pid, occupant.device);
                let remedy =
                    "end it, or keep it off this GPU: it runs on every SM, whatever gpumux grants";
                place.add_with(Level::Warning, what, remedy);
            }
        }
        Occupants::Unknown { why } if emulated => place.add(Level::Note, why.clone()),
        Occupants::Unknown { why } => {
            let remedy = "partitions hold only while nobody else uses the GPU: see to that";
            place.add_with(Level::Note, why.clone(), remedy);
        }
    }
    place.found
}

/// What may be claimed of each device.
pub(super) fn claims(probe: &ProbeReport, occupants: &Occupants) -> Vec<Claim> {
    let emulated = is_emulated(probe);
    let claim = |device: &DeviceReport| Claim {
        device: device.ordinal,
        claim: claim_of(device, occupants),
        emulated,
    };
    probe.devices.iter().map(claim).collect()
}

fn claim_of(device: &DeviceReport, occupants: &Occupants) -> String {
    if device.fault.is_some() {
        return "unusable".to_owned();
    }
    let is_shared = match occupants {
        Occupants::Listed { processes } => {
            processes.iter().any(|process| Some(&process.device) == device.uuid.as_ref())
        }
        Occupants::Unknown { .. } => false,
    };
    match &device.partitions {
        _ if is_shared => "shared with others".to_owned(),
        Some(partitions) if partitions.lanes.iter().any(|lane| lane.strays) => {
            "undivided: lanes ran outside their SMs".to_owned()
        }
        Some(partitions) if partitions.backend != UNDIVIDED => {
            format!("partitioned by {}", partitions.backend)
        }
        Some(_) | None => "undivided".to_owned(),
    }
}

#[cfg(test)]
mod tests;
