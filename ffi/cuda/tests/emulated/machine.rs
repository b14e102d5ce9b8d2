//! Runs a test's body in a child process that finds the libraries which the test wants it to find.

use gpumux_cuda::{Device, DeviceOptions, Driver, SmSet};
use std::any::type_name;
use std::collections::BTreeMap;
use std::env;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set in a child: the body of the test is to run.
const CHILD: &str = "GPUMUX_TEST_CHILD";

/// Where the emulator notes placements, for a child.
const PLACEMENTS: &str = "GPUMUX_TEST_PLACEMENTS";

/// What the loader finds in place of a CUDA library.
#[derive(Clone, Copy)]
pub(crate) enum Library {
    /// The emulator.
    Emulated,
    /// A library of another kind: the one that this test was loaded with for unwinding.
    Foreign,
    /// A file that is no library, under every name that is tried, so that none of the machine's own
    /// is found either.
    Broken,
}

/// A machine for a test.
pub(crate) struct Machine {
    /// What the emulator claims to be, as it reads that from its environment.
    pub(crate) claim: &'static str,
    pub(crate) driver: Library,
    pub(crate) blas: Library,
    /// Whether the emulator notes where launches and products ran; [`placements_of_products`] reads it.
    pub(crate) placements: bool,
}

impl Machine {
    /// One emulated device with 8 SMs and cublasLt.
    pub(crate) const WHOLE: Self = Self {
        claim: "sms=8,memory=256MiB",
        driver: Library::Emulated,
        blas: Library::Emulated,
        placements: false,
    };

    /// Runs `body` in a child process on this machine. It has to be called from a test, as its only
    /// statement: the child runs that test again, by the name that its closure's type carries.
    pub(crate) fn run<F: FnOnce()>(&self, body: F) {
        if env::var_os(CHILD).is_some() {
            return body();
        }
        let (_, test) = type_name::<F>().split_once("::").expect("a path in this crate");
        let test = test.trim_end_matches("::{{closure}}");
        let folder = tempfile::tempdir().expect("a temporary folder");
        self.driver.provide("cuda", folder.path());
        self.blas.provide("cublasLt", folder.path());
        let mut claim = self.claim.to_owned();
        let placements = folder.path().join("placements");
        if self.placements {
            write!(claim, ",placements={}", placements.display()).expect("a string grows");
        }
        let output = Command::new(env::current_exe().expect("this test"))
            .args([test, "--exact", "--nocapture"])
            .env(CHILD, "1")
            .env("LD_LIBRARY_PATH", folder.path())
            .env("GPUMUX_EMULATED", claim)
            .env(PLACEMENTS, placements)
            .env("CUDA_MODULE_LOADING", "EAGER")
            .env("CUDA_DEVICE_MAX_CONNECTIONS", "32")
            .output()
            .expect("the test starts again");
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
        assert!(text.contains("1 passed"), "the child ran no test:\n{text}");
    }
}

impl Library {
    fn provide(self, stem: &str, folder: &Path) {
        match self {
            Self::Broken => {
                // The driver of another system is tried too.
                for name in [stem, "nvcuda"].into_iter().flat_map(cudarc::get_lib_name_candidates) {
                    fs::write(folder.join(name), "not a library").expect("a writable folder");
                }
            }
            Self::Emulated => link(&emulator(), stem, folder),
            Self::Foreign => link(&foreign(), stem, folder),
        }
    }
}

/// Puts `library` under every name that the loader may ask for.
fn link(library: &Path, stem: &str, folder: &Path) {
    for name in cudarc::get_lib_name_candidates(stem) {
        symlink(library, folder.join(name)).expect("a writable folder");
    }
}

/// Some library that is surely there: one that this process has loaded.
fn foreign() -> PathBuf {
    let maps = fs::read_to_string("/proc/self/maps").expect("Linux");
    let mut paths = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    paths.find(|path| path.contains("libgcc_s")).expect("what Rust links on Linux").into()
}

/// The emulator, built into the folder above that of this test.
fn emulator() -> PathBuf {
    let test = env::current_exe().expect("this test");
    let built = test.parent().and_then(Path::parent).expect("a target folder");
    let emulator = built.join("libgpumux_emulator.so");
    assert!(
        emulator.exists(),
        "{} is missing: run `cargo build --release -p gpumux-emulator`",
        emulator.display()
    );
    emulator
}

/// Where each product of this process ran, in the order of the calls.
pub(crate) fn placements_of_products() -> Vec<SmSet> {
    let path = env::var_os(PLACEMENTS).expect("this is a child");
    let text = fs::read_to_string(path).expect("a machine with placements");
    let own = format!("{} ", std::process::id());
    let mut by_launch = BTreeMap::<u64, SmSet>::new();
    for line in text.lines().filter_map(|line| line.strip_prefix(&own)) {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        let [_, launch, sm, name] = words[..] else { panic!("a placement: {line}") };
        if name == "product" {
            let set = by_launch.entry(launch.parse().expect("a number")).or_insert(SmSet::EMPTY);
            assert!(set.insert(sm.parse().expect("a number")), "{line}");
        }
    }
    by_launch.into_values().collect()
}

/// Opens device 0.
pub(crate) fn open(options: DeviceOptions) -> Device {
    let driver = Driver::load().expect("the emulated driver loads");
    Device::open(&driver, 0, options).expect("the emulated device opens")
}
