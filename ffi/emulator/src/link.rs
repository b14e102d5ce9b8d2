//! The linker: several texts become one. There is no machine code here, so what comes out of it is
//! PTX again, which loads wherever the program would load its cubin.

use crate::code::{Code, Outcome};
use crate::handle::{Handle, Table};
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

/// Puts texts one after the other under the newest version and the latest target of them all. What
/// two of them define is refused when the outcome is loaded.
fn link(texts: &[String]) -> Outcome<String> {
    if let [text] = texts {
        return Ok(text.clone());
    }
    let newest = |directive: &str| {
        let lines = texts.iter().flat_map(|text| text.lines());
        let named = lines.filter(|line| line.trim_start().starts_with(directive));
        named.max_by_key(|line| rank(line)).ok_or(Code::INVALID_PTX)
    };
    let mut linked = String::new();
    let directives = [".version", ".target", ".address_size"];
    for directive in directives {
        linked.push_str(newest(directive)?);
        linked.push('\n');
    }
    for line in texts.iter().flat_map(|text| text.lines()) {
        let is_head = directives.iter().any(|head| line.trim_start().starts_with(head));
        linked.push_str(if is_head { "" } else { line });
        linked.push('\n');
    }
    Ok(linked)
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
        let newer = ".version 8.10\n.target sm_90a\n.address_size 64\n// newer\n";
        let linked = link(&[format!("{HEAD}// older\n"), newer.to_owned()]).unwrap();
        let lines: Vec<_> = linked.lines().filter(|line| !line.is_empty()).collect();
        let expected =
            [".version 8.10", ".target sm_90a", ".address_size 64", "// older", "// newer"];
        assert_eq!(lines, expected);
    }

    #[test]
    fn nothing_links_to_nothing() {
        assert_eq!(link(&[]), Err(Code::INVALID_PTX));
    }
}
