//! Cuts PTX text into tokens, each with the line it stands on. It knows the alphabet of the language
//! and none of its words.

use super::SyntaxError;

/// A token, and the line it stands on (counted from 1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Token<'t> {
    /// What it is.
    pub(crate) kind: TokenKind<'t>,
    /// Where it is.
    pub(crate) line: u32,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TokenKind<'t> {
    /// A name: `ld`, `%r1`, `$L__BB0_2`, `_`.
    Word(&'t str),
    /// A word after a dot, without the dot: `global`, `L1::evict_last`.
    Dotted(&'t str),
    /// An integer, as the 64 bits that it stands for.
    Integer(u64),
    /// `0f…`: the bits of a 32-bit float.
    Float32(u32),
    /// `0d…`, or a decimal fraction: the bits of a 64-bit float.
    Float64(u64),
    /// A quoted string, without the quotes.
    Text(&'t str),
    /// One of the marks of the language.
    Mark(char),
    /// The end of the text.
    End,
}

/// Cuts `text` into tokens; the last is always [`TokenKind::End`].
///
/// # Errors
/// A character that PTX does not have, a number that does not fit, a comment or string without end.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token<'_>>, SyntaxError> {
    let mut lexer = Lexer { text, at: 0, line: 1 };
    let mut out = Vec::with_capacity(text.len() / 4);
    loop {
        let token = lexer.next()?;
        out.push(token);
        if token.kind == TokenKind::End {
            return Ok(out);
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    line: u32,
}

fn begins_word(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$' | b'%')
}

fn continues_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$')
}

impl<'t> Lexer<'t> {
    fn error(&self, reason: impl Into<String>) -> SyntaxError {
        SyntaxError { line: self.line, reason: reason.into() }
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'t str {
        let from = self.at;
        while self.at < self.text.len() && accept(self.peek(0)) {
            self.at += 1;
        }
        &self.text[from..self.at]
    }

    fn next(&mut self) -> Result<Token<'t>, SyntaxError> {
        self.skip_blanks()?;
        let line = self.line;
        let kind = match self.peek(0) {
            _ if self.at >= self.text.len() => TokenKind::End,
            b'.' if continues_word(self.peek(1)) => self.dotted(),
            b'"' => self.quoted()?,
            byte if byte.is_ascii_digit() => self.number()?,
            byte if begins_word(byte) => {
                let from = self.at;
                self.at += 1;
                self.take_while(continues_word);
                TokenKind::Word(&self.text[from..self.at])
            }
            byte if b"{}[]()<>,;:=+-*/|&^~!@.".contains(&byte) => {
                self.at += 1;
                TokenKind::Mark(char::from(byte))
            }
            _ => {
                let odd = self.text[self.at..].chars().next().unwrap_or('\0');
                return Err(self.error(format!("{odd:?} is no character of PTX")));
            }
        };
        Ok(Token { kind, line })
    }

    fn skip_blanks(&mut self) -> Result<(), SyntaxError> {
        loop {
            match (self.peek(0), self.peek(1)) {
                (b'\n', _) => {
                    self.line += 1;
                    self.at += 1;
                }
                (b' ' | b'\t' | b'\r', _) => self.at += 1,
                // Some linkers hand the text over with its terminating zero.
                (0, _)
                    if self.at < self.text.len()
                        && self.text[self.at..].trim_matches('\0').is_empty() =>
                {
                    self.at = self.text.len();
                }
                (b'/', b'/') => {
                    self.take_while(|byte| byte != b'\n');
                }
                (b'/', b'*') => {
                    let Some(length) = self.text[self.at..].find("*/") else {
                        return Err(self.error("a comment without end"));
                    };
                    let comment = &self.text[self.at..self.at + length];
                    self.line += u32::try_from(comment.matches('\n').count()).unwrap_or(u32::MAX);
                    self.at += length + 2;
                }
                _ => return Ok(()),
            }
        }
    }

    fn dotted(&mut self) -> TokenKind<'t> {
        self.at += 1;
        let from = self.at;
        self.take_while(continues_word);
        while self.peek(0) == b':' && self.peek(1) == b':' {
            self.at += 2;
            self.take_while(continues_word);
        }
        TokenKind::Dotted(&self.text[from..self.at])
    }

    fn quoted(&mut self) -> Result<TokenKind<'t>, SyntaxError> {
        self.at += 1;
        let text = self.take_while(|byte| byte != b'"' && byte != b'\n');
        if self.peek(0) != b'"' {
            return Err(self.error("a string without end"));
        }
        self.at += 1;
        Ok(TokenKind::Text(text))
    }

    fn number(&mut self) -> Result<TokenKind<'t>, SyntaxError> {
        let word = self.take_while(|byte| byte.is_ascii_alphanumeric());
        let hex = |digits: &str, length: usize| {
            (digits.len() == length).then(|| u64::from_str_radix(digits, 16).ok()).flatten()
        };
        if let Some(digits) = word.strip_prefix("0f").or_else(|| word.strip_prefix("0F")) {
            return hex(digits, 8)
                .and_then(|bits| u32::try_from(bits).ok())
                .map(TokenKind::Float32)
                .ok_or_else(|| self.error(format!("{word} is no 32-bit float")));
        }
        if let Some(digits) = word.strip_prefix("0d").or_else(|| word.strip_prefix("0D")) {
            return hex(digits, 16)
                .map(TokenKind::Float64)
                .ok_or_else(|| self.error(format!("{word} is no 64-bit float")));
        }
        let hexadecimal = word.starts_with("0x") || word.starts_with("0X");
        let fraction = self.peek(0) == b'.' && self.peek(1).is_ascii_digit();
        if !hexadecimal && (fraction || word.contains(['e', 'E'])) {
            return self.decimal_fraction(word);
        }
        let digits = word.strip_suffix('U').unwrap_or(word);
        let value = if hexadecimal {
            u64::from_str_radix(&digits[2..], 16)
        } else if let Some(binary) = digits.strip_prefix("0b").or_else(|| digits.strip_prefix("0B"))
        {
            u64::from_str_radix(binary, 2)
        } else if digits.len() > 1 && digits.starts_with('0') {
            u64::from_str_radix(digits, 8)
        } else {
            digits.parse()
        };
        value
            .map(TokenKind::Integer)
            .map_err(|_| self.error(format!("{word} is no integer of 64 bits")))
    }

    fn decimal_fraction(&mut self, whole: &str) -> Result<TokenKind<'t>, SyntaxError> {
        let from = self.at - whole.len();
        if self.peek(0) == b'.' {
            self.at += 1;
            self.take_while(|byte| byte.is_ascii_alphanumeric());
        }
        if self.text[..self.at].ends_with(['e', 'E']) && matches!(self.peek(0), b'+' | b'-') {
            self.at += 1;
            self.take_while(|byte| byte.is_ascii_digit());
        }
        let word = &self.text[from..self.at];
        word.parse::<f64>()
            .map(|value| TokenKind::Float64(value.to_bits()))
            .map_err(|_| self.error(format!("{word} is no number")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<TokenKind<'_>> {
        tokens(text).expect("the text is well formed").into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn an_instruction_is_cut_into_its_words() {
        use TokenKind::{Dotted, End, Integer, Mark, Word};
        assert_eq!(
            kinds("ld.global.L1::no_allocate.u32 %r1, [%rd2+-4]; // why"),
            [
                Word("ld"),
                Dotted("global"),
                Dotted("L1::no_allocate"),
                Dotted("u32"),
                Word("%r1"),
                Mark(','),
                Mark('['),
                Word("%rd2"),
                Mark('+'),
                Mark('-'),
                Integer(4),
                Mark(']'),
                Mark(';'),
                End
            ]
        );
    }

    #[test]
    fn numbers_keep_their_bits() {
        use TokenKind::{End, Float32, Float64, Integer};
        assert_eq!(
            kinds("0f3F800000 0d3FF0000000000000 0x1fU 017 0b101 18446744073709551615 1.5 2e3"),
            [
                Float32(0x3f80_0000),
                Float64(0x3ff0_0000_0000_0000),
                Integer(31),
                Integer(15),
                Integer(5),
                Integer(u64::MAX),
                Float64(1.5f64.to_bits()),
                Float64(2e3f64.to_bits()),
                End
            ]
        );
    }

    #[test]
    fn lines_are_counted_through_comments() {
        let tokens = tokens("/* a\nb */\n// c\nret").expect("the text is well formed");
        assert_eq!(tokens[0], Token { kind: TokenKind::Word("ret"), line: 4 });
    }

    #[test]
    fn bad_text_is_refused_with_its_line() {
        for text in
            ["\n #", "\n \"open", "\n /* open", "\n 0f12", "\n 99999999999999999999", "\n é"]
        {
            assert_eq!(tokens(text).expect_err(text).line, 2, "{text:?}");
        }
    }
}
