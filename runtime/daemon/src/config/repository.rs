//! The model repository: a folder of folders, each a function by its name.

use super::name::is_name;
use super::place::Place;
use super::{ConfigError, FunctionConfig};
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// A function of the repository.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Function {
    /// Its folder's name.
    pub(crate) name: String,
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// Its file.
    pub(crate) config: FunctionConfig,
}

/// Reads every function of a repository, in the order of their names.
///
/// # Errors
/// Everything that is wrong, not only the first thing.
pub(crate) fn load(repository: &Path) -> Result<Vec<Function>, Vec<ConfigError>> {
    let unreadable = |source| vec![ConfigError::Unreadable { path: repository.to_owned(), source }];
    let entries = std::fs::read_dir(repository).map_err(unreadable)?;
    let mut folders = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if path.join("function.toml").exists() {
            folders.push(path);
        }
    }
    folders.sort();
    let (mut functions, mut errors) = (Vec::new(), Vec::new());
    for folder in &folders {
        match load_one(folder) {
            Ok(function) => functions.push(function),
            Err(wrong) => errors.extend(wrong),
        }
    }
    if folders.is_empty() {
        errors.push(ConfigError::Empty { path: repository.to_owned() });
    }
    if errors.is_empty() { Ok(functions) } else { Err(errors) }
}

fn load_one(folder: &Path) -> Result<Function, Vec<ConfigError>> {
    let name = folder.file_name().and_then(|name| name.to_str()).filter(|name| is_name(name));
    let name = name.ok_or_else(|| vec![ConfigError::Name { path: folder.to_owned() }])?.to_owned();
    let path = folder.join("function.toml");
    let text = std::fs::read_to_string(&path)
        .map_err(|source| vec![ConfigError::Unreadable { path: path.clone(), source }])?;
    let config = parse(&path, &text)?;
    Ok(Function { name, folder: folder.to_owned(), config })
}

/// Reads the text of one file.
fn parse(path: &Path, text: &str) -> Result<FunctionConfig, Vec<ConfigError>> {
    let config: FunctionConfig =
        toml::from_str(text).map_err(|error| vec![ConfigError::from_toml(path, text, &error)])?;
    let wrong = config.check();
    if wrong.is_empty() {
        return Ok(config);
    }
    let wrong = wrong.into_iter().map(|(key, what)| ConfigError::Wrong {
        path: path.to_owned(),
        place: place_of(text, key),
        what,
    });
    Err(wrong.collect())
}

