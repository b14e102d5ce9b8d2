//! What the host must give: device files, folders, limits.

use super::Options;
use gpumux_wire::doctor::{Finding, Level};
use nix::unistd::{AccessFlags, access};
use std::path::{Path, PathBuf};

/// Files that a daemon with a thousand peers has open: for each a connection, and for each of its
/// functions a memfd and a socket.
const FILES_NEEDED: u64 = 4096;
/// What is asked for where that is not given.
const FILES_WANTED: u64 = 65_536;
/// Some drivers count pinned memory against the limit of locked memory: the staging pool and the lanes'
/// words have to fit.
const LOCKED_BYTES_NEEDED: u64 = 64 << 20;
/// Device files without which no process reaches a GPU. `nvidia-uvm` is made by the first that asks.
const DEVICE_FILES: [&str; 2] = ["/dev/nvidiactl", "/dev/nvidia-uvm"];

/// Looks at the host.
pub(super) fn findings(options: &Options, emulated: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    if !emulated {
        found.extend(device_files(Path::new("/dev")));
        found.extend(multi_process_service());
        found.extend(visible_devices());
    }
    for (place, path) in [
        ("peer socket", parent(&options.socket.path)),
        ("admin socket", parent(options.admin_socket.path())),
        ("state folder", options.state.clone()),
    ] {
        found.push(folder(place, &path));
    }
    found.extend(limits(options, emulated));
    found
}

fn finding(level: Level, place: &str, what: String, remedy: Option<&str>) -> Finding {
    Finding { level, place: place.to_owned(), what, remedy: remedy.map(str::to_owned) }
}

fn parent(path: &Path) -> PathBuf {
    path.parent().map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// The device files, and whether this user may use them.
fn device_files(folder: &Path) -> Vec<Finding> {
    let numbered = std::fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let number = name.strip_prefix("nvidia")?;
        let is_numbered = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_numbered.then(|| entry.path())
    });
    let mut files: Vec<PathBuf> = numbered.collect();
    if files.is_empty() {
        let what = format!("there is no {}/nvidia0", folder.display());
        let remedy =
            "load the kernel module (`nvidia-smi` does), or pass the devices to this container";
        return vec![finding(Level::Warning, "device files", what, Some(remedy))];
    }
    files.extend(DEVICE_FILES.map(PathBuf::from));
    files.sort();
    let both = AccessFlags::R_OK | AccessFlags::W_OK;
    let closed: Vec<String> = files
        .iter()
        .filter_map(|file| Some(format!("{}: {}", file.display(), access(file, both).err()?)))
        .collect();
    if closed.is_empty() {
        let what = format!("{} device files can be read and written", files.len());
        return vec![finding(Level::Ok, "device files", what, None)];
    }
    let remedy = "add this user to the files' group, or pass the devices to this container";
    vec![finding(Level::Warning, "device files", closed.join("; "), Some(remedy))]
}

/// A control daemon of the multi-process service would put another process's context between.
fn multi_process_service() -> Option<Finding> {
    let folder = std::env::var_os("CUDA_MPS_PIPE_DIRECTORY")
        .map_or_else(|| PathBuf::from("/tmp/nvidia-mps"), PathBuf::from);
    folder.join("control").exists().then(|| {
        let what = format!("a control daemon has its pipes in {}", folder.display());
        let remedy = "gpumux needs none, and its faults are then everybody's: stop it (`echo quit | \
                      nvidia-cuda-mps-control`), or run gpumuxd without sight of its folder";
        finding(Level::Warning, "multi-process service", what, Some(remedy))
    })
}

fn visible_devices() -> Option<Finding> {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok()?;
    let what =
        format!("CUDA_VISIBLE_DEVICES={visible} hides devices, and numbers those that are left");
    Some(finding(Level::Note, "environment", what, None))
}

/// A folder that the daemon has to make files in.
fn folder(place: &str, path: &Path) -> Finding {
    let shown = path.display();
    match access(path, AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) => finding(Level::Ok, place, format!("files can be made in {shown}"), None),
        Err(error) => {
            let remedy = "make it for the daemon's user (the unit's RuntimeDirectory= and \
                          StateDirectory= do), or name another";
            finding(Level::Warning, place, format!("{shown}: {error}"), Some(remedy))
        }
    }
}

