//! The book, `docs/`, and the README are held to the code: every page is in the summary, every link
//! leads somewhere, every file shown is one that its reader takes, and every command runs or, where it
//! needs what a test has not, is one that exists.
//!
//! A fence says what is in it. Commands are in `console`, each behind `$ `, with what it prints below,
//! where `…` stands for whatever a test cannot know. They run in one shell for each page, in an empty
//! folder. `console,docker`, `kubernetes`, `systemd`, `gpu` and `source` (the project's own sources, to
//! build) name what they need, and are only parsed.

mod blocks;
mod commands;
mod console;
mod newcomer;
mod page;
mod shell;
mod yaml;

use page::Page;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The root of the tree.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tree's root")
}

/// The pages of the book, by their paths in `docs/`, and the README.
fn pages() -> Vec<Page> {
    let mut paths: Vec<String> = files(&root().join("docs"), "md");
    paths.sort();
    let mut pages: Vec<Page> = paths.iter().map(|path| Page::read("docs", path)).collect();
    pages.push(Page::read("", "README.md"));
    assert!(pages.len() > 20, "the book was found");
    pages
}

/// Files of that extension below a folder, from there.
fn files(folder: &Path, extension: &str) -> Vec<String> {
    let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("a readable tree") {
            let path: PathBuf = entry.expect("a readable tree").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == extension) {
                let path = path.strip_prefix(folder).expect("it is below");
                found.push(path.display().to_string());
            }
        }
    }
    found
}

/// Fails with all that is wrong.
fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_summary_has_every_page_once() {
    let summary = Page::read("docs", "SUMMARY.md");
    let mut listed = BTreeSet::new();
    for link in &summary.links {
        assert!(listed.insert(link.to.clone()), "{} stands twice", link.to);
    }
    let mut there: BTreeSet<String> = files(&root().join("docs"), "md").into_iter().collect();
    there.remove("SUMMARY.md");
    assert_eq!(listed, there, "SUMMARY.md on the left, the pages of docs/ on the right");
}

#[test]
fn links_lead_somewhere() {
    let pages = pages();
    let mut faults = Vec::new();
    for page in &pages {
        for link in &page.links {
            if let Some(what) = page.broken(&link.to, &pages) {
                faults.push(format!("{}:{}: {}: {what}", page.path, link.line, link.to));
            }
        }
    }
    none(&faults);
}

#[test]
fn what_is_shown_is_what_its_reader_takes() {
    let mut faults = Vec::new();
    for page in pages() {
        for fence in &page.fences {
            if let Err(what) = blocks::check(&page, fence) {
                faults.push(format!("{}:{}: {what}", page.path, fence.line));
            }
        }
    }
    none(&faults);
}

#[test]
fn commands_exist_as_they_are_written() {
    let mut faults = Vec::new();
    for page in pages() {
        for fence in page.fences.iter().filter(|fence| fence.language == "console") {
            for command in console::commands(&fence.text) {
                if let Err(what) = commands::check(&command.typed) {
                    faults.push(format!("{}:{}: {what}", page.path, fence.line));
                }
            }
        }
    }
    none(&faults);
}

#[test]
fn commands_do_what_the_pages_say() {
    let mut faults = Vec::new();
    let mut ran = 0;
    for page in pages() {
        if page.path != newcomer::PAGE && page.runs() {
            ran += 1;
            faults.extend(shell::run_page(&page));
        }
    }
    none(&faults);
    assert!(ran > 2, "pages with commands were found");
}
