//! The emulated driver where the loader finds it: a folder of links with the names that programs ask
//! for, set before everything else in one worker's path.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

/// The file that is the driver and the BLAS.
const LIBRARY: &str = "libgpumux_emulator.so";
/// Names by which it is asked for. The loader of cudarc tries `libcuda.so` first, so a system's
/// would be found before an emulated `libcuda.so.1` alone.
const NAMES: [&str; 6] = [
    "libcuda.so",
    "libcuda.so.1",
    "libcublasLt.so",
    "libcublasLt.so.11",
    "libcublasLt.so.12",
    "libcublasLt.so.13",
];

/// Makes the folder of links and returns the worker's loader path.
///
/// # Errors
/// The library is not there, or the folder cannot be made.
pub(super) fn loader_path(state: &Path, library: Option<&Path>) -> io::Result<OsString> {
    let library = match library {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name(LIBRARY),
    };
    // The worker tells the emulated driver by this file's own name.
    let library = library.canonicalize().map_err(|error| missing(&library, &error))?;
    let folder = state.join("emulated-driver");
    std::fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    for name in NAMES {
        let link = folder.join(name);
        // Made aside and moved into place, so that a worker that starts now finds one or the other.
        let aside = folder.join(format!(".{name}.{}", std::process::id()));
        let _left_over = std::fs::remove_file(&aside);
        symlink(&library, &aside)?;
        std::fs::rename(&aside, &link)?;
    }
    let mut path = OsString::from(folder);
    if let Some(rest) = std::env::var_os("LD_LIBRARY_PATH").filter(|rest| !rest.is_empty()) {
        path.push(":");
        path.push(rest);
    }
    Ok(path)
}

fn missing(library: &Path, error: &io::Error) -> io::Error {
    let library = library.display();
    let what = format!("the emulated driver {library}: {error}: install it, or give --emulator");
    io::Error::new(error.kind(), what)
}
