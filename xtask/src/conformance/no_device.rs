//! NVIDIA's own driver on a machine without a device, next to the emulator that is told to have
//! none: both answer alike, and gpumux says the same of both.
//!
//! The driver is Debian's package, unpacked and not installed.

use crate::cache::CacheFolder;
use crate::failure::{self, Failure, Step};
use crate::links;
use crate::{tree, workspace};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The package, and what it must be.
const PACKAGE: &str = "libcuda1=535.261.03-1";
const FILE: &str = "libcuda1_535.261.03-1_amd64.deb";
const HASH: &str = "de1e9ca34164a5983b3f752e6699cf1ad924790f1a843b7d582bab6f99206e1e";
/// Where the driver is in the package.
const FOLDER: &str = "usr/lib/x86_64-linux-gnu/nvidia/current";
/// Debian's archive, with the component that has the package.
const SOURCE: &str = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] \
                      http://deb.debian.org/debian bookworm non-free\n";
/// The emulator as a machine with the same driver and no device.
const CLAIM: &str = "devices=0,driver=12.2";

pub(super) fn run(library: &Path) -> Result<(), Failure> {
    let cache = CacheFolder::open("conformance-driver")?;
    let real = fetch(&cache.path)?;
    let scratch = cache.path.join("scratch");
    if scratch.exists() {
        fs::remove_dir_all(&scratch).step(|| format!("empty {}", scratch.display()))?;
    }
    fs::create_dir(&scratch).step(|| format!("create {}", scratch.display()))?;
    let emulated = links::make(library, &scratch)?;
    same("the driver's answers", &answers(&real)?, &answers(&emulated)?)?;
    let example = example()?;
    same("what gpumux says", &words(&example, &real)?, &words(&example, &emulated)?)?;
    println!("no device: NVIDIA's driver and the emulator answer alike");
    Ok(())
}

/// The folder of the unpacked driver.
fn fetch(cache: &Path) -> Result<PathBuf, Failure> {
    let folder = cache.join("unpacked").join(FOLDER);
    if folder.join("libcuda.so.1").exists() {
        return Ok(folder);
    }
    let package = cache.join(FILE);
    if !package.exists() {
        download(cache)?;
    }
    let bytes = fs::read(&package).step(|| format!("read {}", package.display()))?;
    let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if found != HASH {
        return Err(Failure::new(format!("check {FILE}"), format!("its hash is {found}")));
    }
    failure::run(
        Command::new("dpkg").arg("-x").arg(&package).arg(cache.join("unpacked")),
        "unpack the driver",
    )?;
    Ok(folder)
}

/// Fetches the package with a configuration of our own; the system's is not touched.
fn download(cache: &Path) -> Result<(), Failure> {
    let apt = cache.join("apt");
    for part in ["state/lists/partial", "cache/archives/partial"] {
        let path = apt.join(part);
        fs::create_dir_all(&path).step(|| format!("create {}", path.display()))?;
    }
    let sources = apt.join("sources.list");
    fs::write(&sources, SOURCE).step(|| format!("write {}", sources.display()))?;
    let apt_get = |arguments: &[&str], step: &str| {
        let mut command = Command::new("apt-get");
        for (key, value) in [
            ("Dir::State", apt.join("state").as_path()),
            ("Dir::Cache", apt.join("cache").as_path()),
            ("Dir::Etc::sourcelist", sources.as_path()),
            ("Dir::Etc::sourceparts", Path::new("-")),
        ] {
            command.arg("-o").arg(format!("{key}={}", value.display()));
        }
        failure::run(command.arg("-qq").args(arguments).current_dir(cache), step)
    };
    apt_get(&["update"], "read Debian's list of packages (apt is needed)")?;
    apt_get(&["download", PACKAGE], "download Debian's package of NVIDIA's driver")
}

/// What the driver of a folder answers.
fn answers(folder: &Path) -> Result<String, Failure> {
    failure::output(
        Command::new("python3")
            .arg(tree::root().join("ffi/emulator/conformance/no_device.py"))
            .arg(folder.join("libcuda.so.1"))
            .env("GPUMUX_EMULATED", CLAIM),
        &format!("ask the driver of {}", folder.display()),
    )
}

/// The example that opens the driver that the loader finds.
fn example() -> Result<PathBuf, Failure> {
    let build = ["build", "--release", "--package", "gpumux-cuda", "--example", "open"];
    let step = "build the example that opens a driver";
    let messages = failure::output(
        workspace::cargo().args(build).arg("--message-format=json-render-diagnostics"),
        step,
    )?;
    super::executable(&messages).ok_or_else(|| Failure::new(step, "cargo named no executable"))
}

/// What gpumux says of the driver of a folder, without where that is.
fn words(example: &Path, folder: &Path) -> Result<String, Failure> {
    let text = failure::output(
        Command::new(example).env("LD_LIBRARY_PATH", folder).env("GPUMUX_EMULATED", CLAIM),
        "open a driver",
    )?;
    let path = text.split_whitespace().find(|word| word.starts_with('/'));
    Ok(path.map_or_else(|| text.clone(), |path| text.replace(path, "DRIVER")))
}

fn same(what: &str, real: &str, emulated: &str) -> Result<(), Failure> {
    let differs = real.lines().zip(emulated.lines()).find(|(real, emulated)| real != emulated);
    match differs {
        Some((real, emulated)) => {
            Err(Failure::new(format!("find {what} alike"), format!("`{real}` and `{emulated}`")))
        }
        None if real.lines().count() != emulated.lines().count() || real.is_empty() => {
            Err(Failure::new(format!("find {what} alike"), "one says more"))
        }
        None => Ok(()),
    }
}
