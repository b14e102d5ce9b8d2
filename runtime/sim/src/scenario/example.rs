//! The example: a scenario and its profiles, part of the program, to look at and to begin with.

use super::{Scenario, document};
use crate::file::{FileError, Source};
use std::path::Path;

/// The files of the example: names and texts. The first is the scenario.
pub const EXAMPLE_FILES: [(&str, &str); 3] = [
    ("scenario.toml", include_str!("../../examples/scenario.toml")),
    ("encoder.toml", include_str!("../../examples/encoder.toml")),
    ("classifier.toml", include_str!("../../examples/classifier.toml")),
];

pub(super) fn read() -> Result<Scenario, FileError> {
    let find = |path: &Path| {
        let wanted = |(name, _): &&(&str, &str)| Path::new(name) == path;
        let (name, text) = EXAMPLE_FILES.iter().find(wanted).ok_or_else(|| FileError::Whole {
            path: path.to_owned(),
            what: "is no file of the example".to_owned(),
        })?;
        Ok(Source { path: name.into(), text: (*text).to_owned() })
    };
    let scenario = document::read(&find(Path::new(EXAMPLE_FILES[0].0))?, &find)?;
    Ok(Scenario { name: "the example".to_owned(), ..scenario })
}

/// Writes the example's files to a folder that has none of them.
///
/// # Errors
/// [`FileError`]: a file is there, or could not be written.
pub fn write_example(folder: &Path) -> Result<(), FileError> {
    let unwritable = |path: &Path, source| FileError::Unwritable { path: path.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(|source| unwritable(folder, source))?;
    for (name, text) in EXAMPLE_FILES {
        let path = folder.join(name);
        let mut file =
            std::fs::File::create_new(&path).map_err(|source| unwritable(&path, source))?;
        std::io::Write::write_all(&mut file, text.as_bytes())
            .map_err(|source| unwritable(&path, source))?;
    }
    Ok(())
}
