//! Compiled texts that may be wanted again: programs load one text into many contexts, and every lane
//! of a server loads the same kernels. It pays: the ten kernels of `benches` take 20 to 40 ms to
//! compile and less than 0.1 ms to find here, as `cargo xtask bench emulator` prints.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::error::CompileError;
use super::lower::Form;
use super::program::{Claim, Program, compile_in_form};

/// Texts that are kept at most; those that were not wanted for longest go first.
const ENTRIES_MAX: usize = 64;
/// Bytes of text that are kept at most. The code takes a small multiple of it.
const BYTES_MAX: usize = 8 << 20;

/// A text, what it was compiled for, and what came of it. Whoever finds it empty compiles, and others
/// that want the same wait for that.
struct Entry {
    text: Box<str>,
    claim: Claim,
    program: Mutex<Option<Program>>,
}

/// The most recent ones come first.
struct Cache {
    known: Mutex<VecDeque<Arc<Entry>>>,
}

static CACHE: Cache = Cache::new();

/// Compiles a PTX text, or finds what it was compiled to before. Texts are compared as a whole.
///
/// # Errors
/// A text that is not PTX, that has something which is not supported, or that is made for another
/// device than `claim` describes.
pub(crate) fn compile(text: &str, claim: &Claim) -> Result<Program, CompileError> {
    CACHE.compile(text, claim)
}

impl Cache {
    const fn new() -> Self {
        Self { known: Mutex::new(VecDeque::new()) }
    }

    fn compile(&self, text: &str, claim: &Claim) -> Result<Program, CompileError> {
        let entry = self.entry(text, claim);
        let mut program = entry.program.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*program {
            return Ok(known.again());
        }
        let compiled = compile_in_form(text, claim, Form::Regions)?;
        let first = compiled.again();
        *program = Some(compiled);
        Ok(first)
    }

    /// The entry of a text, the most recent one from now on.
    fn entry(&self, text: &str, claim: &Claim) -> Arc<Entry> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let at = known.iter().position(|entry| entry.claim == *claim && *entry.text == *text);
        let found = at.and_then(|at| known.remove(at));
        let entry = found.unwrap_or_else(|| {
            Arc::new(Entry { text: text.into(), claim: *claim, program: Mutex::new(None) })
        });
        known.push_front(Arc::clone(&entry));
        let mut bytes = 0;
        let kept = known.iter().take(ENTRIES_MAX).take_while(|entry| {
            bytes += entry.text.len();
            bytes <= BYTES_MAX
        });
        let kept = kept.count();
        known.truncate(kept);
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIM: Claim = Claim { ptx: (8, 0), compute: (9, 0) };

    fn text(number: usize) -> String {
        format!(
            ".version 8.0\n.target sm_80\n.address_size 64\n.global .u32 word;\n\
             .visible .entry k() {{ ret; }} // {number}\n"
        )
    }

    #[test]
    fn a_text_is_compiled_once_and_linked_each_time() {
        let (cache, text) = (Cache::new(), text(0));
        let load = |claim| cache.compile(&text, claim).expect("the text is right");
        let (first, again) = (load(&CLAIM), load(&CLAIM));
        let other = load(&Claim { compute: (8, 0), ..CLAIM });
        let [a, b, c] = [&first, &again, &other].map(|program| &program.kernels["k"]);
        assert!(Arc::ptr_eq(&a.code, &b.code), "it was compiled twice");
        assert!(!Arc::ptr_eq(&a.symbols, &b.symbols), "both have the same variables");
        assert!(!Arc::ptr_eq(&a.code, &c.code), "code for another device was taken");
    }

    #[test]
    fn errors_are_found_each_time() {
        let (cache, wrong) = (Cache::new(), text(1).replace("ret", "jump"));
        let words = || cache.compile(&wrong, &CLAIM).err().map(|error| error.to_string());
        let first = words().expect("the text is wrong");
        assert_eq!(words(), Some(first));
    }

    #[test]
    fn what_is_kept_has_an_end() {
        let cache = Cache::new();
        for number in 0..2 * ENTRIES_MAX {
            cache.entry(&text(number), &CLAIM);
        }
        let count = || cache.known.lock().expect("this test alone has it").len();
        assert_eq!(count(), ENTRIES_MAX);
        cache.entry(&" ".repeat(BYTES_MAX - 200), &CLAIM);
        assert!((2..5).contains(&count()), "{} are kept", count());
        cache.entry(&" ".repeat(BYTES_MAX + 1), &CLAIM);
        assert_eq!(count(), 0);
    }
}
