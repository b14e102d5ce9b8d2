//! `cargo xtask dist`: the packages of a release, their content as an archive, and their hashes.

mod check;
mod layout;

use crate::failure::{self, Failure, Step};
use crate::{cache, tree, workspace};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A crate with the description of a package, which variant of it, and whether its libraries lie where
/// Debian has those of one architecture.
const PACKAGES: [(&str, Option<&str>, bool); 3] = [
    ("gpumux-daemon", None, false),
    ("gpumux-capi", None, true),
    ("gpumux-capi", Some("dev"), true),
];
/// The crates whose products are packed.
const CRATES: [&str; 5] =
    ["gpumux-daemon", "gpumux-cli", "gpumux-import", "gpumux-emulator", "gpumux-capi"];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The profile to build by; `release` packs what is tested
    #[arg(long, default_value = "dist")]
    profile: String,
    /// Unpack what was packed and see that it would work: the units, the user and folders, the files
    #[arg(long)]
    check: bool,
}

/// Where a distribution is made.
struct Site {
    profile: String,
    /// The programs and libraries.
    binaries: PathBuf,
    /// The packages.
    out: PathBuf,
    /// The moment that files of packages carry: that of the commit, so that the same tree makes the
    /// same packages.
    epoch: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let site = Site::new(&arguments.profile)?;
    layout::prepare(&site)?;
    for package in PACKAGES {
        site.pack(package)?;
    }
    let packages = site.packages()?;
    site.archive(&packages)?;
    if arguments.check {
        check::all(&site.packages()?)?;
    }
    site.sum_up()
}

impl Site {
    fn new(profile: &str) -> Result<Self, Failure> {
        let binaries = build(profile)?;
        let out = binaries.with_file_name("packages");
        if out.exists() {
            fs::remove_dir_all(&out).step(|| format!("empty {}", out.display()))?;
        }
        fs::create_dir_all(&out).step(|| format!("create {}", out.display()))?;
        let epoch = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(epoch) => epoch,
            Err(_) => failure::output(
                Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(tree::root()),
                "read the time of the last commit (or give SOURCE_DATE_EPOCH)",
            )?,
        };
        Ok(Self { profile: profile.to_owned(), binaries, out, epoch: epoch.trim().to_owned() })
    }

    /// Makes one package of what was built.
    fn pack(
        &self,
        (package, variant, is_library): (&str, Option<&str>, bool),
    ) -> Result<(), Failure> {
        let mut cargo_deb = Command::new(cargo_deb()?);
        cargo_deb
            .current_dir(tree::root())
            .env("CARGO_TARGET_DIR", self.binaries.with_file_name(""))
            .env("SOURCE_DATE_EPOCH", &self.epoch)
            .args(["--no-build", "--locked", "--offline", "--strip", "--package", package])
            .args(["--profile", &self.profile, "--output"])
            .arg(&self.out);
        if let Some(variant) = variant {
            cargo_deb.args(["--variant", variant]);
        }
        if is_library {
            cargo_deb.arg("--multiarch=same");
        }
        failure::run(&mut cargo_deb, &format!("pack {package}"))
    }

    /// The packages that were made.
    fn packages(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut packages = files(&self.out)?;
        packages.retain(|path| path.extension().is_some_and(|extension| extension == "deb"));
        packages.sort();
        match packages.len() == PACKAGES.len() {
            true => Ok(packages),
            false => Err(Failure::new("find the packages", format!("there are {packages:?}"))),
        }
    }

    /// Packs the content of all packages as one archive, for hosts that are not Debian's.
    fn archive(&self, packages: &[PathBuf]) -> Result<(), Failure> {
        let version = env!("CARGO_PKG_VERSION");
        let name = format!("gpumux-{version}-{}-linux", std::env::consts::ARCH);
        let staging = self.binaries.join("packaging").join(&name);
        for package in packages {
            unpack(package, &staging)?;
        }
        failure::run(
            Command::new("tar")
                .args(["--create", "--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
                .args(["--format=gnu", "--use-compress-program=gzip --no-name"])
                .arg(format!("--mtime=@{}", self.epoch))
                .arg("--directory")
                .arg(self.binaries.join("packaging"))
                .arg("--file")
                .arg(self.out.join(format!("{name}.tar.gz")))
                .arg(&name),
            "pack the archive",
        )
    }

    /// Writes the hashes of all that was made, and says what that is.
    fn sum_up(&self) -> Result<(), Failure> {
        let mut made = files(&self.out)?;
        made.sort();
        let mut sums = String::new();
        for path in &made {
            let bytes = fs::read(path).step(|| format!("read {}", path.display()))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let hash: String =
                Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            sums.push_str(&format!("{hash}  {name}\n"));
            println!("{:>12} {}", bytes.len(), path.display());
        }
        let path = self.out.join("SHA256SUMS");
        fs::write(&path, sums).step(|| format!("write {}", path.display()))
    }
}

/// Builds what is packed and returns the folder that it is in.
fn build(profile: &str) -> Result<PathBuf, Failure> {
    // The profile of the tests is built as they are: what they ran is what is packed.
    let tested = workspace::build()?;
    if profile == "release" {
        return Ok(tested);
    }
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--locked", "--profile", profile]);
    cargo.args(CRATES.iter().flat_map(|package| ["--package", package]));
    failure::run(&mut cargo, &format!("build by the profile {profile}"))?;
    Ok(tested.with_file_name(profile))
}

/// The packer: the one that `.ci/run` installs, or the user's own.
fn cargo_deb() -> Result<PathBuf, Failure> {
    let ours = cache::root()?.join("tools/bin/cargo-deb");
    if ours.exists() {
        return Ok(ours);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("cargo-deb"));
    found.into_iter().find(|path| path.exists()).ok_or_else(|| {
        Failure::new("find cargo-deb", "run `cargo install cargo-deb --version 3.8.0 --locked`")
    })
}

/// Unpacks the files of a package.
fn unpack(package: &Path, folder: &Path) -> Result<(), Failure> {
    failure::run(
        Command::new("dpkg-deb").arg("--extract").arg(package).arg(folder),
        &format!("unpack {}", package.display()),
    )
}

/// What lies in a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let step = || format!("read {}", folder.display());
    let entries = fs::read_dir(folder).step(step)?;
    entries.map(|entry| entry.map(|entry| entry.path()).step(step)).collect()
}
