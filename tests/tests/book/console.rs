//! What is typed in a block, and what it prints.

/// A command, with the lines that belong to it, and what stands below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) typed: String,
    pub(crate) printed: Vec<String>,
}

/// The commands of a block.
pub(crate) fn commands(text: &str) -> Vec<Command> {
    let mut commands: Vec<Command> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        match line.strip_prefix("$ ") {
            Some(typed) => {
                let mut typed = typed.to_owned();
                while typed.ends_with('\\') {
                    typed = format!("{typed}\n{}", lines.next().expect("a line goes on"));
                }
                if let Some(end) = here_document(&typed) {
                    loop {
                        let line = lines.next().expect("a here-document ends");
                        typed = format!("{typed}\n{line}");
                        if line == end {
                            break;
                        }
                    }
                }
                commands.push(Command { typed, printed: Vec::new() });
            }
            None => {
                let last = commands.last_mut();
                last.expect("a block begins with a command").printed.push(line.to_owned());
            }
        }
    }
    commands
}

/// The line that ends what a command takes from the lines below it.
fn here_document(typed: &str) -> Option<String> {
    let (_, rest) = typed.split_once("<<'")?;
    rest.split_once('\'').map(|(end, _)| end.to_owned())
}

/// Whether what was printed is as the page has it.
pub(crate) fn is_as_shown(shown: &[String], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == "…" => {
            (0..=printed.len()).any(|skipped| is_as_shown(rest, &printed[skipped..]))
        }
        Some((first, rest)) => match printed.split_first() {
            Some((line, others)) => line_is(first, line) && is_as_shown(rest, others),
            None => false,
        },
    }
}

/// Whether a line is as shown. How many blanks there are is not seen: columns are as wide as they must.
fn line_is(shown: &str, line: &str) -> bool {
    let (shown, line) = (single_spaced(shown), single_spaced(line));
    let mut pieces = shown.split('…');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn single_spaced(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn commands_have_their_lines_and_their_output() {
    let found = commands("$ cat <<'END' > x\na\nEND\n$ one \\\n  two\nthree\n\nfour\n$ five\n");
    let typed: Vec<_> = found.iter().map(|command| command.typed.as_str()).collect();
    assert_eq!(typed, ["cat <<'END' > x\na\nEND", "one \\\n  two", "five"]);
    assert_eq!(found[1].printed, ["three", "", "four"]);
}

#[test]
fn what_a_test_cannot_know_is_left_open() {
    let shown = |lines: &str| lines.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(is_as_shown(&shown("pid …, up … s\n…\nend"), &["pid 7, up 3 s", "", "x", "end  "]));
    assert!(!is_as_shown(&shown("pid …, up … s"), &["pid 7, up 3 m"]));
    assert!(!is_as_shown(&shown("a\n…\nend"), &["a", "b"]));
    assert!(is_as_shown(&shown("P50   P99"), &[" P50 P99 "]));
    assert!(is_as_shown(&shown("a…"), &["a"]) && !is_as_shown(&shown("a"), &["ab"]));
}
