//! A gpumuxd of a test's own, in a folder of its own.

use crate::binary;
use gpumux_shim::Session;
use gpumux_wire::status::Status;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use tempfile::TempDir;

/// A running daemon. Dropping it kills it.
#[derive(Debug)]
pub struct Daemon {
    folder: TempDir,
    process: Child,
    /// Lines of the emulated driver's report when the daemon was ready.
    reported: usize,
    /// The first worker's process, as the report names it.
    first_worker: String,
}

/// How a daemon is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// More arguments.
    pub arguments: Vec<String>,
    /// The device, if not the emulated one.
    pub device: Option<String>,
    /// Where imported models are kept, if not in the daemon's folder.
    pub state: Option<PathBuf>,
    /// Files that belong beside a function's file: (function's name, file).
    pub beside: Vec<(String, PathBuf)>,
    /// The text of gpumuxd.toml.
    pub config: String,
    /// A socket for peers elsewhere than in the daemon's folder.
    pub socket: Option<PathBuf>,
    /// A file for its log, as JSON, to which the next daemon adds.
    pub log: Option<PathBuf>,
}

/// Writes a model repository: (function's name, its function.toml), and what belongs beside.
fn repository(folder: &Path, functions: &[(&str, &str)], options: &Options) {
    let models = folder.join("models");
    write_functions(&models, functions);
    std::fs::write(folder.join("gpumuxd.toml"), &options.config).expect("a folder of our own");
    for (function, file) in &options.beside {
        let name = file.file_name().expect("a file has a name");
        symlink(file, models.join(function).join(name)).expect("a folder of our own");
    }
}

fn write_functions(models: &Path, functions: &[(&str, &str)]) {
    for (name, text) in functions {
        let folder = models.join(name);
        std::fs::create_dir_all(&folder).expect("a folder of our own");
        std::fs::write(folder.join("function.toml"), text).expect("a folder of our own");
    }
}

impl Daemon {
    /// Starts a daemon that serves these functions, and waits until it says that it is ready.
    pub fn start(functions: &[(&str, &str)]) -> Self {
        Self::start_with(functions, &Options::default())
    }

    /// Starts a daemon with more arguments.
    ///
    /// # Panics
    /// When it ends before it is ready.
    pub fn start_with(functions: &[(&str, &str)], options: &Options) -> Self {
        let folder = tempfile::tempdir().expect("room for a test's files");
        let (process, notified) = launch(folder.path(), functions, options);
        let mut daemon = Self { folder, process, reported: 0, first_worker: String::new() };
        daemon.await_ready(&notified);
        daemon.note_report(options);
        daemon
    }

    /// Kills the daemon: the supervisor, and then its worker.
    pub fn crash(&mut self, worker: Pid) {
        self.crash_supervisor();
        // One that has seen the supervisor's end may have ended by itself, and one that was stopped
        // the kernel ends as an orphan.
        let _ended = kill(worker, Signal::SIGKILL);
    }

    /// Kills the supervisor alone.
    pub fn crash_supervisor(&mut self) {
        self.process.kill().expect("it is our child");
        self.process.wait().expect("it is our child");
    }

    /// Starts another daemon in the place of one that has ended, with functions of its own.
    ///
    /// # Panics
    /// When it ends before it is ready.
    pub fn restart(&mut self, functions: &[(&str, &str)]) {
        self.restart_with(functions, &Options::default());
    }

    /// Starts another daemon in the place of one that has ended.
    ///
    /// # Panics
    /// When it ends before it is ready.
    pub fn restart_with(&mut self, functions: &[(&str, &str)], options: &Options) {
        let _none = std::fs::remove_dir_all(self.folder.path().join("models"));
        // The one before told of its own calls.
        let _none = std::fs::remove_file(report(self.folder.path()));
        let (process, notified) = launch(self.folder.path(), functions, options);
        self.process = process;
        self.await_ready(&notified);
        self.note_report(options);
    }