/// Where a key is, as `length.max`; the beginning of the file where it is not there.
fn place_of(text: &str, key: &str) -> Place {
    let Ok(table) = DeTable::parse(text) else { return Place::START };
    let mut value = DeValue::Table(table.into_inner());
    let mut place = Place::START;
    for part in key.split('.') {
        let DeValue::Table(table) = &value else { return place };
        let Some((name, inner)) = table.get_key_value(part) else { return place };
        place = Place::of(text, name.span().start);
        value = inner.get_ref().clone();
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::function::{Model, Padding};
    use proptest::prelude::*;

    /// Loads a repository with one function of this text.
    fn check(text: &str) -> Result<FunctionConfig, String> {
        let repository = tempfile::tempdir().unwrap();
        let folder = repository.path().join("embed");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("function.toml"), text).unwrap();
        match load(repository.path()) {
            Ok(mut functions) => Ok(functions.remove(0).config),
            Err(errors) => {
                let prefix = format!("{}:", folder.join("function.toml").display());
                Err(errors[0].to_string().replace(&prefix, ""))
            }
        }
    }

    #[test]
    fn the_documented_file_is_understood() {
        let config = check(
            "model = \"model.onnx\"\noutputs = [\"sentence_embedding\"]\n\
             length = { axis = \"seq\", max = 512 }\n\
             pad = { fill = { input_ids = 0 }, mask = \"attention_mask\" }\n\
             max_batch = 32\nmax_wait = \"2ms\"\nqueue = 1024\n\
             [service]\nobjective = \"p99 < 50ms\"\npriority = \"normal\"\n",
        )
        .unwrap();
        assert_eq!(config.service.objective.unwrap().to_string(), "p99 < 50ms");
        assert_eq!(config.model, Model::Onnx("model.onnx".into()));
        assert!(matches!(config.pad, Padding::Fill(_)));
        let packed = check("model = \"m.onnx\"\nlength = { max = 8 }\npad = \"packed\"").unwrap();
        assert_eq!(packed.pad, Padding::Packed);
    }

    #[test]
    fn mistakes_are_refused_with_line_and_advice() {
        let cases = [
            ("model = \"m.onnx\"\nmaxbatch = 3\n", "2:1: unknown field `maxbatch`"),
            ("model = \"m.onnx\"\nmaxbatch = 3\n", "did you mean `max_batch`?"),
            ("model = \"builtin:nul\"\n", "1:9: there is no `builtin:nul`"),
            ("model = \"../m.onnx\"\n", "leads out of this folder"),
            ("model = \"m.onnx\"\n\nmax_wait = \"2\"\n", "3:12: `2` is no span of time"),
            ("model = \"m.onnx\"\nmax_wait = 2\n", "2:12: invalid type: integer `2`"),
            ("model = \"builtin:null\"\n", "length = { max = 1024 }"),
            ("model = \"m.onnx\"\nmax_batch = 0\n", "2:1: max_batch = 0: write 1 to 1024"),
            ("model = \"m.onnx\"\npad = \"packed\"\n", "2:1: `pad` says"),
            ("model = \"m.onnx\"\n[length]\n max = 0\n", "3:2: length.max = 0"),
            ("max_batch = 1\n", "missing field `model`"),
            ("model = \n", "1:9: string values must be quoted"),
            (
                "model = \"m.onnx\"\n[service]\nobjective = \"fast\"\n",
                "3:13: `fast` is no objective",
            ),
            ("model = \"m.onnx\"\n[service]\npriority = \"hihg\"\n", "did you mean `high`?"),
        ];
        for (text, expected) in cases {
            let error = check(text).unwrap_err();
            assert!(error.contains(expected), "{text:?} gave {error:?}");
        }
    }

    /// What a file that was understood says, and what one that was not is told.
    fn judge(text: &str) {
        match parse(Path::new("function.toml"), text) {
            Ok(config) => {
                // The supervisor hands it to the worker as JSON.
                let sent = serde_json::to_string(&config).unwrap();
                let heard: FunctionConfig = serde_json::from_str(&sent).unwrap();
                assert_eq!(format!("{heard:?}"), format!("{config:?}"), "{text:?}");
                assert_eq!(heard.check(), []);
            }
            Err(wrong) => {
                assert!(!wrong.is_empty());
                for error in wrong {
                    let ConfigError::Wrong { place, what, .. } = error else {
                        panic!("{text:?}: {error}")
                    };
                    assert!(place.line() <= text.matches('\n').count() + 1, "{text:?}: {place}");
                    assert!(!what.is_empty(), "{text:?}");
                }
            }
        }
    }

    const WHOLE: &str = "model = \"model.onnx\"\noutputs = [\"sentence_embedding\"]\n\
         length = { axis = \"seq\", max = 512 }\n\
         pad = { fill = { input_ids = 0.5, \"é\" = -1 }, mask = \"attention_mask\" }\n\
         max_batch = 32\nmax_wait = \"2ms\"\nqueue = 1024\n\
         [service]\nobjective = \"p99 < 50ms\"\npriority = \"normal\"\n";

    #[test]
    fn strange_files_are_understood_or_told_where_they_are_wrong() {
        let deep = |open: &str| format!("model = {}", open.repeat(50_000));
        for text in [
            WHOLE.to_owned(),
            deep("["),
            deep("{a="),
            deep("{a=["),
            format!("model{} = 1", ".a".repeat(50_000)),
            format!("[{}]", "a.".repeat(50_000)),
            "model = \"builtin:echo\"\nlength = { max = 4294967295 }\nmax_wait = \"99999999999y\""
                .to_owned(),
            "model = \"a.onnx\"\nlength = { max = 1 }\npad = { fill = { x = nan }, mask = \"m\" }"
                .to_owned(),
            "model = \"a.onnx\"\nlength = { max = 1 }\npad = { fill = { x = -inf }, mask = \"m\" }"
                .to_owned(),
            "\u{feff}model = 1".to_owned(),
            "ä = 1\nü".to_owned(),
        ] {
            judge(&text);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_function_or_an_error(text in "\\PC{0,200}") {
            judge(&text);
        }

        #[test]
        fn text_near_a_function_is_one_or_an_error(
            changes in prop::collection::vec(
                (any::<prop::sample::Index>(), any::<char>(), 0..4u8, "[0-9a-z.=\"{}\\[\\]]{1,4}"),
                1..6,
            )
        ) {
            let mut text: Vec<char> = WHOLE.chars().collect();
            for (at, other, how, piece) in changes {
                let at = at.index(text.len());
                match how {
                    0 => text[at] = other,
                    1 => drop(text.splice(at..at, piece.chars())),
                    2 => drop(text.drain(at..(at + 3).min(text.len()))),
                    _ => drop(text.splice(at..(at + 2).min(text.len()), piece.chars())),
                }
                text.push(' ');
            }
            judge(&text.into_iter().collect::<String>());
        }
    }

    #[test]
    fn an_empty_repository_is_refused() {
        let repository = tempfile::tempdir().unwrap();
        assert!(matches!(load(repository.path()).unwrap_err()[..], [ConfigError::Empty { .. }]));
        let missing = repository.path().join("nowhere");
        assert!(matches!(load(&missing).unwrap_err()[..], [ConfigError::Unreadable { .. }]));
    }
}
