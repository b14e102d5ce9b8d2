//! The C ABI as who compiles against it has it: the committed header, the libraries, and C programs
//! beside a real daemon, under valgrind too.

use gpumux_tests::{Daemon, binary};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use tempfile::TempDir;

const ECHO: (&str, &str) = ("echo", "model = \"builtin:echo\"\nlength = { max = 1024 }\n");
const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];
/// What the static library needs: `rustc --print native-static-libs`.
const NEEDED: [&str; 4] = ["-lgcc_s", "-lpthread", "-lm", "-ldl"];

/// How a program has the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Shared,
    Static,
}

fn capi(file: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tree's root");
    root.join("shim/capi").join(file)
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{err}", output.status);
    String::from_utf8_lossy(out).into_owned()
}

/// A folder with the shared library by the name that programs ask the loader for, and programs.
struct Programs(TempDir);

impl Programs {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("room for a test's files");
        for name in ["libgpumux.so", "libgpumux.so.0"] {
            symlink(binary("libgpumux.so"), folder.path().join(name)).expect("a folder of our own");
        }
        Self(folder)
    }

    fn compile(&self, source: &str, standard: &str, link: Link) -> PathBuf {
        let program = self.0.path().join(format!("{standard}-{link:?}"));
        let mut compiler = Command::new("cc");
        compiler.arg(format!("-std={standard}")).args(STRICT).args(["-g", "-I"]);
        compiler.arg(capi("include")).arg(capi(source)).arg("-o").arg(&program);
        match link {
            Link::Shared => compiler.arg("-L").arg(self.0.path()).args(["-lgpumux", "-lpthread"]),
            Link::Static => compiler.arg(binary("libgpumux.a")).args(NEEDED),
        };
        run(&mut compiler);
        program
    }

    /// A command that starts a program.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("LD_LIBRARY_PATH", self.0.path());
        command
    }

    /// A command that starts a program under valgrind, which ends with 9 for a fault or a leak.
    fn checked(&self, program: &Path) -> Command {
        let present = Command::new("valgrind").arg("--version").output();
        assert!(present.is_ok(), "valgrind is missing: install it (`apt-get install valgrind`)");
        let mut command = self.command("valgrind");
        command
            .args(["--quiet", "--leak-check=full", "--errors-for-leak-kinds=definite,possible"])
            .args(["--show-leak-kinds=definite,possible", "--error-exitcode=9"])
            .arg(program);
        command
    }
}

#[test]
fn the_committed_header_is_what_the_sources_give() {
    run(Command::new(binary("xtask")).args(["header", "--check"]));
}

#[test]
fn the_header_stands_alone_in_each_language() {
    let folder = tempfile::tempdir().unwrap();
    let languages = [
        ("cc", "c99", "one.c"),
        ("cc", "c11", "two.c"),
        ("cc", "c17", "three.c"),
        ("c++", "c++17", "four.cpp"),
    ];
    for (compiler, standard, file) in languages {
        let source = folder.path().join(file);
        let text = "#include <gpumux.h>\n#include <gpumux.h>\n\
            int main(void) { return gpumux_abi_version() == GPUMUX_ABI_VERSION ? 0 : 1; }\n";
        std::fs::write(&source, text).unwrap();
        let program = source.with_extension("out");
        let mut command = Command::new(compiler);
        command.arg(format!("-std={standard}")).args(STRICT).arg("-I").arg(capi("include"));
        command.arg(&source).arg(binary("libgpumux.a")).args(NEEDED).arg("-o").arg(&program);
        run(&mut command);
        run(&mut Command::new(program));
    }
}

#[test]
fn the_shared_library_shows_its_own_names_alone() {
    let library = binary("libgpumux.so");
    let names = run(Command::new("nm").args(["-D", "--defined-only"]).arg(&library));
    let names: Vec<&str> = names.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    let header = std::fs::read_to_string(capi("include/gpumux.h")).unwrap();
    assert!(names.len() > 20, "{names:?}");
    for name in &names {
        assert!(name.starts_with("gpumux_"), "{name} is shown");
        assert!(header.contains(&format!("{name}(")), "{name} is not in the header");
    }
    let soname = run(Command::new("readelf").arg("-d").arg(&library));
    assert!(soname.contains("Library soname: [libgpumux.so.0]"), "{soname}");
}

#[test]
fn the_example_runs_however_it_is_linked() {
    let daemon = Daemon::start(&[ECHO]);
    let programs = Programs::new();
    for (standard, link) in [("c11", Link::Shared), ("c11", Link::Static), ("c99", Link::Shared)] {
        let program = programs.compile("examples/echo.c", standard, link);
        let mut command = programs.command(&program);
        let text = run(command.arg(daemon.socket()).arg("some text"));
        assert!(text.ends_with("echo: some text\n"), "{text}");
        assert!(text.contains("input data: 1 bytes, dimensions 1*"), "{text}");
    }
    let program = programs.compile("examples/echo.c", "c11", Link::Shared);
    let mut checked = programs.checked(&program);
    let text = run(checked.arg(daemon.socket()).arg("some text"));
    assert!(text.ends_with("echo: some text\n"), "{text}");
    // What it says when something is wrong.
    let mut command = programs.command(&program);
    let output = command.args(["/nowhere/gpumuxd.sock", "text"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("could not connect: no daemon listens at /nowhere"), "{said}");
}

/// A program of tests that talks by lines.
struct Talking(Child, BufReader<ChildStdout>);

impl Talking {
    fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("it was piped"));
        Self(child, lines)
    }

    fn hear(&mut self, expected: &str) {
        let mut line = String::new();
        self.1.read_line(&mut line).expect("it writes text");
        assert_eq!(line.trim_end(), expected);
    }

    fn tell(&mut self) {
        self.0.stdin.as_mut().expect("it was piped").write_all(b"\n").expect("it listens");
    }
}

impl Drop for Talking {
    fn drop(&mut self) {
        // One that has ended already needs neither.
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// The program in which C holds the ABI to its word, over a restart of the daemon.
fn holds_over_a_restart(command: &mut Command) {
    let mut daemon = Daemon::start(&[ECHO]);
    let mut program = Talking::start(command.arg(daemon.socket()));
    program.hear("ready");
    let worker = daemon.stop_worker();
    program.tell();
    program.hear("filled");
    daemon.crash(worker);
    daemon.restart(&[ECHO]);
    program.hear("held");
    assert!(program.0.wait().expect("it is our child").success());
}

#[test]
fn c_holds_the_abi_to_its_word() {
    let programs = Programs::new();
    let program = programs.compile("tests/abi.c", "c11", Link::Static);
    holds_over_a_restart(&mut programs.command(program));
}

#[test]
fn nothing_leaks_over_a_restart() {
    let programs = Programs::new();
    let program = programs.compile("tests/abi.c", "c11", Link::Shared);
    holds_over_a_restart(&mut programs.checked(&program));
}