    /// Has the daemon serve other functions, and returns what `gpumux reload` did.
    pub fn reload(&mut self, functions: &[(&str, &str)]) -> Output {
        self.check_strict();
        let models = self.folder.path().join("models");
        std::fs::remove_dir_all(&models).expect("a folder of our own");
        write_functions(&models, functions);
        let output = Command::new(binary("gpumux"))
            .args(["reload", "--admin-socket"])
            .arg(self.admin_socket())
            .output()
            .expect("gpumux starts");
        if output.status.success() && !self.first_worker.is_empty() {
            self.first_worker = self.worker().to_string();
            self.reported = self.report().len();
        }
        output
    }

    /// Notes what the emulated driver has reported by now: what comes later, of this worker, was not
    /// to be.
    fn note_report(&mut self, options: &Options) {
        self.reported = self.report().len();
        if options.device.is_none() {
            self.first_worker = self.worker().to_string();
            let mut lines = self.report().into_iter();
            assert!(lines.any(|line| self.is_of_first_worker(&line)), "loading allocates");
        }
    }

    /// Runs a daemon that is expected to refuse to start, and returns what it wrote.
    ///
    /// # Panics
    /// When it starts.
    pub fn refuse(functions: &[(&str, &str)], options: &Options) -> String {
        let folder = tempfile::tempdir().expect("room for a test's files");
        repository(folder.path(), functions, options);
        let output = command(folder.path(), options)
            .stderr(Stdio::piped())
            .output()
            .expect("gpumuxd starts");
        assert!(!output.status.success(), "it was expected to refuse");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Waits for the daemon's word, or for its end.
    fn await_ready(&mut self, notified: &UnixDatagram) {
        let step = std::time::Duration::from_millis(200);
        notified.set_read_timeout(Some(step)).expect("a span that is not zero");
        let mut message = [0; 256];
        loop {
            match notified.recv(&mut message) {
                Ok(bytes) if message[..bytes].starts_with(b"READY=1") => return,
                Ok(_) | Err(_) => (),
            }
            if let Some(status) = self.process.try_wait().expect("it is our child") {
                panic!("gpumuxd ended before it was ready: {status}");
            }
        }
    }

    /// The socket for peers.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("gpumuxd.sock")
    }

