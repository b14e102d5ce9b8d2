//! Whether a daemon could start with what is configured, as far as that can be said without starting one.

use super::SupervisorError;
use super::tenancy::host;
use crate::config::{self, ConfigError, Model, Start};
use std::fs::File;

/// Reads all of the configuration. What was found, for people.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn check(start: Start) -> Result<String, SupervisorError> {
    let Start { options, settings, mut wrong } = start;
    let options = options.supervisor;
    wrong.extend(settings.check(host(&options)));
    let functions = config::load(&options.models).unwrap_or_else(|errors| {
        wrong.extend(errors);
        Vec::new()
    });
    for function in &functions {
        if let Model::Onnx(file) = &function.config.model {
            let path = function.folder.join(file);
            let opened = File::open(&path);
            wrong.extend(opened.err().map(|source| ConfigError::Unreadable { path, source }));
        }
    }
    if !wrong.is_empty() {
        return Err(SupervisorError::Config(wrong));
    }
    let names: Vec<_> = functions.iter().map(|function| function.name.as_str()).collect();
    Ok(format!(
        "ok\n{}\n{}: {} functions: {}",
        settings.summary(),
        options.models.display(),
        names.len(),
        names.join(", ")
    ))
}
