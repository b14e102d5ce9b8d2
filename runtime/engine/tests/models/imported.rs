//! The models as plans: imported by the importer's own process from what was fetched.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gpumux_plan::Model;

/// A model that was imported for a test.
pub(crate) struct Imported {
    /// The checked plans.
    pub(crate) model: Model,
    /// The weights' file.
    pub(crate) weights: Vec<u8>,
}

/// All-MiniLM-L6-v2, with batch and length free.
pub(crate) fn minilm() -> Imported {
    import("minilm", &["--length", "seq"])
}

/// Magika, for batches of 1 and 8.
pub(crate) fn magika() -> Imported {
    import("magika", &["--batch", "1", "--batch", "8"])
}

fn import(name: &str, flags: &[&str]) -> Imported {
    let onnx = cache().join("models").join(name).join("model.onnx");
    assert!(onnx.exists(), "{} is missing: run `cargo xtask models`", onnx.display());
    let importer = binary("gpumux-import");
    let folder = tempfile::tempdir().unwrap();
    let (plan, weights) = (folder.path().join("plan"), folder.path().join("weights"));
    let status = Command::new(importer)
        .arg(onnx)
        .arg("--plan")
        .arg(&plan)
        .arg("--weights")
        .arg(&weights)
        .args(flags)
        .status()
        .unwrap();
    assert!(status.success(), "the importer ended with {status}");
    let model = Model::read(&fs::read(plan).unwrap()).unwrap();
    let weights = fs::read(weights).unwrap();
    model.check_weights(&weights).unwrap();
    Imported { model, weights }
}

/// The folder where `cargo xtask` keeps what it fetched.
fn cache() -> PathBuf {
    let set = |name| env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    set("GPUMUX_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|it| it.join("gpumux")))
        .or_else(|| set("HOME").map(|it| it.join(".cache/gpumux")))
        .expect("GPUMUX_CACHE, XDG_CACHE_HOME or HOME is set")
}

/// The folder of the binaries of the build that this test belongs to.
fn binaries() -> PathBuf {
    if let Some(folder) = env::var_os("GPUMUX_BIN_DIR") {
        return folder.into();
    }
    let own = env::current_exe().unwrap();
    own.parent().and_then(Path::parent).expect("a test lies two folders deep").to_owned()
}

/// A binary of that build.
pub(crate) fn binary(name: &str) -> PathBuf {
    let path = binaries().join(name);
    assert!(path.exists(), "{} is missing: run `cargo xtask test`", path.display());
    path
}
