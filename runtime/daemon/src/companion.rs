//! Files that belong to the daemon and that nobody calls by name: the importer, the emulated driver.

use std::io;
use std::path::PathBuf;

/// Where an installed daemon has them, from the folder that it lies in.
const INSTALLED: &str = "../lib/gpumux";

/// Where one of them is: beside this program, as a build leaves it, or as an installation has it. One
/// that is nowhere is said to be beside this program.
///
/// # Errors
/// The kernel does not say where this program is.
pub(crate) fn find(name: &str) -> io::Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name(name);
    if beside.exists() {
        return Ok(beside);
    }
    let installed = beside.parent().map(|folder| folder.join(INSTALLED).join(name));
    Ok(installed.filter(|path| path.exists()).unwrap_or(beside))
}
