//! The regular files of a folder.

use crate::Failure;
use std::path::{Path, PathBuf};

/// Folders that hold what tools make, by name.
const LEFT_OUT: [&str; 2] = ["target", "__pycache__"];

/// Every regular file under `folder`, in the order of their paths. Hidden ones, links, and what
/// tools make are left out.
///
/// # Errors
/// [`Failure::File`] names the folder that could not be read.
pub fn files_of(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut folders = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        let unreadable = |error| Failure::file(&folder, error);
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let kind = entry.file_type().map_err(unreadable)?;
            if name.starts_with('.') || LEFT_OUT.contains(&name.as_ref()) {
                continue;
            }
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_files_links_and_what_tools_make_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in ["b/c.rs", "a.txt", ".git/x", "target/y", "b/.z"] {
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            std::fs::write(root.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink(root, root.join("loop")).unwrap();
        assert_eq!(files_of(root).unwrap(), [root.join("a.txt"), root.join("b/c.rs")]);
        assert!(files_of(&root.join("nowhere")).is_err());
    }
}
