//! Whether the packages would work: they are unpacked to a folder, and the tools of systemd, of Debian
//! and of C look at what is there, as they would on the host. Needs root, as an installation does.

use super::{files, unpack};
use crate::failure::{self, Failure, Step};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The most exposure, in tenths, that `systemd-analyze security` may find.
const EXPOSURE_MAX: u32 = 17;
/// Units, as the packages have them.
const UNITS: [&str; 5] = [
    "gpumuxd.service",
    "gpumuxd.socket",
    "gpumuxd-admin.socket",
    "gpumuxd-tenant@.socket",
    "gpumux-nvidia.service",
];
/// What a host has that is not ours to pack, and that the units name.
const HOST_TARGETS: [&str; 5] =
    ["sysinit.target", "basic.target", "sockets.target", "shutdown.target", "multi-user.target"];
const HOST_PROGRAMS: [&str; 2] = ["nvidia-smi", "nvidia-modprobe"];
/// Files that the packages must have, from the root.
const FILES: [&str; 22] = [
    "etc/gpumux/gpumuxd.toml",
    "usr/bin/gpumux",
    "usr/bin/gpumuxd",
    "usr/include/gpumux.h",
    "usr/lib/gpumux/gpumux-import",
    "usr/lib/gpumux/libgpumux_emulator.so",
    "usr/lib/sysusers.d/gpumux.conf",
    "usr/lib/tmpfiles.d/gpumux.conf",
    "usr/share/bash-completion/completions/gpumux",
    "usr/share/doc/gpumux/copyright",
    "usr/share/doc/gpumux/docs/SUMMARY.md",
    "usr/share/doc/gpumux/docs/reference/status.schema.json",
    "usr/share/doc/gpumux/LICENSE-APACHE",
    "usr/share/doc/gpumux/LICENSE-MIT",
    "usr/share/doc/gpumux/README.md",
    "usr/share/doc/gpumux/docs/reference/function-toml.md",
    "usr/share/doc/gpumux/docs/reference/gpumuxd-toml.md",
    "usr/share/fish/vendor_completions.d/gpumux.fish",
    "usr/share/man/man1/gpumux-status.1.gz",
    "usr/share/man/man1/gpumux.1.gz",
    "usr/share/man/man8/gpumuxd.8.gz",
    "usr/share/zsh/vendor-completions/_gpumux",
];

/// Checks all packages together.
pub(super) fn all(packages: &[PathBuf]) -> Result<(), Failure> {
    let folder = tempfile::tempdir().step(|| "make a folder to unpack to".to_owned())?;
    let root = folder.path().join("root");
    for package in packages {
        scripts(package, folder.path())?;
        unpack(package, &root)?;
    }
    for file in FILES {
        fs::metadata(root.join(file)).step(|| format!("find {file} in the packages"))?;
    }
    units(&root)?;
    user_and_folders(&root)?;
    programs(&root, folder.path())?;
    library(&root, folder.path())?;
    eprintln!(
        "xtask: the packages hold what a host needs; the unit's exposure is at most {EXPOSURE_MAX} tenths"
    );
    Ok(())
}

/// The scripts of a package are a shell's.
fn scripts(package: &Path, folder: &Path) -> Result<(), Failure> {
    let name = package.file_stem().unwrap_or_default();
    let control = folder.join(name);
    failure::run(
        Command::new("dpkg-deb").arg("--control").arg(package).arg(&control),
        "unpack a package's scripts",
    )?;
    // What an operator wrote there, an upgrade leaves.
    let conffiles = control.join("conffiles");
    if name.to_string_lossy().starts_with("gpumux_") {
        let kept = fs::read_to_string(&conffiles).step(|| "read the conffiles".to_owned())?;
        if !kept.lines().any(|line| line == "/etc/gpumux/gpumuxd.toml") {
            return Err(Failure::new("find gpumuxd.toml among the conffiles", kept));
        }
    }
    for script in ["postinst", "prerm", "postrm"] {
        let path = control.join(script);
        if path.exists() {
            failure::run(Command::new("sh").arg("-n").arg(&path), &format!("parse {script}"))?;
        }
    }
    Ok(())
}

/// systemd understands the units, and finds them as closed as they are meant to be.
fn units(root: &Path) -> Result<(), Failure> {
    let folder = root.join("usr/lib/systemd/system");
    for target in HOST_TARGETS {
        write(&folder.join(target), "[Unit]\n")?;
    }
    for program in HOST_PROGRAMS {
        let path = root.join("usr/bin").join(program);
        write(&path, "#!/bin/sh\n")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
            .step(|| format!("make {program} a program"))?;
    }
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["verify", "--man=no", "--root"]).arg(root).args(UNITS);
    let output = analyze.output().step(|| "start systemd-analyze".to_owned())?;
    // What it only warns of, it says and is content.
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || !said.is_empty() {
        return Err(Failure::new("have systemd understand the units", said));
    }
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true", "--no-pager", "gpumuxd.service"]);
    analyze.arg(format!("--threshold={EXPOSURE_MAX}")).arg("--root").arg(root);
    let output = analyze.output().step(|| "start systemd-analyze".to_owned())?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            Err(Failure::new(format!("keep the unit's exposure to {EXPOSURE_MAX} tenths"), said))
        }
    }
}

