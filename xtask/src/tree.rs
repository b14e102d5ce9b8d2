//! Where the project's own files are.

use std::path::{Path, PathBuf};

/// The root of the working tree that this binary was built from.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
