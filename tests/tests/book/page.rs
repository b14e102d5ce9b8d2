//! One page: its headings, links and fences.

use crate::root;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use std::path::{Component, Path, PathBuf};

pub(crate) struct Link {
    pub(crate) line: usize,
    pub(crate) to: String,
}

/// A block of code.
pub(crate) struct Fence {
    pub(crate) line: usize,
    pub(crate) language: String,
    /// What stands behind the language.
    pub(crate) marks: Vec<String>,
    pub(crate) text: String,
}

pub(crate) struct Page {
    /// From the root of the tree.
    pub(crate) path: String,
    pub(crate) text: String,
    /// By which links name them.
    anchors: Vec<String>,
    pub(crate) links: Vec<Link>,
    pub(crate) fences: Vec<Fence>,
}

impl Page {
    /// Reads a page of a folder of the tree.
    pub(crate) fn read(folder: &str, path: &str) -> Self {
        let path = Path::new(folder).join(path).display().to_string();
        let text = std::fs::read_to_string(root().join(&path))
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut page =
            Self { path, anchors: Vec::new(), links: Vec::new(), fences: Vec::new(), text };
        page.parse();
        page
    }

    fn parse(&mut self) {
        let text = self.text.clone();
        let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
        let (mut heading, mut fence): (Option<String>, Option<Fence>) = (None, None);
        for (event, range) in Parser::new_ext(&text, options).into_offset_iter() {
            let line = text[..range.start].matches('\n').count() + 1;
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    self.anchors.extend(heading.take().map(|text| anchor(&text)));
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    self.links.push(Link { line, to: dest_url.to_string() });
                }
                Event::Start(Tag::CodeBlock(kind)) => fence = Some(opened(line, &kind)),
                Event::End(TagEnd::CodeBlock) => self.fences.extend(fence.take()),
                Event::Text(piece) | Event::Code(piece) => {
                    if let Some(fence) = &mut fence {
                        fence.text.push_str(&piece);
                    } else if let Some(heading) = &mut heading {
                        heading.push_str(&piece);
                    }
                }
                _ => (),
            }
        }
    }

    /// What is wrong with a link of this page.
    pub(crate) fn broken(&self, to: &str, pages: &[Page]) -> Option<String> {
        if to.starts_with("https://") || to.starts_with("http://") {
            return None;
        }
        let (file, place) = to.split_once('#').map_or((to, None), |(it, place)| (it, Some(place)));
        let folder = Path::new(&self.path).parent().expect("a file is in a folder");
        let path =
            if file.is_empty() { PathBuf::from(&self.path) } else { plain(&folder.join(file)) };
        if !root().join(&path).exists() {
            return Some("there is no such file".to_owned());
        }
        if self.path.starts_with("docs/") && !path.starts_with("docs") {
            return Some("it leads out of the book, which is read without the sources".to_owned());
        }
        let place = place?;
        let page = pages.iter().find(|page| Path::new(&page.path) == path);
        match page.is_some_and(|page| page.anchors.iter().any(|it| it == place)) {
            true => None,
            false => Some("there is no such heading".to_owned()),
        }
    }

    /// The functions beside which this page's commands run, where it asks for a daemon.
    pub(crate) fn beside(&self) -> Option<Vec<&str>> {
        let (_, rest) = self.text.split_once("<!-- beside: ")?;
        let (names, _) = rest.split_once(" -->").expect("a comment ends");
        Some(names.split_whitespace().collect())
    }

    /// Whether it has commands that run.
    pub(crate) fn runs(&self) -> bool {
        self.fences.iter().any(Fence::runs)
    }
}

impl Fence {
    /// Whether its commands are run.
    pub(crate) fn runs(&self) -> bool {
        self.language == "console" && self.marks.is_empty()
    }
}

fn opened(line: usize, kind: &CodeBlockKind<'_>) -> Fence {
    let info = match kind {
        CodeBlockKind::Indented => "text".to_owned(),
        CodeBlockKind::Fenced(info) => info.to_string(),
    };
    let mut words = info.split(',').map(|word| word.trim().to_owned());
    let language = words.next().unwrap_or_default();
    Fence { line, language, marks: words.collect(), text: String::new() }
}

/// How mdBook and GitHub name a heading in a link.
fn anchor(heading: &str) -> String {
    let lower = heading.trim().to_lowercase();
    let kept = lower.chars().filter_map(|letter| match letter {
        letter if letter.is_alphanumeric() || letter == '_' || letter == '-' => Some(letter),
        letter if letter.is_whitespace() => Some('-'),
        _ => None,
    });
    kept.collect()
}

/// A path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => assert!(plain.pop(), "{} leaves the tree", path.display()),
            other => plain.push(other),
        }
    }
    plain
}

#[test]
fn headings_are_named_as_readers_of_links_name_them() {
    assert_eq!(anchor("A glance: `gpumux status`"), "a-glance-gpumux-status");
    assert_eq!(anchor("SM-seconds"), "sm-seconds");
}
