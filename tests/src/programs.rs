//! Programs of other languages, made and run as their authors would: C against the committed header
//! and the built library, Python with the package that was built.

use crate::binary;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use tempfile::TempDir;

/// The variable that names an interpreter whose environment has the package. `cargo xtask test` makes
/// it and sets it.
pub const PYTHON: &str = "GPUMUX_PYTHON";

/// How a C compiler is to look at a program.
pub const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];
/// What the static library needs: `rustc --print native-static-libs`.
pub const NEEDED: [&str; 4] = ["-lgcc_s", "-lpthread", "-lm", "-ldl"];

/// How a program has the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// By the loader.
    Shared,
    /// In itself.
    Static,
}

/// A file of the tree, by its path from the root.
///
/// # Panics
/// When the tree is not where it was.
pub fn in_tree(file: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tree's root");
    root.join(file)
}

/// The interpreter that has the package.
///
/// # Panics
/// When none is named, with the command to run.
pub fn python() -> PathBuf {
    let Some(python) = std::env::var_os(PYTHON) else {
        panic!(
            "{PYTHON} is not set: run `cargo xtask test`, which builds the Python package first, or \
             `export {PYTHON}=$(cargo xtask python --prepare)`"
        );
    };
    PathBuf::from(python)
}

/// Runs a program to its end, and returns what it writes.
///
/// # Panics
/// When it does not start, or fails.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{err}", output.status);
    String::from_utf8_lossy(out).into_owned()
}

/// A folder with the shared library by the name that programs ask the loader for, and C programs.
#[derive(Debug)]
pub struct Programs(TempDir);

impl Programs {
    /// A folder without programs.
    ///
    /// # Panics
    /// When there is no room for it.
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("room for a test's files");
        for name in ["libgpumux.so", "libgpumux.so.0"] {
            symlink(binary("libgpumux.so"), folder.path().join(name)).expect("a folder of our own");
        }
        Self(folder)
    }

    /// Compiles a file of the tree, strictly.
    pub fn compile(&self, source: &str, standard: &str, link: Link) -> PathBuf {
        let program = self.0.path().join(format!("{standard}-{link:?}"));
        let mut compiler = Command::new("cc");
        compiler.arg(format!("-std={standard}")).args(STRICT).args(["-g", "-I"]);
        compiler.arg(in_tree("shim/capi/include")).arg(in_tree(source)).arg("-o").arg(&program);
        match link {
            Link::Shared => compiler.arg("-L").arg(self.0.path()).args(["-lgpumux", "-lpthread"]),
            Link::Static => compiler.arg(binary("libgpumux.a")).args(NEEDED),
        };
        run(&mut compiler);
        program
    }

    /// A command that starts a program.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("LD_LIBRARY_PATH", self.0.path());
        command
    }

    /// A command that starts a program under valgrind, which ends with 9 for a fault or a leak.
    ///
    /// # Panics
    /// When there is no valgrind.
    pub fn checked(&self, program: &Path) -> Command {
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

/// A running program that hears and answers by lines. Dropping it kills it.
#[derive(Debug)]
pub struct Talking {
    process: Child,
    input: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
}

impl Talking {
    /// Starts a program.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(command: &mut Command) -> Self {
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(process.stdout.take().expect("it was piped"));
        Self { input: process.stdin.take(), process, lines }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The next line that it writes; empty when it has ended.
    ///
    /// # Panics
    /// When it is not text.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("it writes text");
        line.trim_end().to_owned()
    }

    /// Sees that the next line is this.
    ///
    /// # Panics
    /// When it is another.
    pub fn hear(&mut self, expected: &str) {
        assert_eq!(self.line(), expected);
    }

    /// Writes it an empty line.
    ///
    /// # Panics
    /// When it has ended.
    pub fn tell(&mut self) {
        self.input.as_mut().expect("it was piped").write_all(b"\n").expect("it listens");
    }

    /// Ends its input.
    pub fn hang_up(&mut self) {
        self.input = None;
    }

    /// Waits for its end; says whether it was content.
    ///
    /// # Panics
    /// When it is nobody's child.
    pub fn succeeded(&mut self) -> bool {
        self.process.wait().expect("it is our child").success()
    }
}

impl Drop for Talking {
    fn drop(&mut self) {
        // One that has ended already needs neither.
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}
