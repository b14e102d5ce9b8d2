//! Runs a test's body in a child process that finds the emulated driver: a driver is initialised
//! once a process, and a fault poisons it for good.

use std::any::type_name;
use std::env;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::rc::Rc;

use gpumux_cuda::{
    Device, DeviceMemory, DeviceOptions, Driver, Lane, PinnedPool, ProductPath, Wake,
};
use gpumux_engine::{PrepareOptions, Prepared, Resident, Trial};
use gpumux_plan::Shape;

use crate::imported::{Imported, binary};

/// Set in a child: the body of the test is to run.
const CHILD: &str = "GPUMUX_TEST_CHILD";
const CLAIM: &str = "sms=8,cores=2,memory=1GiB";

/// Runs `body` in a child process. It has to be called from a test, as its only statement: the child
/// runs that test again, by the name that its closure's type carries.
pub(crate) fn run<F: FnOnce(Machine)>(body: F) {
    if env::var_os(CHILD).is_some() {
        return body(Machine::open());
    }
    let (_, test) = type_name::<F>().split_once("::").expect("a path in this crate");
    let test = test.trim_end_matches("::{{closure}}");
    let folder = tempfile::tempdir().unwrap();
    let emulator = binary("libgpumux_emulator.so");
    for stem in ["libcuda.so", "libcublasLt.so"] {
        for suffix in ["", ".1", ".12", ".13"] {
            symlink(&emulator, folder.path().join(format!("{stem}{suffix}"))).unwrap();
        }
    }
    let output = Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .env("LD_LIBRARY_PATH", folder.path())
        .env("GPUMUX_EMULATED", CLAIM)
        .env("CUDA_MODULE_LOADING", "EAGER")
        .env("CUDA_DEVICE_MAX_CONNECTIONS", "32")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    println!("{text}");
    assert!(output.status.success(), "{}\n{errors}", output.status);
    assert!(text.contains("1 passed"), "the child ran no test:\n{errors}");
}

/// An emulated device, and what it takes to run plans on it.
pub(crate) struct Machine {
    pub(crate) lane: Lane,
    pub(crate) pinned: PinnedPool,
    pub(crate) memory: DeviceMemory,
    pub(crate) device: Device,
}

/// Enough for a lane of 8 SMs.
pub(crate) const OPTIONS: PrepareOptions =
    PrepareOptions { sm_count: 8, workspace_bytes_max: 4 << 20, segment_work: 1 << 30 };

impl Machine {
    fn open() -> Self {
        let driver = Driver::load().expect("the emulated driver loads");
        assert!(driver.is_emulated(), "{}", driver.library_path().display());
        let device = Device::open(&driver, 0, DeviceOptions::default()).expect("the device opens");
        assert_eq!(device.info().products, ProductPath::CublasLt);
        let memory = device.reserve(512 << 20).unwrap();
        let pinned = device.pinned_pool(4 << 20, 2).unwrap();
        let lane = device.lane(&Wake::new().unwrap()).unwrap();
        Self { lane, pinned, memory, device }
    }

    pub(crate) fn trial(&mut self) -> Trial<'_> {
        Trial {
            device: &self.device,
            memory: &self.memory,
            lane: &mut self.lane,
            pinned: &mut self.pinned,
        }
    }

    /// A model on the device.
    pub(crate) fn load(&mut self, imported: &Imported) -> Rc<Resident> {
        let model = imported.model.clone();
        let (resident, upload) = Resident::load(model, &imported.weights, &self.memory).unwrap();
        self.trial().send(upload).unwrap();
        Rc::new(resident)
    }

    /// A plan on the device.
    pub(crate) fn prepare(&mut self, resident: &Rc<Resident>, shape: Shape) -> Rc<Prepared> {
        let made = resident.prepare(&self.device, &self.memory, shape, OPTIONS);
        let (prepared, upload) = made.unwrap();
        self.trial().send(upload).unwrap();
        prepared
    }
}
