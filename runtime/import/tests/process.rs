//! The importer as a process: what it says and how it ends when a file is not what it should be.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn import(model: &Path, more: &[&str]) -> (Output, bool) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (plan, weights) = (folder.path().join("plan"), folder.path().join("weights"));
    let output = Command::new(env!("CARGO_BIN_EXE_gpumux-import"))
        .arg(model)
        .arg("--plan")
        .arg(&plan)
        .arg("--weights")
        .arg(&weights)
        .args(more)
        .output()
        .expect("the importer starts");
    let wrote = fs::read(&plan).is_ok_and(|plan| !plan.is_empty());
    (output, wrote)
}

#[track_caller]
fn assert_refused(model: &Path, code: i32, says: &str) {
    let (output, wrote) = import(model, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), wrote), (Some(code), false), "{said}");
    assert!(said.contains(says), "{said}");
}

#[test]
fn a_model_that_is_not_there_is_named() {
    assert_refused(Path::new("/nowhere/model.onnx"), 1, "/nowhere/model.onnx: No such file");
}

#[test]
fn what_is_no_onnx_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.onnx");
    fs::write(&model, [0xff; 4096]).unwrap();
    assert_refused(&model, 3, "model.onnx");
}

#[test]
fn an_import_ends_at_its_limit_of_memory() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.onnx");
    fs::write(&model, vec![0; 64 << 20]).unwrap();
    let (output, wrote) = import(&model, &["--memory-mib", "32"]);
    assert_eq!((output.status.code(), wrote), (Some(4), false), "{output:?}");
}
