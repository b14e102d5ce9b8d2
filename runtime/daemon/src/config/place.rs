//! Where in a file something is written.

use std::fmt;

/// A line and a column in characters, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    line: usize,
    column: usize,
}

impl Place {
    /// The beginning of a file: of what is missing, and stands nowhere.
    pub(super) const START: Self = Self { line: 1, column: 1 };

    /// Where the byte of this offset is.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or(before);
        Self { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
    }

    pub(super) fn line(self) -> usize {
        self.line
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters() {
        let text = "a = 1\nä = \"ö\"\n";
        for (offset, place) in
            [(0, "1:1"), (5, "1:6"), (6, "2:1"), (8, "2:2"), (15, "2:8"), (16, "3:1"), (99, "3:1")]
        {
            assert_eq!(Place::of(text, offset).to_string(), place, "{offset}");
        }
        assert_eq!(Place::of("", 0), Place::START);
    }
}
