//! What a page shows that is no command: files and pieces of programs, each given to who reads it.

use crate::page::{Fence, Page};
use crate::{root, shell, yaml};
use gpumux_tests::binary;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

/// What commands may need that a test has not.
const NEEDS: [&str; 5] = ["docker", "gpu", "kubernetes", "source", "systemd"];
/// Instructions of a Dockerfile.
const INSTRUCTIONS: [&str; 9] =
    ["FROM", "RUN", "COPY", "ENV", "WORKDIR", "USER", "CMD", "ENTRYPOINT", "ARG"];
/// Where programs in Rust are compiled: as examples of the shim's documentation.
const COMPILED: &str = "docs/guide/rust.md";

/// Checks one block.
pub(crate) fn check(page: &Page, fence: &Fence) -> Result<(), String> {
    let text = &fence.text;
    match fence.language.as_str() {
        "console" => marked(fence),
        "c" => c(text),
        "dockerfile" => dockerfile(text),
        "ini" | "text" => Ok(()),
        "json" => serde_json::from_str::<serde_json::Value>(text).map(drop).map_err(said),
        "promql" => metrics(text),
        "python" => python(text),
        "rust" if page.path == COMPILED => Ok(()),
        "rust" => Err(format!("programs in Rust are compiled in {COMPILED} alone")),
        "toml" => toml(text),
        "yaml" => yaml::check(text),
        other => Err(format!("`{other}` is no language of the book")),
    }
}

fn said(error: impl ToString) -> String {
    error.to_string()
}

/// A block of commands says what they need by the words that are known.
fn marked(fence: &Fence) -> Result<(), String> {
    if !fence.text.starts_with("$ ") {
        return Err("it begins with no command: write `$ ` before it".to_owned());
    }
    match fence.marks.iter().find(|mark| !NEEDS.contains(&mark.as_str())) {
        Some(mark) => Err(format!("`{mark}` is none of {NEEDS:?}, which commands may need")),
        None => Ok(()),
    }
}

/// Runs a program that reads `text` and complains.
fn given(command: &mut Command, text: &str) -> Result<(), String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(said)?;
    child.stdin.take().expect("it is piped").write_all(text.as_bytes()).map_err(said)?;
    let output = child.wait_with_output().map_err(said)?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The statements of a function that has the header.
fn c(text: &str) -> Result<(), String> {
    let mut compiler = Command::new("cc");
    compiler.args(["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-Wno-unused"]);
    compiler.arg("-I").arg(root().join("shim/capi/include")).args(["-x", "c", "-"]);
    let program =
        format!("#include <gpumux.h>\n#include <string.h>\nvoid shown(void) {{\n{text}\n}}\n");
    given(&mut compiler, &program)
}

fn python(text: &str) -> Result<(), String> {
    let program = "import ast, sys; ast.parse(sys.stdin.read())";
    given(Command::new("python3").args(["-c", program]), text)
}

/// A function's file, if it names a model, else the daemon's: a daemon checks it.
fn toml(text: &str) -> Result<(), String> {
    let table: toml::Table = text.parse().map_err(said)?;
    let folder = tempfile::tempdir().map_err(said)?;
    let function = folder.path().join("models/shown");
    fs::create_dir_all(&function).map_err(said)?;
    let echo = "model = \"builtin:echo\"\nlength = { max = 8 }\n";
    let model = table.get("model").and_then(toml::Value::as_str);
    let (of_function, of_daemon) = if model.is_some() { (text, "") } else { (echo, text) };
    fs::write(function.join("function.toml"), of_function).map_err(said)?;
    if let Some(file) = model.filter(|model| model.ends_with(".onnx")) {
        fs::write(function.join(file), "").map_err(said)?;
    }
    let config = folder.path().join("gpumuxd.toml");
    fs::write(&config, of_daemon).map_err(said)?;
    let mut daemon = Command::new(binary("gpumuxd"));
    daemon.arg("--check-config").arg("--config").arg(config);
    let output = daemon.arg("--models").arg(folder.path().join("models")).output().map_err(said)?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Each line is an instruction, the first a base; what is run is a shell's.
fn dockerfile(text: &str) -> Result<(), String> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let mut stages = 0;
    for line in lines {
        let (instruction, rest) = line.split_once(' ').ok_or("an instruction has arguments")?;
        if !INSTRUCTIONS.contains(&instruction) {
            return Err(format!("`{instruction}` is no instruction"));
        }
        stages += usize::from(instruction == "FROM");
        if stages == 0 && instruction != "ARG" {
            return Err("it begins with FROM".to_owned());
        }
        if instruction == "RUN" {
            shell::parse(rest)?;
        }
        if matches!(instruction, "CMD" | "ENTRYPOINT") {
            serde_json::from_str::<Vec<String>>(rest).map_err(said)?;
        }
    }
    if stages == 0 { Err("it has no FROM".to_owned()) } else { Ok(()) }
}

/// The metrics that are named exist.
fn metrics(text: &str) -> Result<(), String> {
    let reference = Page::read("docs", "reference/metrics.md").text;
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    for word in text.split(|letter| !is_word(letter)).filter(|word| word.starts_with("gpumux_")) {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end));
        let is_known = |name: &str| reference.contains(&format!("| `{name}` |"));
        if !is_known(word) && !family.is_some_and(is_known) {
            return Err(format!("there is no metric `{word}`"));
        }
    }
    Ok(())
}

#[test]
fn mistakes_are_found() {
    let fence = |language: &str, marks: &[&str], text: &str| Fence {
        line: 1,
        language: language.to_owned(),
        marks: marks.iter().map(|&mark| mark.to_owned()).collect(),
        text: text.to_owned(),
    };
    let page = Page::read("docs", "guide/rust.md");
    for (shown, complaint) in [
        (fence("console", &["dcoker"], "$ ls\n"), "`dcoker` is none of"),
        (fence("console", &[], "ls\n"), "begins with no command"),
        (fence("shell", &[], ""), "no language of the book"),
        (fence("c", &[], "gpumux_conect(0);\n"), "gpumux_conect"),
        (fence("python", &[], "a = = b\n"), "invalid syntax"),
        (fence("toml", &[], "[tenant.shop]\nsokcet = \"/x\"\n"), "did you mean `socket`?"),
        (fence("toml", &[], "model = \"m.onnx\"\nmaxbatch = 1\n"), "did you mean `max_batch`?"),
        (fence("promql", &[], "rate(gpumux_nothing_total[5m])"), "no metric"),
        (fence("dockerfile", &[], "FROM debian\nRUN (\n"), "syntax error"),
        (fence("dockerfile", &[], "RUN ls\n"), "begins with FROM"),
        (fence("json", &[], "{a}"), "key must be a string"),
    ] {
        let told = check(&page, &shown).unwrap_err();
        assert!(told.contains(complaint), "{}: {told}", shown.text);
    }
}
