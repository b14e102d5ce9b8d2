//! The words after an opcode, read from left to right. Every one must be taken by somebody before the
//! instruction is emitted: a word that nobody knows refuses the whole text.

use super::Lowered;
use crate::jit::helpers::Rounding;
use crate::ptx::Type;

/// The modifiers of an instruction that are not yet understood.
#[derive(Clone, Copy)]
pub(super) struct Modifiers<'i, 't> {
    words: &'i [&'t str],
}

impl<'i, 't> Modifiers<'i, 't> {
    pub(super) fn new(words: &'i [&'t str]) -> Self {
        Self { words }
    }

    /// Takes `word` when it is next.
    pub(super) fn accept(&mut self, word: &str) -> bool {
        let found = self.words.first() == Some(&word);
        if found {
            self.words = &self.words[1..];
        }
        found
    }

    /// Takes the next word when it is one of `options`, and returns what that means.
    pub(super) fn choose<T: Copy>(&mut self, options: &[(&str, T)]) -> Option<T> {
        let next = self.words.first()?;
        let (_, meaning) = options.iter().find(|(word, _)| word == next)?;
        self.words = &self.words[1..];
        Some(*meaning)
    }

    /// As `choose`, but there must be one.
    pub(super) fn require<T: Copy>(&mut self, options: &[(&str, T)]) -> Lowered<T> {
        self.choose(options).ok_or_else(|| {
            let names: Vec<String> = options.iter().map(|(word, _)| format!(".{word}")).collect();
            self.complaint(&format!("one of {}", names.join(" ")))
        })
    }

    /// Takes a type, which must be one of `allowed`.
    pub(super) fn ty(&mut self, allowed: &[Type]) -> Lowered<Type> {
        match self.words.first().and_then(|word| Type::parse(word)) {
            Some(ty) if allowed.contains(&ty) => {
                self.words = &self.words[1..];
                Ok(ty)
            }
            _ => Err(self.complaint("a type that it supports")),
        }
    }

    /// `.rn`, `.rz`, `.rm` or `.rp`, if one is next.
    pub(super) fn rounding(&mut self) -> Option<Rounding> {
        self.choose(&[
            ("rn", Rounding::Nearest),
            ("rz", Rounding::Zero),
            ("rm", Rounding::Down),
            ("rp", Rounding::Up),
        ])
    }

    /// All must be taken by now.
    pub(super) fn finish(self) -> Lowered<()> {
        match self.words.first() {
            None => Ok(()),
            Some(word) => Err(format!("modifier .{word} is not supported here")),
        }
    }

    fn complaint(&self, what: &str) -> String {
        match self.words.first() {
            Some(word) => format!("expected {what}, found .{word}"),
            None => format!("expected {what}"),
        }
    }
}
