//! What the magika model sees of a file: bytes from its beginning and from its end, white space
//! around them left off, each byte a number and one number more where there is none.
//!
//! The convention is that of the `magika` Python package, version 1.0.3.

use serde::Deserialize;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

/// How much of a file the model sees: a part of the model's `config.min.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Shape {
    /// Bytes from the beginning.
    pub beg_size: usize,
    /// Bytes from the middle. Models that look there are not served by this example.
    pub mid_size: usize,
    /// Bytes from the end.
    pub end_size: usize,
    /// Bytes that are read at either end before white space is left off.
    pub block_size: usize,
    /// Shorter files are not for the model.
    pub min_file_size_for_dl: usize,
    /// Stands where there is no byte.
    pub padding_token: i32,
}

/// What the model is to see of a file, or `None` where too little is left of it.
///
/// # Errors
/// What the kernel says when the file is read.
pub fn features(file: &mut File, shape: &Shape) -> std::io::Result<Option<Vec<i32>>> {
    let size = file.metadata()?.len();
    let block = usize::try_from(size).unwrap_or(usize::MAX).min(shape.block_size);
    let mut begin = vec![0; block];
    file.read_exact(&mut begin)?;
    let mut end = vec![0; block];
    file.seek(SeekFrom::Start(size - block as u64))?;
    file.read_exact(&mut end)?;
    Ok(features_of(&begin, &end, shape))
}

/// From a file's first and last block.
fn features_of(begin: &[u8], end: &[u8], shape: &Shape) -> Option<Vec<i32>> {
    let begin = trim_start(begin);
    if begin.len() < shape.min_file_size_for_dl {
        return None;
    }
    let begin = &begin[..begin.len().min(shape.beg_size)];
    let end = trim_end(end);
    let end = &end[end.len().saturating_sub(shape.end_size)..];
    let padding = |count| std::iter::repeat_n(shape.padding_token, count);
    let bytes = |bytes: &'_ [u8]| bytes.iter().map(|byte| i32::from(*byte)).collect::<Vec<_>>();
    let mut seen = bytes(begin);
    seen.extend(padding(shape.beg_size - begin.len()));
    seen.extend(padding(shape.end_size - end.len()));
    seen.extend(bytes(end));
    Some(seen)
}

/// White space as Python's `bytes.strip` has it: as in ASCII, and the vertical tab.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_space(*byte)).unwrap_or(bytes.len());
    &bytes[start..]
}

fn trim_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last + 1);
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const SMALL: Shape = Shape {
        beg_size: 4,
        mid_size: 0,
        end_size: 3,
        block_size: 6,
        min_file_size_for_dl: 2,
        padding_token: 256,
    };

    fn check(content: &[u8], expected: Option<&[i32]>) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file.rewind().unwrap();
        let seen = features(&mut file, &SMALL).unwrap();
        assert_eq!(seen.as_deref(), expected, "{content:?}");
    }

    // The expected rows are what the Python package's `_extract_features_from_seekable` gives.
    #[test]
    fn both_ends_are_seen_without_white_space() {
        check(b"abcdefghi", Some(&[97, 98, 99, 100, 103, 104, 105]));
        check(b"  abcdefg \n", Some(&[97, 98, 99, 100, 101, 102, 103]));
        check(b"\x0b\tabc", Some(&[97, 98, 99, 256, 97, 98, 99]));
        check(b"ab", Some(&[97, 98, 256, 256, 256, 97, 98]));
        check(b"ab\x00\xff        ", Some(&[97, 98, 0, 255, 256, 256, 256]));
    }

    #[test]
    fn too_little_is_not_for_the_model() {
        check(b"", None);
        check(b"a", None);
        check(b"      ab", None);
        check(b"     a", None);
        // White space behind the first byte is left on there, so this one is enough.
        check(b" a  \n", Some(&[97, 32, 32, 10, 256, 32, 97]));
    }
}
