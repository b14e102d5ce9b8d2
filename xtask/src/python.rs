//! A Python environment of our own with exactly the packages that a requirements file pins.
//!
//! Some tools that we need ship as Python packages. They are installed by name, version and hash
//! in the cache folder, never into the user's own Python.

use crate::cache::CacheFolder;
use crate::failure::{self, Failure, Step};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An environment that has the packages of its requirements file.
pub(crate) struct Environment {
    folder: CacheFolder,
}

impl Environment {
    /// Opens the environment `name`, made anew unless what is there was made from the same
    /// requirements. Each of them has to carry the hash of its package.
    pub(crate) fn prepare(name: &str, requirements: &Path) -> Result<Self, Failure> {
        let wanted =
            fs::read_to_string(requirements).step(|| format!("read {}", requirements.display()))?;
        let environment = Self { folder: CacheFolder::open(name)? };
        // Written last, so that an environment cut short is not taken for a whole one.
        let stamp = environment.folder.path.join("requirements.installed");
        let installed = fs::read_to_string(&stamp).unwrap_or_default();
        if installed != wanted || !environment.python().exists() {
            environment.install(requirements)?;
            fs::write(&stamp, wanted).step(|| format!("write {}", stamp.display()))?;
        }
        Ok(environment)
    }

    /// Its interpreter.
    pub(crate) fn python(&self) -> PathBuf {
        self.folder.path.join("venv/bin/python")
    }

    /// The folder of its packages.
    pub(crate) fn packages(&self) -> Result<PathBuf, Failure> {
        let path = failure::output(
            Command::new(self.python())
                .args(["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]),
            "find the packages of the Python environment",
        )?;
        Ok(PathBuf::from(path.trim_end()))
    }

    /// An empty folder for what a chore makes with it.
    pub(crate) fn scratch(&self) -> Result<PathBuf, Failure> {
        let path = self.folder.path.join("scratch");
        if path.exists() {
            fs::remove_dir_all(&path).step(|| format!("empty {}", path.display()))?;
        }
        fs::create_dir(&path).step(|| format!("create {}", path.display()))?;
        Ok(path)
    }

    fn install(&self, requirements: &Path) -> Result<(), Failure> {
        let venv = self.folder.path.join("venv");
        eprintln!("xtask: making a Python environment in {}", venv.display());
        failure::run(
            Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv),
            "create a Python environment (Python 3 with venv and pip is needed)",
        )?;
        failure::run(
            Command::new(self.python())
                .args(["-m", "pip", "install", "--disable-pip-version-check"])
                .args(["--require-hashes", "--no-deps", "--only-binary", ":all:", "--requirement"])
                .arg(requirements),
            &format!("install the packages of {}", requirements.display()),
        )
    }
}
