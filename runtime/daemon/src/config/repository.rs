//! The model repository: a folder of folders, each a function by its name.

use super::{ConfigError, FunctionConfig};
use std::path::{Path, PathBuf};

/// A function of the repository.
#[derive(Clone, Debug)]
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
            Err(error) => errors.push(error),
        }
    }
    if folders.is_empty() {
        errors.push(ConfigError::Empty { path: repository.to_owned() });
    }
    if errors.is_empty() { Ok(functions) } else { Err(errors) }
}

fn load_one(folder: &Path) -> Result<Function, ConfigError> {
    let name = folder.file_name().and_then(|name| name.to_str()).filter(|name| is_name(name));
    let name = name.ok_or_else(|| ConfigError::Name { path: folder.to_owned() })?.to_owned();
    let path = folder.join("function.toml");
    let text = std::fs::read_to_string(&path)
        .map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?;
    let config: FunctionConfig =
        toml::from_str(&text).map_err(|error| ConfigError::from_toml(&path, &text, &error))?;
    config.check().map_err(|what| ConfigError::Wrong { path, line: 1, what })?;
    Ok(Function { name, folder: folder.to_owned(), config })
}

fn is_name(name: &str) -> bool {
    let good = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    (1..=64).contains(&name.len()) && name.bytes().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::function::{Model, Padding};

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
            ("model = \"m.onnx\"\nmaxbatch = 3\n", "2: unknown field `maxbatch`"),
            ("model = \"m.onnx\"\nmaxbatch = 3\n", "did you mean `max_batch`?"),
            ("model = \"builtin:nul\"\n", "1: there is no `builtin:nul`"),
            ("model = \"../m.onnx\"\n", "leads out of this folder"),
            ("model = \"m.onnx\"\n\nmax_wait = \"2\"\n", "3: `2` is no span of time"),
            ("model = \"m.onnx\"\nmax_wait = 2\n", "2: invalid type: integer `2`"),
            ("model = \"builtin:null\"\n", "length = { max = 1024 }"),
            ("model = \"m.onnx\"\nmax_batch = 0\n", "max_batch = 0: write 1 to 1024"),
            ("model = \"m.onnx\"\npad = \"packed\"\n", "has no `length`"),
            ("max_batch = 1\n", "missing field `model`"),
            ("model = \n", "1: "),
            ("model = \"m.onnx\"\n[service]\nobjective = \"fast\"\n", "3: `fast` is no objective"),
            ("model = \"m.onnx\"\n[service]\npriority = \"hihg\"\n", "did you mean `high`?"),
        ];
        for (text, expected) in cases {
            let error = check(text).unwrap_err();
            assert!(error.contains(expected), "{text:?} gave {error:?}");
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
