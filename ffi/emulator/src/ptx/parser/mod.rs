//! The parser: tokens to a tree. One file for what stands outside of functions, one for their bodies,
//! one for variables; here is what they share.

mod body;
mod module;
mod variable;

pub(crate) use module::{header, parse};

use super::SyntaxError;
use super::lexer::{Token, TokenKind};

/// How deep scopes may nest; compilers stay far below, and recursion must end.
const NESTING_MAX: u32 = 64;

/// The tokens, and how far they are read.
struct Parser<'t> {
    tokens: Vec<Token<'t>>,
    at: usize,
    nesting: u32,
}

impl<'t> Parser<'t> {
    fn new(tokens: Vec<Token<'t>>) -> Self {
        Self { tokens, at: 0, nesting: 0 }
    }

    /// The token that is next, or the one `ahead` of it; past the end there is only the end.
    fn peek_at(&self, ahead: usize) -> Token<'t> {
        let last = self.tokens.len() - 1;
        self.tokens[(self.at + ahead).min(last)]
    }

    fn peek(&self) -> TokenKind<'t> {
        self.peek_at(0).kind
    }

    fn line(&self) -> u32 {
        self.peek_at(0).line
    }

    fn next(&mut self) -> TokenKind<'t> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn error<T>(&self, reason: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError { line: self.line(), reason: reason.into() })
    }

    fn expected<T>(&self, what: &str) -> Result<T, SyntaxError> {
        self.error(format!("expected {what}, found {}", describe(self.peek())))
    }

    fn is_mark(&self, mark: char) -> bool {
        self.peek() == TokenKind::Mark(mark)
    }

    fn accept_mark(&mut self, mark: char) -> bool {
        let found = self.is_mark(mark);
        if found {
            self.at += 1;
        }
        found
    }

    fn expect_mark(&mut self, mark: char) -> Result<(), SyntaxError> {
        if self.accept_mark(mark) { Ok(()) } else { self.expected(&format!("'{mark}'")) }
    }

    fn accept_dotted(&mut self, word: &str) -> bool {
        let found = self.peek() == TokenKind::Dotted(word);
        if found {
            self.at += 1;
        }
        found
    }

    fn expect_word(&mut self, what: &str) -> Result<&'t str, SyntaxError> {
        match self.peek() {
            TokenKind::Word(word) => {
                self.at += 1;
                Ok(word)
            }
            _ => self.expected(what),
        }
    }

    fn expect_dotted(&mut self, what: &str) -> Result<&'t str, SyntaxError> {
        match self.peek() {
            TokenKind::Dotted(word) => {
                self.at += 1;
                Ok(word)
            }
            _ => self.expected(what),
        }
    }

    fn expect_integer(&mut self, what: &str) -> Result<u64, SyntaxError> {
        match self.peek() {
            TokenKind::Integer(value) => {
                self.at += 1;
                Ok(value)
            }
            _ => self.expected(what),
        }
    }

    fn expect_u32(&mut self, what: &str) -> Result<u32, SyntaxError> {
        let line = self.line();
        let value = self.expect_integer(what)?;
        u32::try_from(value)
            .map_err(|_| SyntaxError { line, reason: format!("{value} is too large for {what}") })
    }

    /// Reads items separated by commas up to `close`, which is consumed.
    fn comma_separated<T>(
        &mut self,
        close: char,
        mut item: impl FnMut(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<Vec<T>, SyntaxError> {
        let mut items = Vec::new();
        if self.accept_mark(close) {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.accept_mark(close) {
                return Ok(items);
            }
            self.expect_mark(',')?;
        }
    }

    fn enter(&mut self) -> Result<(), SyntaxError> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return self.error(format!("scopes nest deeper than {NESTING_MAX}"));
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.nesting -= 1;
    }
}

fn describe(kind: TokenKind<'_>) -> String {
    match kind {
        TokenKind::Word(word) => format!("`{word}`"),
        TokenKind::Dotted(word) => format!("`.{word}`"),
        TokenKind::Integer(value) => format!("`{value}`"),
        TokenKind::Float32(_) | TokenKind::Float64(_) => "a float".into(),
        TokenKind::Text(text) => format!("\"{text}\""),
        TokenKind::Mark(mark) => format!("'{mark}'"),
        TokenKind::End => "the end of the text".into(),
    }
}