    /// Its gpumuxd.toml.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("gpumuxd.toml")
    }

    /// The socket for operators.
    pub fn admin_socket(&self) -> PathBuf {
        self.folder.path().join("admin.sock")
    }

    /// The socket for scrapers.
    pub fn metrics_socket(&self) -> PathBuf {
        self.folder.path().join("metrics.sock")
    }

    /// A session of this process.
    pub fn connect(&self) -> Session {
        Session::connect(self.socket()).expect("the daemon is ready")
    }

    /// The daemon's process.
    pub fn pid(&self) -> Pid {
        pid(&self.process)
    }

    /// What `gpumux status --json` says.
    pub fn status(&self) -> Status {
        let output = Command::new(binary("gpumux"))
            .args(["status", "--json", "--admin-socket"])
            .arg(self.admin_socket())
            .output()
            .expect("gpumux starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("the documented JSON")
    }

    /// Asks for the status until it is as described.
    pub fn await_status(&self, described: impl Fn(&Status) -> bool) -> Status {
        loop {
            let status = self.status();
            if described(&status) {
                return status;
            }
        }
    }

    /// The first device's worker.
    pub fn worker(&self) -> Pid {
        self.workers()[0]
    }

    /// The worker of each device.
    ///
    /// # Panics
    /// When there is none.
    pub fn workers(&self) -> Vec<Pid> {
        let is_ready =
            |status: &Status| status.devices.iter().all(|device| device.state == "ready");
        let status = self.await_status(is_ready);
        let pid = |pid: Option<u32>| {
            let pid = pid.expect("a ready device has a worker");
            Pid::from_raw(i32::try_from(pid).expect("a process id"))
        };
        status.devices.iter().map(|device| pid(device.worker_pid)).collect()
    }

    /// Has requests reach the worker all at once: it is stopped while `submit` runs.
    pub fn at_once<T>(&self, submit: impl FnOnce() -> T) -> T {
        let worker = self.stop_worker();
        let submitted = submit();
        kill(worker, Signal::SIGCONT).expect("the worker lives");
        submitted
    }

    /// Stops the worker, and sees that every thread of it has stopped.
    pub fn stop_worker(&self) -> Pid {
        let worker = self.worker();
        kill(worker, Signal::SIGSTOP).expect("the worker lives");
        while !threads_of(worker).all(|state| state == 'T') {
            std::thread::yield_now();
        }
        worker
    }

    /// Lines of the emulated driver's report: each a call that may synchronise a real device.
    fn report(&self) -> Vec<String> {
        let text = std::fs::read_to_string(report(self.folder.path())).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Checks that no call that may synchronise a device was made while the first worker served. A
    /// worker that came after it made such calls as it loaded.
    fn check_strict(&self) {
        let lines = self.report();
        let late = lines.iter().skip(self.reported).filter(|line| self.is_of_first_worker(line));
        let late: Vec<_> = late.collect();
        assert!(late.is_empty(), "calls that may synchronise a device, after `ready`: {late:?}");
    }

    /// Whether a line of the report is of the worker that was there when the daemon was ready.
    fn is_of_first_worker(&self, line: &str) -> bool {
        line.split(' ').next() == Some(&self.first_worker)
    }

    /// Asks the daemon to stop.
    pub fn terminate(&self) {
        self.check_strict();
        kill(self.pid(), Signal::SIGTERM).expect("it is our child");
    }

    /// Waits for the daemon's end.
    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait().expect("it is our child")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !std::thread::panicking() && matches!(self.process.try_wait(), Ok(None)) {
            self.check_strict();
        }
        // One that has ended already needs neither.
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// Starts a daemon, and the socket over which it will say that it is ready.
fn launch(folder: &Path, functions: &[(&str, &str)], options: &Options) -> (Child, UnixDatagram) {
    repository(folder, functions, options);
    let told = folder.join("notify");
    let _none = std::fs::remove_file(&told);
    let notified = UnixDatagram::bind(&told).expect("a socket in our folder");
    let process = command(folder, options)
        .env("NOTIFY_SOCKET", &told)
        // As a terminal starts it: a signal to the group reaches who is in it.
        .process_group(0)
        .spawn()
        .expect("gpumuxd starts");
    (process, notified)
}

/// Where the emulated driver of a test's daemon reports to.
fn report(folder: &Path) -> PathBuf {
    folder.join("synchronising-calls")
}

/// The emulated device in strict mode.
fn strict(folder: &Path) -> String {
    format!("emulated:strict=on,report={}", report(folder).display())
}

fn command(folder: &Path, options: &Options) -> Command {
    let mut command = Command::new(binary("gpumuxd"));
    let socket = options.socket.clone().unwrap_or_else(|| folder.join("gpumuxd.sock"));
    command
        .arg("--config")
        .arg(folder.join("gpumuxd.toml"))
        .arg("--socket")
        .arg(socket)
        .arg("--admin-socket")
        .arg(folder.join("admin.sock"))
        .arg("--models")
        .arg(folder.join("models"))
        .arg("--state")
        .arg(options.state.clone().unwrap_or_else(|| folder.join("state")))
        .arg("--device")
        .arg(options.device.clone().unwrap_or_else(|| strict(folder)))
        .args(&options.arguments);
    if let Some(log) = &options.log {
        let log = File::options().create(true).append(true).open(log);
        command.arg("--log-format=json").stderr(log.expect("a folder of the test"));
    }
    command
}

/// A child's process id.
pub(crate) fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).expect("a process id"))
}

/// The state of each thread of a process, as the kernel's letters.
fn threads_of(process: Pid) -> impl Iterator<Item = char> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("the process lives");
    threads.flatten().filter_map(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).ok()?;
        // The name before it is in parentheses and may hold anything.
        stat.rsplit_once(") ")?.1.chars().next()
    })
}
