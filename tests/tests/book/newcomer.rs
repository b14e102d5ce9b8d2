//! The newcomer: from an empty folder to a function of their own, by the page alone.
//!
//! As a test it runs on what is built already. Two programs are stood in for: `git clone` makes an empty
//! folder of the name, and `cargo xtask` is the `xtask` that was built, told where the rest is. Packages
//! come from the cache that `cargo xtask test` has filled. Everything else is as on the page. By
//! `cargo xtask newcomer` nothing is stood in for but the address of the repository, and the transcript
//! is written.

use crate::page::Page;
use crate::shell::{Done, Terminal, judge};
use crate::{console, none, root};
use gpumux_tests::{BIN_DIR, binary};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What the newcomer reads.
pub(crate) const PAGE: &str = "docs/first-function.md";
const TRANSCRIPT: &str = "first-function-transcript.md";
/// More would not be a first try.
const COMMANDS_MAX: usize = 10;
/// `whole` has nothing stood in for.
const HOW: &str = "GPUMUX_NEWCOMER";
/// Commands whose programs are stood in for, and print something else.
const STOOD_IN_FOR: [&str; 2] = ["git ", "cargo "];

const GIT: &str = "#!/bin/sh\n[ \"$1\" = clone ] && mkdir \"$3\"\n";
const CARGO: &str =
    "#!/bin/sh\n[ \"$1\" = xtask ] || exit 1\nshift\nexec \"$BUILT/xtask\" \"$@\"\n";

#[test]
fn a_newcomer_serves_a_function_of_their_own() {
    let page = Page::read("docs", "first-function.md");
    let blocks = page.fences.iter().filter(|fence| fence.runs());
    let commands: Vec<_> = blocks.flat_map(|fence| console::commands(&fence.text)).collect();
    let count = commands.len();
    assert!((5..=COMMANDS_MAX).contains(&count), "{count} commands, and {COMMANDS_MAX} are enough");
    let whole = std::env::var(HOW).is_ok_and(|how| how == "whole");
    let terminal = if whole { at_home() } else { on_what_is_built() };
    let done = terminal.run(commands.iter().map(|command| command.typed.as_str()));
    let mut faults = Vec::new();
    for (command, done) in commands.iter().zip(&done) {
        let first = command.typed.lines().next().unwrap_or_default();
        // A line of commands is several.
        assert!(!first.contains("&&") && !first.contains(';') && !first.contains('|'), "{first}");
        let what = judge(command, done.code, &done.printed);
        faults.extend(what.map(|what| format!("$ {}\n{what}", command.typed)));
    }
    none(&faults);
    if whole {
        write(&done, &terminal.folder.path().display().to_string());
    }
    compare(&done);
}

/// The address of the repository, which is this tree unless the environment says another, and nothing else.
fn at_home() -> Terminal {
    let mut terminal = Terminal::new();
    let address = std::env::var_os("REPOSITORY").map_or_else(|| root().to_owned(), PathBuf::from);
    terminal.set("REPOSITORY", address);
    terminal
}

/// What is built, and who stands in for those that would fetch and build it.
fn on_what_is_built() -> Terminal {
    let mut terminal = Terminal::new();
    let programs = terminal.folder.path().join(".programs");
    fs::create_dir(&programs).expect("a folder of our own");
    for (name, text) in [("git", GIT), ("cargo", CARGO)] {
        program(&programs.join(name), text);
    }
    terminal.programs.push(programs);
    terminal.set("REPOSITORY", root());
    let built = binary("xtask").with_file_name("");
    terminal.set("BUILT", &built);
    terminal.set(BIN_DIR, built);
    terminal
}

fn program(path: &Path, text: &str) {
    fs::write(path, text).expect("a folder of our own");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a file of our own");
}

/// Writes the transcript's page.
fn write(done: &[Done], folder: &str) {
    let before = match std::env::var_os("CARGO_TARGET_DIR") {
        None => "nothing had been built before",
        Some(_) => "the crates of others had been built before, with `CARGO_TARGET_DIR`",
    };
    let mut text = format!(
        "# What it looks like\n\n\
         Written by `cargo xtask newcomer`, which did what [the page](first-function.md) says, in an empty\n\
         folder. `$REPOSITORY` was a folder on the same disk, crates and packages had been fetched before,\n\
         and {before}. A test does it anew on what is built, and compares.\n\n\
         ```text\n"
    );
    for done in done {
        text.push_str(&format!("$ {}\n", done.typed));
        let lines = done.printed.lines().filter(|line| !is_progress(line));
        lines.for_each(|line| text.push_str(&format!("{}\n", line.replace(folder, "~"))));
        if done.took.as_secs() > 0 {
            text.push_str(&format!("({} s)\n", done.took.as_secs()));
        }
    }
    text.push_str("```\n");
    fs::write(root().join("docs").join(TRANSCRIPT), text).expect("a tree of our own");
}

/// Holds what was seen to the transcript, as far as it does not depend on the day.
fn compare(done: &[Done]) {
    let page = Page::read("docs", TRANSCRIPT);
    let shown = console::commands(&page.fences[0].text);
    let stale = "docs/first-function-transcript.md is of another page: run `cargo xtask newcomer`";
    let typed = |typed: &[Done]| typed.iter().map(|done| done.typed.clone()).collect::<Vec<_>>();
    let typed_there: Vec<_> = shown.iter().map(|command| command.typed.clone()).collect();
    assert_eq!(typed(done), typed_there, "{stale}");
    for (shown, done) in shown.iter().zip(done) {
        if STOOD_IN_FOR.iter().any(|program| done.typed.starts_with(program)) {
            continue;
        }
        let printed = done.printed.lines().filter(|line| !is_progress(line));
        let printed: Vec<_> = printed.map(steady).collect();
        let before = shown.printed.iter().filter(|line| !is_duration(line));
        let before: Vec<_> = before.map(|line| steady(line)).collect();
        assert_eq!(printed, before, "{stale}\n$ {}", done.typed);
    }
}

/// Whether a line is of cargo or maturin, and says only that they are not done yet.
fn is_progress(line: &str) -> bool {
    let words = ["Compiling", "Downloading", "Downloaded", "Updating", "Locking", "Blocking"];
    let first = line.split_whitespace().next().unwrap_or_default();
    words.contains(&first) || !first.is_ascii()
}

fn is_duration(line: &str) -> bool {
    line.starts_with('(') && line.ends_with(" s)")
}

/// A line without figures and their units, and without what is measured anew each time.
fn steady(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let is_figure = word.starts_with(|letter: char| letter.is_ascii_digit());
        if is_figure { "#" } else { word }
    });
    let words = words.filter(|word| !["B", "KiB", "MiB", "GiB", "s", "min"].contains(word));
    let words: Vec<_> = words.collect();
    match words.first() {
        Some(&"partitions") => words[..3].join(" "),
        _ => words.join(" "),
    }
}