/// The user and the folders are made, and are whose they should be.
fn user_and_folders(root: &Path) -> Result<(), Failure> {
    let etc = root.join("etc");
    fs::create_dir_all(&etc).step(|| format!("create {}", etc.display()))?;
    failure::run(
        Command::new("systemd-sysusers").arg("--root").arg(root).arg("gpumux.conf"),
        "make the user in an empty root (root may)",
    )?;
    failure::run(
        Command::new("systemd-tmpfiles").arg("--create").arg("--root").arg(root).arg("gpumux.conf"),
        "make the folders in an empty root (root may)",
    )?;
    let users = fs::read_to_string(root.join("etc/passwd")).step(|| "read the users".to_owned())?;
    let uid = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some("gpumux")).then(|| fields.nth(1)).flatten()?.parse::<u32>().ok()
    });
    let uid = uid.ok_or_else(|| Failure::new("find the user gpumux", &users))?;
    for (folder, owner, mode) in [
        ("run/gpumux", uid, 0o755),
        ("var/lib/gpumux", uid, 0o750),
        ("etc/gpumux", 0, 0o755),
        ("etc/gpumux/models", 0, 0o755),
    ] {
        let found = fs::metadata(root.join(folder)).step(|| format!("find {folder}"))?;
        let (has, is) = ((found.uid(), found.mode() & 0o7777), (owner, mode));
        if has != is {
            let why = format!("its owner and mode are {has:?} and should be {is:?}");
            return Err(Failure::new(format!("make {folder}"), why));
        }
    }
    Ok(())
}

/// The daemon finds what belongs to it where it was unpacked: the emulated driver is loaded.
fn programs(root: &Path, folder: &Path) -> Result<(), Failure> {
    let mut doctor = Command::new(root.join("usr/bin/gpumux"));
    doctor.args(["doctor", "--device", "emulated", "--state"]).arg(folder.join("state"));
    let output = doctor.output().step(|| "start the unpacked gpumux".to_owned())?;
    let said = String::from_utf8_lossy(&output.stdout);
    // It warns of the folders, which are not this host's; it serves all the same.
    let serves = matches!(output.status.code(), Some(0 | 1));
    if !serves || !said.contains("usr/lib/gpumux/libgpumux_emulator.so") {
        return Err(Failure::new("see an emulated device with the unpacked programs", said));
    }
    let mut daemon = Command::new(root.join("usr/bin/gpumuxd"));
    let models = folder.join("models");
    write(&models.join("echo/function.toml"), "model = \"builtin:echo\"\nlength = { max = 8 }\n")?;
    daemon.arg("--check-config").arg("--config").arg(root.join("etc/gpumux/gpumuxd.toml"));
    failure::run(
        daemon.arg("--models").arg(models),
        "have the daemon read the packed gpumuxd.toml",
    )?;
    let importer = root.join("usr/lib/gpumux/gpumux-import");
    failure::run(
        Command::new(importer).arg("--help").stdout(std::process::Stdio::null()),
        "run the unpacked importer",
    )
}

/// A program is linked to the unpacked library, by what pkg-config says, and starts.
fn library(root: &Path, folder: &Path) -> Result<(), Failure> {
    let libraries = root.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    let pkg_config = failure::output(
        Command::new("pkg-config")
            .args(["--cflags", "--libs", "gpumux"])
            .env("PKG_CONFIG_SYSROOT_DIR", root)
            .env("PKG_CONFIG_PATH", libraries.join("pkgconfig")),
        "ask pkg-config for the unpacked library",
    )?;
    let source = folder.join("linked.c");
    write(&source, "#include <gpumux.h>\nint main(void) { return gpumux_abi_version() == 0; }\n")?;
    let program = folder.join("linked");
    failure::run(
        Command::new("cc").arg(&source).arg("-o").arg(&program).args(pkg_config.split_whitespace()),
        "link a program to the unpacked library",
    )?;
    failure::run(
        Command::new(&program).env("LD_LIBRARY_PATH", &libraries),
        "start a program that is linked to the unpacked library",
    )?;
    let names = files(&libraries)?;
    match names.iter().any(|path| path.ends_with("libgpumux.so.0")) {
        true => Ok(()),
        false => Err(Failure::new("find libgpumux.so.0", format!("there are {names:?}"))),
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).step(|| format!("create {}", folder.display()))?;
    }
    fs::write(path, text).step(|| format!("write {}", path.display()))
}
