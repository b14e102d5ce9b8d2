//! A reader at a terminal: the commands of a page, one after the other, in one shell.

use crate::console::{self, Command};
use crate::page::Page;
use gpumux_tests::{Daemon, Options, binary};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Stands around what the script says of itself, and in no output.
const MARK: char = '\u{1e}';
/// The folders of the service, and of a user who tries it. In a test there is one for all of them.
const SERVICE_FOLDERS: [&str; 2] = ["/run/gpumux", "/etc/gpumux"];

/// How a command went.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) typed: String,
    pub(crate) printed: String,
    /// None when the shell ended in its midst.
    pub(crate) code: Option<i32>,
    pub(crate) took: Duration,
}

/// A terminal: a folder to be in, and what is in its environment.
pub(crate) struct Terminal {
    pub(crate) folder: TempDir,
    environment: Vec<(String, PathBuf)>,
    /// Programs that are found first.
    pub(crate) programs: Vec<PathBuf>,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("room for a test's files");
        Self { folder, environment: Vec::new(), programs: Vec::new() }
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<PathBuf>) {
        self.environment.push((name.to_owned(), value.into()));
    }

    /// Types the commands, and ends what they left running.
    pub(crate) fn run<'a>(&self, commands: impl Iterator<Item = &'a str>) -> Vec<Done> {
        let typed: Vec<&str> = commands.collect();
        let (script, seen) = (self.folder.path().join(".script"), self.folder.path().join(".seen"));
        fs::write(&script, script_of(&typed)).expect("a folder of our own");
        let out = File::create(&seen).expect("a folder of our own");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let programs = self.programs.iter().cloned().chain(std::env::split_paths(&path));
        let mut bash = process::Command::new("bash");
        bash.args(["--noprofile", "--norc"])
            .arg(&script)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stderr(out.try_clone().expect("a file of ours"))
            .stdout(out)
            .process_group(0);
        for (name, _) in std::env::vars_os() {
            if is_of_the_test(&name.to_string_lossy()) {
                bash.env_remove(name);
            }
        }
        bash.env("PATH", std::env::join_paths(programs).expect("paths"))
            .envs(self.environment.clone());
        let mut shell = Group(bash.spawn().expect("bash starts"));
        shell.0.wait().expect("it is our child");
        drop(shell);
        outcomes(&typed, &fs::read_to_string(&seen).expect("programs write text"))
    }
}

/// Whether a variable is there because this is a test, and would not be at a terminal.
fn is_of_the_test(name: &str) -> bool {
    let kept = ["CARGO_HOME", "CARGO_TARGET_DIR", "RUSTUP_HOME", "GPUMUX_CACHE"];
    let foreign = ["CARGO", "RUST", "GPUMUX_", "NEXTEST", "VIRTUAL_ENV", "LD_LIBRARY_PATH"];
    !kept.contains(&name) && foreign.iter().any(|prefix| name.starts_with(prefix))
}

/// A shell, with what it started. Dropping it ends them all.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let id = i32::try_from(self.0.id()).expect("a process id");
        let _ended = killpg(Pid::from_raw(id), Signal::SIGKILL);
        let _ended = self.0.wait();
    }
}

fn script_of(typed: &[&str]) -> String {
    let mut script = String::new();
    for command in typed {
        script.push_str(&format!("printf '\\036begin %s\\036' \"$EPOCHREALTIME\"\n{command}\n"));
        script.push_str("printf '\\036end %s %s\\036\\n' \"$?\" \"$EPOCHREALTIME\"\n");
    }
    // As closing the terminal would.
    script.push_str("kill $(jobs -p) 2>/dev/null\nwait\n");
    script
}

/// What each command printed, from what the script wrote of it.
fn outcomes(typed: &[&str], seen: &str) -> Vec<Done> {
    let mut pieces = seen.split(MARK);
    let mut done = Vec::new();
    for command in typed {
        let began = pieces.find_map(|piece| piece.strip_prefix("begin "));
        let printed = pieces.next().unwrap_or_default().to_owned();
        let ended = pieces.next().and_then(|piece| piece.strip_prefix("end "));
        let (code, at) = ended.and_then(|it| it.split_once(' ')).unzip();
        done.push(Done {
            typed: (*command).to_owned(),
            printed,
            code: code.and_then(|code| code.parse().ok()),
            took: seconds(at).saturating_sub(seconds(began)),
        });
    }
    done
}

