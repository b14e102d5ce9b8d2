//! The tests that numba-cuda ships: a compiler that is not ours and not NVIDIA's front end, on the
//! emulated driver.
//!
//! Each of its modules runs in processes of its own, two modules at a time. A test that takes a
//! process along, or takes too long, costs itself alone.

use super::CLAIM;
use super::numba_list::{Lists, Outcomes};
use crate::failure::{Failure, Step};
use crate::links;
use crate::python::Environment;
use crate::tree;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// Where the tests are in the package.
const TESTS: &str = "numba_cuda/numba/cuda/tests";
/// The groups of them that are run.
const GROUPS: [&str; 1] = ["cudapy"];
/// What the runner ends with after a failure.
const AFTER_FAILURE: i32 = 3;
/// How long one test may take. The longest compiles hundreds of kernels.
const TEST_SECONDS: &str = "900";
/// What is said wherever nvJitLink is not installed; some tests count warnings.
const EXPECTED_WARNING: &str = "ignore:cuda.bindings.nvjitlink is not available:RuntimeWarning";

#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// Run only the modules whose name contains this; nothing is compared then
    module: Option<String>,
    /// Write the list of tests that pass
    #[arg(long)]
    bless: bool,
}

/// What a run of one module needs.
struct Runner {
    python: PathBuf,
    links: PathBuf,
    logs: PathBuf,
}

pub(super) fn run(arguments: &Arguments, library: &Path) -> Result<(), Failure> {
    let lists = tree::root().join("ffi/emulator/conformance");
    let environment =
        Environment::prepare("conformance-numba", &lists.join("numba-requirements.txt"))?;
    let scratch = environment.scratch()?;
    let logs = scratch.join("logs");
    fs::create_dir(&logs).step(|| format!("create {}", logs.display()))?;
    let runner =
        Runner { python: environment.python(), links: links::make(library, &scratch)?, logs };
    let mut modules = modules(&environment.packages()?.join(TESTS))?;
    if let Some(part) = &arguments.module {
        modules.retain(|module| module.contains(part.as_str()));
    }
    let outcomes = runner.run_all(&modules)?;
    println!("numba-cuda: {}", outcomes.summary());
    if arguments.module.is_some() {
        print!("{}", outcomes.not_green());
        return Ok(());
    }
    if arguments.bless {
        return Lists::bless(&lists, &outcomes);
    }
    Lists::read(&lists)?.judge(&outcomes)
}

/// The modules of the tests, as Python names them.
fn modules(folder: &Path) -> Result<Vec<String>, Failure> {
    let mut modules = Vec::new();
    for group in GROUPS {
        let folder = folder.join(group);
        let step = || format!("list {}", folder.display());
        for entry in fs::read_dir(&folder).step(step)? {
            let name = entry.step(step)?.file_name();
            let name = name.to_string_lossy();
            if let Some(module) = name.strip_suffix(".py")
                && module.starts_with("test_")
            {
                modules.push(format!("numba.cuda.tests.{group}.{module}"));
            }
        }
    }
    modules.sort();
    Ok(modules)
}

impl Runner {
    fn run_all(&self, modules: &[String]) -> Result<Outcomes, Failure> {
        let left = Mutex::new(modules.iter());
        let outcomes = Mutex::new(Outcomes::default());
        let work = || -> Result<(), Failure> {
            loop {
                let next = left.lock().expect("no worker panics").next();
                let Some(module) = next else { return Ok(()) };
                let found = self.run_module(module)?;
                println!("{module}: {}", found.summary());
                outcomes.lock().expect("no worker panics").extend(found);
            }
        };
        std::thread::scope(|scope| {
            let workers = [scope.spawn(work), scope.spawn(work)];
            workers.into_iter().try_for_each(|worker| worker.join().expect("a worker panicked"))
        })?;
        Ok(outcomes.into_inner().expect("no worker panics"))
    }

    /// Runs a module until none of its tests is left.
    fn run_module(&self, module: &str) -> Result<Outcomes, Failure> {
        let log = self.logs.join(format!("{module}.log"));
        loop {
            let status = self.run_once(module, &log)?;
            let text = fs::read_to_string(&log).unwrap_or_default();
            let outcomes = Outcomes::parse(&text);
            match (status, outcomes.begun()) {
                (Some(0), _) => return Ok(outcomes),
                (Some(AFTER_FAILURE), None) => {}
                (status, Some(test)) => {
                    let why = match status {
                        // What the watch over a test's time ends a process with.
                        Some(1) => "took too long".to_owned(),
                        Some(code) => format!("ended the process with {code}"),
                        None => "ended the process by a signal".to_owned(),
                    };
                    append(&log, &test_line(&test, &why))?;
                }
                (_, None) => {
                    let why = format!("see {}", log.with_extension("err").display());
                    return Err(Failure::new(format!("load {module}"), why));
                }
            }
        }
    }

    /// The status of one process, or `None` where a signal ended it.
    fn run_once(&self, module: &str, log: &Path) -> Result<Option<i32>, Failure> {
        let noise_path = log.with_extension("err");
        let noise = fs::OpenOptions::new().create(true).append(true).open(&noise_path);
        let noise = noise.step(|| format!("write {}", noise_path.display()))?;
        let status = Command::new(&self.python)
            .arg(tree::root().join("ffi/emulator/conformance/numba_run.py"))
            .args([module.as_ref(), log.as_os_str(), TEST_SECONDS.as_ref()])
            .current_dir(&self.logs)
            .env("LD_LIBRARY_PATH", &self.links)
            .env("GPUMUX_EMULATED", CLAIM)
            .env("PYTHONWARNINGS", EXPECTED_WARNING)
            .stdout(Stdio::null())
            .stderr(noise)
            .status()
            .step(|| format!("run the tests of {module}"))?;
        Ok(status.code())
    }
}

fn test_line(test: &str, why: &str) -> String {
    format!("fail\t{test}\t{why}\n")
}

fn append(log: &Path, line: &str) -> Result<(), Failure> {
    let text = fs::read_to_string(log).step(|| format!("read {}", log.display()))?;
    fs::write(log, text + line).step(|| format!("write {}", log.display()))
}
