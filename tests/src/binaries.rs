//! Where the binaries under test are.

use std::path::PathBuf;

/// The variable that names their folder. `cargo xtask test` builds everything and sets it.
pub const BIN_DIR: &str = "GPUMUX_BIN_DIR";

/// The path of a binary under test.
///
/// # Panics
/// When the folder is not named or the binary is not in it, with the command to run.
pub fn binary(name: &str) -> PathBuf {
    let Some(folder) = std::env::var_os(BIN_DIR) else {
        panic!("{BIN_DIR} is not set: run `cargo xtask test`, which builds the binaries first");
    };
    let path = PathBuf::from(folder).join(name);
    assert!(path.exists(), "{} is missing: run `cargo xtask test`", path.display());
    path
}

/// A folder that the tests' daemons share, so that each model is imported once.
pub fn shared_state() -> PathBuf {
    binary("gpumuxd").with_file_name("gpumux-test-state")
}