/// The limits of the daemon, where one answers, and else of this process.
fn limits(options: &Options, emulated: bool) -> Vec<Finding> {
    let daemon = options.admin_socket.status().ok().map(|status| status.pid);
    let (whose, file) = match daemon {
        Some(pid) => (format!("gpumuxd (pid {pid})"), format!("/proc/{pid}/limits")),
        None => ("this shell; no daemon answers".to_owned(), "/proc/self/limits".to_owned()),
    };
    match std::fs::read_to_string(&file) {
        Ok(text) => judge_limits(&text, &whose, emulated),
        Err(error) => vec![finding(Level::Note, "limits", format!("{file}: {error}"), None)],
    }
}

fn judge_limits(text: &str, whose: &str, emulated: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    let files = soft_limit(text, "Max open files");
    let what = format!("{} open files, of {whose}", shown(files, 0));
    let remedy = format!("set LimitNOFILE={FILES_WANTED} in the unit, or `ulimit -n`");
    found.push(if files.is_some_and(|files| files < FILES_NEEDED) {
        finding(Level::Warning, "limits", what, Some(&remedy))
    } else {
        finding(Level::Ok, "limits", what, None)
    });
    let locked = soft_limit(text, "Max locked memory");
    let what = format!("{} of locked memory, of {whose}", shown(locked, 20));
    let remedy = "set LimitMEMLOCK=infinity in the unit, or `ulimit -l unlimited`";
    found.push(match locked.is_some_and(|locked| locked < LOCKED_BYTES_NEEDED) {
        // The emulated driver locks nothing.
        true if emulated => finding(Level::Note, "limits", what, Some(remedy)),
        true => finding(Level::Warning, "limits", what, Some(remedy)),
        false => finding(Level::Ok, "limits", what, None),
    });
    found
}

/// A soft limit as the kernel writes it; none when it is unlimited.
fn soft_limit(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn shown(limit: Option<u64>, shift: u32) -> String {
    match (limit, shift) {
        (None, _) => "unlimited".to_owned(),
        (Some(limit), 0) => limit.to_string(),
        (Some(limit), _) => format!("{} MiB", limit >> shift),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units
Max open files            1024                 1048576              files
Max locked memory         8388608              8388608              bytes
Max address space         unlimited            unlimited            bytes
";

    #[test]
    fn limits_are_read_as_the_kernel_writes_them() {
        assert_eq!(soft_limit(LIMITS, "Max open files"), Some(1024));
        assert_eq!(soft_limit(LIMITS, "Max locked memory"), Some(8 << 20));
        assert_eq!(soft_limit(LIMITS, "Max address space"), None);
    }

    #[test]
    fn low_limits_are_warnings_with_what_to_set() {
        let found = judge_limits(LIMITS, "gpumuxd", false);
        assert!(found.iter().all(|finding| finding.level == Level::Warning), "{found:?}");
        assert!(found[0].remedy.as_ref().is_some_and(|it| it.contains("LimitNOFILE=65536")));
        assert!(found[1].remedy.as_ref().is_some_and(|it| it.contains("LimitMEMLOCK=infinity")));
        assert_eq!(judge_limits(LIMITS, "gpumuxd", true)[1].level, Level::Note);
        let enough = LIMITS.replace("1024 ", "65536 ").replace("8388608", "unlimited");
        let found = judge_limits(&enough, "gpumuxd", false);
        assert!(found.iter().all(|finding| finding.level == Level::Ok), "{found:?}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_a_warning() {
        let missing = folder("state folder", Path::new("/nonexistent/gpumux"));
        assert_eq!(missing.level, Level::Warning);
        assert_eq!(folder("state folder", &std::env::temp_dir()).level, Level::Ok);
    }

    #[test]
    fn device_files_are_found_by_their_number() {
        let folder = tempfile::tempdir().unwrap();
        let found = device_files(folder.path());
        assert!(found[0].what.contains("there is no"), "{found:?}");
        std::fs::write(folder.path().join("nvidia0"), "").unwrap();
        std::fs::write(folder.path().join("nvidia-modeset"), "").unwrap();
        let found = device_files(folder.path());
        assert!(!found[0].what.contains("modeset"), "{found:?}");
        assert!(!found[0].what.contains("there is no"), "{found:?}");
    }
}
