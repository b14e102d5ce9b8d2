//! Files of numbers, one a line: traces and lengths.

use crate::failure::Failure;
use std::path::Path;

/// Reads what is on each line but empty ones and those that start with `#`.
///
/// # Errors
/// [`Failure::Arguments`] names the file, and the line that is not what it should be.
pub(super) fn read<T>(
    path: &Path,
    what: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, Failure> {
    let wrong = |why: String| Failure::arguments(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let mut values = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let value = parse(line)
            .ok_or_else(|| wrong(format!("line {}: `{line}` is not {what}", index + 1)))?;
        values.push(value);
    }
    if values.is_empty() {
        return Err(wrong(format!("there is no {what} in it")));
    }
    Ok(values)
}
