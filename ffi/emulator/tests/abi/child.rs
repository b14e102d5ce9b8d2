//! Runs the body of a test in a process of its own, whose loader finds the emulator as the CUDA
//! driver and as cublasLt. A claim, a fault or a full memory stays in that process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

const INSIDE: &str = "GPUMUX_EMULATOR_TEST_INSIDE";
const LINKS: [&str; 4] = ["libcuda.so", "libcuda.so.1", "libcublasLt.so", "libcublas.so"];

/// The library under test, beside this test's own executable. `cargo test` alone does not build it.
fn library() -> PathBuf {
    let exe = std::env::current_exe().expect("the test's own path");
    let folder = exe.ancestors().nth(2).expect("target/release/deps/test");
    let library = folder.join("libgpumux_emulator.so");
    let sources = newest(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let built = std::fs::metadata(&library).and_then(|found| found.modified()).ok();
    assert!(
        built.is_some_and(|built| sources <= built),
        "{} is missing or older than its sources; build it: cargo build --release -p gpumux-emulator",
        library.display()
    );
    library
}

fn newest(folder: &Path) -> SystemTime {
    let entries = std::fs::read_dir(folder).expect("the crate's sources");
    let times = entries.map(|entry| {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            return newest(&path);
        }
        let found = std::fs::metadata(&path).expect("a readable file");
        found.modified().expect("a file system that keeps times")
    });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Runs `body` in a child with this claim. `path` is the test's own, from its crate down.
pub(crate) fn run(path: &str, claim: &str, body: fn()) {
    let (_, name) = path.split_once("::").expect("a test is in a module");
    if std::env::var_os(INSIDE).is_some_and(|inside| inside == name) {
        return body();
    }
    let links = tempfile::tempdir().expect("a folder for links");
    for link in LINKS {
        std::os::unix::fs::symlink(library(), links.path().join(link)).expect("a new link");
    }
    let child = Command::new(std::env::current_exe().expect("the test's own path"))
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, name)
        .env("LD_LIBRARY_PATH", links.path())
        .env("GPUMUX_EMULATED", claim)
        .output()
        .expect("the test's own executable");
    let text = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "the child ended with {}:\n{text}", child.status);
    assert!(text.contains("1 passed"), "the child ran no test named {name}:\n{text}");
}

/// Declares tests that run in a child: `test name(claim) { body }`.
macro_rules! in_child {
    ($($(#[$doc:meta])* $name:ident($claim:expr) $body:block)*) => {
        $($(#[$doc])* #[test] fn $name() {
            fn body() $body
            crate::child::run(concat!(module_path!(), "::", stringify!($name)), $claim, body);
        })*
    };
}
pub(crate) use in_child;
