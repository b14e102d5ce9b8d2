//! Runs the body of a test in a process of its own, whose loader finds the emulator as the CUDA
//! driver and as cublasLt. A claim, a fault or a full memory stays in that process.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

const INSIDE: &str = "GPUMUX_EMULATOR_TEST_INSIDE";
const ASKED: &str = "GPUMUX_EMULATOR_TEST_ASKED";
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

/// Whether this process is the child that runs the test `name`.
fn is_inside(name: &str) -> bool {
    std::env::var_os(INSIDE).is_some_and(|inside| inside == name)
}

/// Runs the test `name` in a child with this claim, and `value` in its environment as `ASKED`.
fn start(name: &str, claim: &str, value: &str) -> Output {
    let links = tempfile::tempdir().expect("a folder for links");
    for link in LINKS {
        std::os::unix::fs::symlink(library(), links.path().join(link)).expect("a new link");
    }
    Command::new(std::env::current_exe().expect("the test's own path"))
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, name)
        .env(ASKED, value)
        .env("LD_LIBRARY_PATH", links.path())
        .env("GPUMUX_EMULATED", claim)
        .output()
        .expect("the test's own executable")
}

/// Runs `body` in a child with this claim. `path` is the test's own, from its crate down.
pub(crate) fn run(path: &str, claim: &str, body: fn()) {
    let (_, name) = path.split_once("::").expect("a test is in a module");
    if is_inside(name) {
        return body();
    }
    let child = start(name, claim, "");
    let text = text_of(&child);
    assert!(child.status.success(), "the child ended with {}:\n{text}", child.status);
    assert!(text.contains("1 passed"), "the child ran no test named {name}:\n{text}");
}

/// Runs `body` in one child for each of `values`, and gives what came of each to `check`. The child
/// finds its value in its argument, and may end in any way.
pub(crate) fn run_each(
    path: &str,
    claim: &str,
    values: &[String],
    body: fn(&str),
    mut check: impl FnMut(&str, &Output, &str),
) {
    let (_, name) = path.split_once("::").expect("a test is in a module");
    if is_inside(name) {
        return body(&std::env::var(ASKED).expect("its parent set it"));
    }
    for value in values {
        let child = start(name, claim, value);
        check(value, &child, &text_of(&child));
    }
}

fn text_of(child: &Output) -> String {
    let text = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    text.into_owned()
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
