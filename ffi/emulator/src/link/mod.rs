//! The linker: several texts become one. There is no machine code here, so what comes out of it is
//! PTX again, which loads wherever the program would load its cubin.

mod items;

use crate::code::{Code, Outcome};
use crate::handle::{Handle, Table};
use items::{Item, Kind, Linkage};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All live linkers.
pub(crate) static LINKERS: Table<Linker> = Table::new(0x670b);

/// See the head of this file.
pub(crate) struct Linker {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    texts: Vec<String>,
    /// What came out, with its zero byte; the program holds its address as long as the linker.
    linked: Option<Box<[u8]>>,
}

impl Linker {
    /// Without input.
    pub(crate) fn create() -> Handle {
        LINKERS.add(Self { state: Mutex::default() })
    }

    /// The linker behind a handle.
    pub(crate) fn of(handle: Handle) -> Outcome<Arc<Linker>> {
        LINKERS.get(handle)
    }

    /// Adds a text.
    pub(crate) fn add(&self, text: &str) -> Outcome {
        let mut state = self.state();
        if state.linked.is_some() {
            return Err(Code::INVALID_VALUE);
        }
        state.texts.push(text.to_owned());
        Ok(())
    }

    /// Links what was added. Returns where the outcome lies and how long it is, its zero byte
    /// included; it stays as long as the linker.
    pub(crate) fn complete(&self) -> Outcome<(*const u8, usize)> {
        let mut state = self.state();
        if state.linked.is_none() {
            let mut text = link(&state.texts)?.into_bytes();
            text.push(0);
            state.linked = Some(text.into());
        }
        let linked = state.linked.as_ref().ok_or(Code::INVALID_VALUE)?;
        Ok((linked.as_ptr(), linked.len()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A version or a target by which texts are compared: the digits of a line.
fn rank(line: &str) -> Vec<u32> {
    let numbers = line.split(|c: char| !c.is_ascii_digit());
    numbers.filter_map(|digits| digits.parse().ok()).collect()
}

/// Puts texts one after the other under the newest version and the latest target of them all. Of
/// what several of them name alike, one stays: the definition rather than a declaration, and any
/// rather than a weak one. What two of them define each is refused when the outcome is loaded.
fn link(texts: &[String]) -> Outcome<String> {
    if let [text] = texts {
        return Ok(text.clone());
    }
    let items: Vec<Item<'_>> = texts.iter().flat_map(|text| items::of(text)).collect();
    let newest = |kind: Kind| {
        let named = items.iter().filter(|item| item.kind == kind);
        named.max_by_key(|item| rank(item.text)).ok_or(Code::INVALID_PTX)
    };
    let mut linked = String::new();
    for kind in [Kind::Version, Kind::Target, Kind::AddressSize] {
        linked.push_str(newest(kind)?.text);
        linked.push('\n');
    }
    let kept = kept(&items);
    for (index, item) in items.iter().enumerate() {
        let stays = match item.kind {
            Kind::Version | Kind::Target | Kind::AddressSize => false,
            Kind::Other => true,
            Kind::Symbol { name, linkage: Linkage::Local } => {
                // The same function in two texts is one; other things of one text are its own.
                !items[..index].iter().any(|before| {
                    item.is_function && before.kind == item.kind && before.text == item.text
                }) || name.is_empty()
            }
            Kind::Symbol { name, linkage } => {
                kept.get(name) == Some(&index) || linkage == Linkage::Strong
            }
        };
        if stays {
            linked.push_str(item.text);
            linked.push('\n');
        }
    }
    Ok(linked)
}

/// The item that stays of those that have a name in common, by its index.
fn kept<'t>(items: &[Item<'t>]) -> HashMap<&'t str, usize> {
    let mut kept: HashMap<&str, (Linkage, usize)> = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        if let Kind::Symbol { name, linkage } = item.kind
            && linkage != Linkage::Local
        {
            let best = kept.entry(name).or_insert((linkage, index));
            if linkage > best.0 {
                *best = (linkage, index);
            }
        }
    }
    kept.into_iter().map(|(name, (_, index))| (name, index)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = ".version 8.0\n.target sm_80\n.address_size 64\n";

    #[test]
    fn one_text_stays_as_it_is() {
        let text = format!("{HEAD}// text\n");
        assert_eq!(link(std::slice::from_ref(&text)), Ok(text));
    }

    #[test]
    fn several_texts_have_one_head_which_is_the_newest() {
        let newer = ".version 8.10\n.target sm_90a\n.address_size 64\n.pragma \"newer\";\n";
        let linked = link(&[format!("{HEAD}.pragma \"older\";\n"), newer.to_owned()]).unwrap();
        let lines: Vec<_> = linked.lines().filter(|line| !line.is_empty()).collect();
        let expected = [
            ".version 8.10",
            ".target sm_90a",
            ".address_size 64",
            ".pragma \"older\";",
            ".pragma \"newer\";",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn of_one_name_the_definition_stays() {
        let texts = [
            format!(
                "{HEAD}.extern .func (.param .b32 r) f (.param .b32 p);\n.common .global .u64 v;\n.visible .entry k() {{ ret; }}\n"
            ),
            format!(
                "{HEAD}.common .global .u64 v;\n.visible .func (.param .b32 r) f (.param .b32 q) {{ ret; }}\n.weak .func w() {{ ret; }}\n"
            ),
            format!(
                "{HEAD}.weak .func w() {{ ret; }}\n.extern .func (.param .b32 r) f (.param .b32 p);\n"
            ),
        ];
        let linked = link(&texts).unwrap();
        for (words, count) in [
            ("f (.param .b32 q)", 1),
            ("f (.param .b32 p)", 0),
            ("u64 v;", 1),
            ("w()", 1),
            ("k()", 1),
        ] {
            assert_eq!(linked.matches(words).count(), count, "{words} in\n{linked}");
        }
    }

    #[test]
    fn two_definitions_are_left_to_the_loader_to_refuse() {
        let text = format!("{HEAD}.visible .func f() {{ ret; }}\n");
        let linked = link(&[text.clone(), text]).unwrap();
        assert_eq!(linked.matches("f()").count(), 2);
    }

    #[test]
    fn nothing_links_to_nothing() {
        assert_eq!(link(&[]), Err(Code::INVALID_PTX));
    }
}
