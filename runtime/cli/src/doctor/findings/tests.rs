//! Each rule from what was seen to a finding.

use super::*;
use gpumux_wire::doctor::{
    BackendReport, Checked, DriverReport, Form, LaneReport, Occupant, SmBlocks, Unusable,
};

fn device() -> DeviceReport {
    DeviceReport {
        ordinal: 0,
        name: "GPU".to_owned(),
        uuid: Some("GPU-1".to_owned()),
        pci: None,
        compute_capability: "9.0".to_owned(),
        sms: 16,
        compute_mode: ComputeMode::Default,
        fault: None,
        memory_bytes: Some(1),
        memory_free_bytes: Some(1),
        products: Some("libcublasLt.so.12".to_owned()),
        marks: Some("stream writes".to_owned()),
        partitions: Some(partitions()),
        self_tests: Vec::new(),
        registered_memory: Some(Checked { passed: true, what: "it works".to_owned() }),
        latencies: Vec::new(),
    }
}

fn partitions() -> PartitionReport {
    let lane = |granted: &str, sm| LaneReport {
        granted: granted.to_owned(),
        granted_sms: 8,
        seen: vec![SmBlocks { sm, blocks: 4 }],
        strays: false,
    };
    PartitionReport {
        backend: "green contexts".to_owned(),
        proof: "measured".to_owned(),
        granularity_sms: 8,
        backends: vec![BackendReport {
            name: "green contexts".to_owned(),
            usable: true,
            why: "the driver has them".to_owned(),
        }],
        lanes: vec![lane("0-7", 0), lane("8-15", 8)],
        handshake: Some(Checked { passed: true, what: "two lanes met".to_owned() }),
        isolation: None,
    }
}

fn probe(devices: Vec<DeviceReport>) -> ProbeReport {
    ProbeReport {
        version: "1".to_owned(),
        form: Form::Full,
        took_us: 1,
        driver: Some(DriverReport {
            version: "12.8".to_owned(),
            library: "libcuda.so.1".to_owned(),
            emulated: false,
        }),
        unusable: None,
        devices,
    }
}

fn worst(devices: Vec<DeviceReport>) -> Level {
    of_probe(&probe(devices)).iter().map(|finding| finding.level).max().unwrap()
}

fn with(change: impl FnOnce(&mut DeviceReport)) -> DeviceReport {
    let mut device = device();
    change(&mut device);
    device
}

fn with_partitions(change: impl FnOnce(&mut PartitionReport)) -> DeviceReport {
    with(|device| change(device.partitions.as_mut().unwrap()))
}

fn nobody() -> Occupants {
    Occupants::Listed { processes: Vec::new() }
}

#[test]
fn a_whole_device_is_well() {
    assert_eq!(worst(vec![device()]), Level::Note);
    assert_eq!(claims(&probe(vec![device()]), &nobody())[0].claim, "partitioned by green contexts");
}

#[test]
fn what_degrades_is_a_warning_with_something_to_do() {
    let cases = [
        with(|device| device.products = Some("own kernel".to_owned())),
        with(|device| device.registered_memory.as_mut().unwrap().passed = false),
        with_partitions(|partitions| partitions.backend = "none".to_owned()),
        with_partitions(|partitions| partitions.lanes[0].strays = true),
        with_partitions(|partitions| partitions.handshake.as_mut().unwrap().passed = false),
    ];
    for device in cases {
        let found = of_probe(&probe(vec![device.clone()]));
        let warnings: Vec<_> =
            found.iter().filter(|finding| finding.level == Level::Warning).collect();
        assert_eq!(warnings.len(), 1, "{device:?}\n{found:?}");
        assert!(warnings[0].remedy.is_some(), "{warnings:?}");
    }
}

#[test]
fn a_device_that_does_not_open_is_a_fault_unless_another_does() {
    let broken = with(|device| device.fault = Some("lost".to_owned()));
    assert_eq!(worst(vec![broken.clone()]), Level::Fault);
    assert_eq!(worst(vec![device(), broken.clone()]), Level::Warning);
    assert_eq!(claims(&probe(vec![broken]), &nobody())[0].claim, "unusable");
    assert_eq!(worst(Vec::new()), Level::Fault);
    let prohibited = with(|device| device.compute_mode = ComputeMode::Prohibited);
    assert_eq!(worst(vec![prohibited]), Level::Fault);
}

#[test]
fn no_driver_is_a_fault_that_names_the_ways_out() {
    let unusable = Some(Unusable { what: "no CUDA driver".to_owned(), absent: true });
    let found = of_probe(&ProbeReport { driver: None, unusable, ..probe(Vec::new()) });
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].level, Level::Fault);
    assert!(found[0].remedy.as_ref().unwrap().contains("--device emulated"));
}

#[test]
fn a_self_test_that_died_degrades_only_what_relies_on_it() {
    let died = SelfTest {
        of: "stream masks".to_owned(),
        ended: SelfTestEnded::Died { of: "SIGSEGV".to_owned() },
    };
    let beside = with(|device| device.self_tests.push(died.clone()));
    assert_eq!(worst(vec![beside.clone()]), Level::Note);
    let found = of_probe(&probe(vec![beside.clone()]));
    let what = "the self-test of stream masks died by SIGSEGV";
    assert!(found.iter().any(|finding| finding.what == what), "{found:?}");
    let alone = with_partitions(|partitions| partitions.backend = "none".to_owned());
    let alone = DeviceReport { self_tests: vec![died], ..alone };
    let found = of_probe(&probe(vec![alone]));
    let level = found.iter().find(|finding| finding.what == what).unwrap().level;
    assert_eq!(level, Level::Warning);
}

#[test]
fn a_foreign_process_takes_the_claim_back() {
    let occupant = |device: &str| Occupant {
        device: device.to_owned(),
        pid: 7,
        command: Some("python3".to_owned()),
        memory_bytes: None,
    };
    let on = |device: &str| Occupants::Listed { processes: vec![occupant(device)] };
    let claim = |occupants: &Occupants| claims(&probe(vec![device()]), occupants)[0].claim.clone();
    assert_eq!(claim(&on("GPU-1")), "shared with others");
    assert_eq!(claim(&on("GPU-2")), "partitioned by green contexts");
    let found = of_occupants(&on("GPU-1"), false);
    assert_eq!(found[0].level, Level::Warning);
    assert!(found[0].what.contains("python3"), "{found:?}");
    let unknown = Occupants::Unknown { why: "no library".to_owned() };
    assert_eq!(of_occupants(&unknown, false)[0].level, Level::Note);
}

#[test]
fn a_slow_neighbourhood_is_a_warning_on_a_gpu_alone() {
    let isolation = |ratio| Isolation {
        sms: 8,
        neighbour_sms: 8,
        alone_us: 100,
        beside_us: 150,
        ratio,
        tolerance: 1.25,
        pairs: 9,
        emulated: false,
    };
    let level = |ratio, emulated| {
        let mut place = Place::new("device 0");
        of_isolation(&mut place, &isolation(ratio), emulated);
        place.found[0].level
    };
    assert_eq!(level(1.25, false), Level::Ok);
    assert_eq!(level(1.5, false), Level::Warning);
    assert_eq!(level(1.5, true), Level::Note);
}
