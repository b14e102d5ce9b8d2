//! The parts of a PTX text at its outermost level: directives, variables, functions. Only as much of
//! each is understood as linking needs: where it ends, and what it names to other texts.

/// A part of a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'t> {
    /// All of it.
    pub(super) text: &'t str,
    /// What it is.
    pub(super) kind: Kind<'t>,
    /// Whether it is a function or a declaration of one.
    pub(super) is_function: bool,
}

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'t> {
    /// `.version`.
    Version,
    /// `.target`.
    Target,
    /// `.address_size`.
    AddressSize,
    /// A variable or a function.
    Symbol {
        /// Its name.
        name: &'t str,
        /// What it is to other texts.
        linkage: Linkage,
    },
    /// Something that has no name.
    Other,
}

/// What a symbol is to other texts; of two that are the same one, the greater stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Linkage {
    /// Its own affair.
    Local,
    /// `.extern`, or a function without a body: it is defined elsewhere.
    Extern,
    /// `.weak` and `.common`: one of several will do.
    Weak,
    /// `.visible`: the definition.
    Strong,
}

/// The items of a text, in order.
pub(super) fn of(text: &str) -> Vec<Item<'_>> {
    let mut items = Vec::new();
    let mut rest = skip_blank(text);
    while !rest.is_empty() {
        let (item, after) = rest.split_at(end_of(rest));
        items.push(described(item));
        rest = skip_blank(after);
    }
    items
}

/// What follows blanks and comments.
fn skip_blank(text: &str) -> &str {
    let mut rest = text.trim_start();
    loop {
        let after = if rest.starts_with("//") {
            rest.find('\n').map_or("", |end| &rest[end..])
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or("", |end| &rest[end + 2..])
        } else {
            return rest;
        };
        rest = after.trim_start();
    }
}

/// Directives that end with their line and not with a semicolon.
const LINES: [&str; 4] = [".version", ".target", ".address_size", ".file"];

/// Where the item that `text` begins with ends.
fn end_of(text: &str) -> usize {
    if LINES.iter().any(|line| text.starts_with(line)) {
        return text.find('\n').unwrap_or(text.len());
    }
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let step = match rest.as_bytes()[0] {
            b'"' => rest[1..].find('"').map_or(rest.len(), |end| end + 2),
            b'/' if rest.starts_with("//") || rest.starts_with("/*") => {
                rest.len() - skip_blank(rest).len()
            }
            byte => {
                match byte {
                    b'{' => depth += 1,
                    b'}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                let is_last = byte == b';' || (byte == b'}' && !is_value(&text[..at]));
                if depth == 0 && is_last {
                    return at + 1;
                }
                rest.chars().next().map_or(1, char::len_utf8)
            }
        };
        at += step;
    }
    text.len()
}

/// Whether a closing brace after this ends a variable's value, and not the body of a function.
fn is_value(before: &str) -> bool {
    before.split('{').next().is_some_and(|head| head.trim_end().ends_with('='))
}

fn described(text: &str) -> Item<'_> {
    let head = text.split(['{', ';', '=']).next().unwrap_or(text);
    let words: Vec<&str> = head.split_whitespace().collect();
    let named = |directive: &str| words.contains(&directive);
    let is_function = named(".func") || named(".entry");
    let is_variable = [".global", ".const", ".shared", ".tex"].iter().any(|space| named(space));
    let kind = match words.first().copied() {
        Some(".version") => Kind::Version,
        Some(".target") => Kind::Target,
        Some(".address_size") => Kind::AddressSize,
        _ if is_function || is_variable => {
            let name = if is_function { function_name(head) } else { variable_name(&words) };
            // A function without a body is a promise, whatever it promises.
            let linkage = if named(".extern") || (is_function && !text.contains('{')) {
                Linkage::Extern
            } else if named(".weak") || named(".common") {
                Linkage::Weak
            } else if named(".visible") {
                Linkage::Strong
            } else {
                Linkage::Local
            };
            Kind::Symbol { name, linkage }
        }
        _ => Kind::Other,
    };
    Item { text, kind, is_function }
}

/// The name after `.entry`, or after `.func` and what it returns.
fn function_name(head: &str) -> &str {
    let after = [".entry", ".func"].iter().find_map(|word| head.split_once(word));
    let mut rest = after.map_or("", |(_, rest)| rest).trim_start();
    if rest.starts_with('(') {
        rest = rest.split_once(')').map_or("", |(_, rest)| rest).trim_start();
    }
    rest.split(|c: char| c.is_whitespace() || c == '(').next().unwrap_or("")
}

/// The first word that is neither a directive nor the number of one.
fn variable_name<'t>(words: &[&'t str]) -> &'t str {
    let is_name = |word: &&&str| !word.starts_with(|c: char| c == '.' || c.is_ascii_digit());
    words.iter().find(is_name).map_or("", |word| word.split('[').next().unwrap_or(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(&str, Linkage)> {
        let symbol = |item: &Item<'_>| match item.kind {
            Kind::Symbol { name, linkage } => Some((name.to_owned(), linkage)),
            _ => None,
        };
        let found: Vec<_> = of(text).iter().filter_map(symbol).collect();
        found.into_iter().map(|(name, linkage)| (&*name.leak(), linkage)).collect()
    }

    #[test]
    fn symbols_are_found_with_their_linkage() {
        let text = "// head\n.version 8.0\n.target sm_80, debug\n.address_size 64\n\
            .extern .func (.param .b32 func_retval0) callee\n(\n.param .b64 callee_param_0\n)\n;\n\
            .common .global .align 8 .u64 env;\n\
            .global .align 4 .b8 table[8] = {1, 2, 3, 4, 5, 6, 7, 8};\n\
            .extern .shared .align 16 .b8 pool[];\n\
            .file 1 \"a;{.py\"\n\
            .visible .entry kernel(.param .u64 p)\n.maxntid 128, 1, 1\n{ .reg .b32 %r<2>; { ret; } // }\n }\n\
            .weak .func later(.param .b32 x);\n\
            .func helper() { ret; }\n\
            .section .debug_str { .b8 1 }\n\
            .weak .func (.param .b32 r) odd() { ret; }\n";
        let expected = [
            ("callee", Linkage::Extern),
            ("env", Linkage::Weak),
            ("table", Linkage::Local),
            ("pool", Linkage::Extern),
            ("kernel", Linkage::Strong),
            ("later", Linkage::Extern),
            ("helper", Linkage::Local),
            ("odd", Linkage::Weak),
        ];
        assert_eq!(names(text), expected);
    }

    #[test]
    fn items_hold_the_whole_text_but_blanks_and_comments() {
        let text = ".version 8.0\n.global .u32 a = 1;\n.func f() { { } }\n.pragma \"x;y\";";
        let items: Vec<_> = of(text).iter().map(|item| item.text).collect();
        let expected =
            [".version 8.0", ".global .u32 a = 1;", ".func f() { { } }", ".pragma \"x;y\";"];
        assert_eq!(items, expected);
    }

    #[test]
    fn a_text_cut_short_ends_its_last_item() {
        for text in [".func f() {", ".global .u32 a = {1", "/* open", "\"", ".pragma \"open"] {
            assert!(of(text).len() <= 1, "{text}");
        }
    }
}
