//! Rules that a compiler cannot check, as ordinary tests: which crate may depend on which, where
//! `unsafe` may stand, that every file says what it is, and how large a file may be.

use cargo_metadata::{DependencyKind, MetadataCommand, Package};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// This file names what it forbids.
const THIS_FILE: &str = "tests/tests/tidy.rs";
/// Lines of production code in a file.
const FILE_LINES_MAX: usize = 500;

/// Which crates of ours each crate may name. The arrows of ARCHITECTURE.md, and no others.
const ARROWS: &[(&str, &[&str])] = &[
    ("gpumux-capi", &["gpumux-shim"]),
    ("gpumux-cli", &["gpumux-shim", "gpumux-sim", "gpumux-wire"]),
    ("gpumux-core", &[]),
    ("gpumux-cuda", &["gpumux-kernels"]),
    (
        "gpumux-daemon",
        &[
            "gpumux-core",
            "gpumux-cuda",
            "gpumux-engine",
            "gpumux-kernels",
            "gpumux-plan",
            "gpumux-wire",
        ],
    ),
    ("gpumux-emulator", &[]),
    ("gpumux-engine", &["gpumux-cuda", "gpumux-kernels", "gpumux-plan"]),
    ("gpumux-examples", &["gpumux-shim"]),
    ("gpumux-import", &["gpumux-plan"]),
    ("gpumux-kernels", &[]),
    ("gpumux-plan", &[]),
    ("gpumux-python", &["gpumux-shim"]),
    ("gpumux-shim", &["gpumux-wire"]),
    ("gpumux-sim", &["gpumux-core"]),
    ("gpumux-tests", &["gpumux-shim", "gpumux-wire"]),
    ("gpumux-wire", &[]),
    ("xtask", &[]),
];

/// Crates that one crate alone may name.
const GUARDED: &[(&str, &str)] =
    &[("tract", "gpumux-import"), ("cranelift", "gpumux-emulator"), ("cudarc", "gpumux-cuda")];

/// Where `unsafe` may stand.
const UNSAFE_FOLDERS: &[&str] =
    &["ffi/", "shim/wire/", "shim/client/", "shim/capi/", "shim/python/", "runtime/daemon/src/os/"];

/// Words that are not used, and what to say instead.
const BANNED: &[(&str, &str)] = &[
    ("dbg!(", "take it out before committing"),
    ("todo!(", "build it, or refuse by name"),
    ("unimplemented!(", "build it, or refuse by name"),
    ("FIXME", "mend it"),
];

#[test]
fn crates_depend_along_the_arrows_alone() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    let mut faults = Vec::new();
    for package in metadata.workspace_packages() {
        let allowed = ARROWS.iter().find(|(name, _)| *name == package.name.as_str());
        let Some((_, allowed)) = allowed else {
            faults.push(format!("{}: not among the arrows", package.name));
            continue;
        };
        for dependency in named_by(package) {
            let ours = dependency.starts_with("gpumux-");
            if ours && !allowed.contains(&dependency) {
                faults.push(format!("{} must not depend on {dependency}", package.name));
            }
            let guard = GUARDED.iter().find(|(prefix, _)| dependency.starts_with(prefix));
            if guard.is_some_and(|(_, only)| *only != package.name.as_str()) {
                faults.push(format!("{} must not name {dependency}", package.name));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// What a package needs outside of its tests.
fn named_by(package: &Package) -> BTreeSet<&str> {
    let normal = package.dependencies.iter().filter(|it| it.kind != DependencyKind::Development);
    normal.map(|it| it.name.as_str()).collect()
}

#[test]
fn every_file_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut faults = Vec::new();
    for (path, text) in sources(root) {
        if !text.starts_with("//!") {
            faults.push(format!("{path}: no `//!` that says what this file is"));
        }
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(&text);
        let lines = code.lines().count();
        if lines > FILE_LINES_MAX && !path.contains("/tests/") {
            faults.push(format!("{path}: {lines} lines, and {FILE_LINES_MAX} are a lot"));
        }
        if path == THIS_FILE {
            continue;
        }
        let unsafe_allowed = UNSAFE_FOLDERS.iter().any(|folder| path.starts_with(folder));
        if !unsafe_allowed && code.lines().any(is_unsafe) {
            faults.push(format!("{path}: `unsafe` outside of its rooms"));
        }
        for (word, instead) in BANNED {
            if text.contains(word) {
                faults.push(format!("{path}: `{word}`: {instead}"));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or(line);
    ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|it| code.contains(it))
}

#[test]
fn orderings_are_paired_by_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut marks: BTreeMap<String, usize> = BTreeMap::new();
    for (path, text) in sources(root) {
        if path == THIS_FILE {
            continue;
        }
        for mark in text.split("// SYNC(").skip(1) {
            *marks.entry(mark.split(')').next().unwrap_or(mark).to_owned()).or_default() += 1;
        }
    }
    let alone: Vec<_> = marks.iter().filter(|(_, count)| **count < 2).collect();
    assert!(alone.is_empty(), "marks without a partner: {alone:?}");
}

/// Every Rust file of the tree, by its path from the root.
fn sources(root: &Path) -> Vec<(String, String)> {
    let rooms = ["examples", "ffi", "kernels", "runtime", "shim", "tests", "xtask"];
    let mut folders: Vec<PathBuf> = rooms.iter().map(|room| root.join(room)).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable tree") {
            let path = entry.expect("a readable tree").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name =
                    path.strip_prefix(root).expect("it is in the tree").display().to_string();
                files.push((name, fs::read_to_string(&path).expect("UTF-8")));
            }
        }
    }
    assert!(files.len() > 50, "the tree was found");
    files.sort();
    files
}