fn seconds(at: Option<&str>) -> Duration {
    at.and_then(|at| at.parse().ok()).map_or(Duration::ZERO, Duration::from_secs_f64)
}

/// Whether a shell understands it.
pub(crate) fn parse(typed: &str) -> Result<(), String> {
    let output = process::Command::new("bash").args(["-n", "-c", typed]).output();
    let output = output.map_err(|error| error.to_string())?;
    match output.status.success() && output.stderr.is_empty() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The same text with the folders of the service elsewhere.
fn in_folder(text: &str, folder: &Path) -> String {
    let folder = folder.display().to_string();
    SERVICE_FOLDERS.iter().fold(text.to_owned(), |text, place| text.replace(place, &folder))
}

/// Runs the commands of a page, and says what went otherwise than it has it.
pub(crate) fn run_page(page: &Page) -> Vec<String> {
    let mut terminal = Terminal::new();
    terminal.programs.push(binary("gpumux").with_file_name(""));
    let daemon = page.beside().map(|functions| start(&functions));
    let folder = match &daemon {
        None => terminal.folder.path().to_owned(),
        Some(daemon) => {
            terminal.set("GPUMUX_SOCKET", daemon.socket());
            terminal.set("GPUMUX_ADMIN_SOCKET", daemon.admin_socket());
            daemon.socket().with_file_name("")
        }
    };
    // Without the slash at its end.
    let folder: PathBuf = folder.components().collect();
    let blocks: Vec<_> = page.fences.iter().filter(|fence| fence.runs()).collect();
    let commands: Vec<(usize, Command)> = blocks
        .iter()
        .flat_map(|fence| console::commands(&fence.text).into_iter().map(|it| (fence.line, it)))
        .collect();
    let typed: Vec<String> =
        commands.iter().map(|(_, command)| in_folder(&command.typed, &folder)).collect();
    let done = terminal.run(typed.iter().map(String::as_str));
    let faults = commands.iter().zip(&done).filter_map(|((line, command), done)| {
        let printed = done.printed.replace(&folder.display().to_string(), "/run/gpumux");
        let what = judge(command, done.code, &printed)?;
        Some(format!("{}:{line}: $ {}\n{what}", page.path, command.typed))
    });
    faults.collect()
}

/// What is wrong with how a command went.
pub(crate) fn judge(command: &Command, code: Option<i32>, printed: &str) -> Option<String> {
    if code != Some(0) {
        return Some(format!("it ended with {code:?}:\n{printed}"));
    }
    let lines: Vec<&str> = printed.lines().collect();
    let is_shown = !command.printed.is_empty();
    if is_shown && !console::is_as_shown(&command.printed, &lines) {
        return Some(format!("it printed:\n{printed}"));
    }
    None
}

/// A daemon with functions of these names, each of which gives back what it takes.
fn start(functions: &[&str]) -> Daemon {
    let text = "model = \"builtin:echo\"\nlength = { max = 1024 }\n\
                [service]\nobjective = \"p99 < 50ms\"\n";
    let functions: Vec<(&str, &str)> = functions.iter().map(|&name| (name, text)).collect();
    Daemon::start_with(&functions, &Options::default())
}

#[test]
fn a_command_that_fails_or_prints_something_else_is_told() {
    let terminal = Terminal::new();
    let typed = ["echo one; echo two >&2", "x=5", "false", "echo $x", "exit 3", "echo never"];
    let done = terminal.run(typed.into_iter());
    let codes: Vec<_> = done.iter().map(|done| done.code).collect();
    assert_eq!(codes, [Some(0), Some(0), Some(1), Some(0), None, None]);
    assert_eq!((done[0].printed.as_str(), done[3].printed.as_str()), ("one\ntwo\n", "5\n"));
    let command = |shown: &str| Command {
        typed: String::new(),
        printed: shown.lines().map(str::to_owned).collect(),
    };
    assert!(judge(&command("5"), done[3].code, &done[3].printed).is_none());
    assert!(judge(&command("6"), done[3].code, &done[3].printed).is_some());
    assert!(judge(&command(""), done[2].code, "").is_some());
}

#[test]
fn what_a_page_left_running_is_ended() {
    let terminal = Terminal::new();
    let done = terminal.run(["tail -f /dev/null & echo $!"].into_iter());
    let id = done[0].printed.trim().parse().expect("a process id");
    assert!(nix::sys::signal::kill(Pid::from_raw(id), None).is_err(), "it is gone");
}
