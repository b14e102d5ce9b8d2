//! Files to requests to labels.

use crate::{Failure, Pipe, Progress, Shape, features};
use gpumux_shim::{ChannelSize, Function, Request, Session};
use serde::Deserialize;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Requests in flight: enough that every batch can be full.
const DEPTH: usize = 16;
const SIZE: ChannelSize = ChannelSize { slots: 16, arena_bytes: 1 << 20 };

/// A function that tells a file's type, and what its model's `config.min.json` says.
#[derive(Debug)]
pub struct Classifier {
    config: Config,
    pipe: Pipe,
}

/// The parts of `config.min.json` that are used here.
#[derive(Debug, Deserialize)]
struct Config {
    #[serde(flatten)]
    shape: Shape,
    target_labels_space: Vec<String>,
    medium_confidence_threshold: f32,
    thresholds: HashMap<String, f32>,
    overwrite_map: HashMap<String, String>,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// The model's name for its type.
    pub name: String,
    /// How sure the model is, up to 1.
    pub score: f32,
    /// Whether that is sure enough for this type.
    pub sure: bool,
}

impl Classifier {
    /// Opens the function; `config` is the model's `config.min.json`.
    ///
    /// # Errors
    /// [`Failure`]: the file is no such configuration, or the function did not open.
    pub fn open(session: &Session, function: &str, config: &Path) -> Result<Self, Failure> {
        let text = std::fs::read(config).map_err(|error| Failure::file(config, error))?;
        let read: Config =
            serde_json::from_slice(&text).map_err(|error| Failure::file(config, error))?;
        if read.shape.mid_size != 0 {
            return Err(Failure::file(config, "the model looks at the middle of files"));
        }
        Ok(Self { config: read, pipe: Pipe::new(session.open(function, SIZE)?, DEPTH) })
    }

    /// The type of each file, in their order. Files of which too little is left are left out.
    ///
    /// # Errors
    /// [`Failure`]: an unreadable file, or a request without a result.
    pub fn classify(
        &self,
        files: &[PathBuf],
        shown: bool,
    ) -> Result<Vec<(PathBuf, Label)>, Failure> {
        let mut seen = Vec::new();
        for path in files {
            let read =
                File::open(path).and_then(|mut file| features(&mut file, &self.config.shape));
            if let Some(row) = read.map_err(|error| Failure::file(path, error))? {
                seen.push((path, row));
            }
        }
        let progress = Progress::start(shown, seen.len())?;
        self.pipe.run(&seen, request, |number, reply| {
            progress.at(number + 1)?;
            let label = self.config.label(reply.output::<f32>("target_label")?)?;
            Ok((seen[number].0.clone(), label))
        })
    }
}

fn request(function: &Function, (_, row): &(&PathBuf, Vec<i32>)) -> Result<Request, Failure> {
    let mut request = function.request(1)?;
    let count = u32::try_from(row.len()).map_err(|_| Failure::Function("too large".into()))?;
    request.write::<i32>("bytes", &[count], row)?;
    Ok(request)
}

impl Config {
    /// What the scores of one file say.
    fn label(&self, scores: &[f32]) -> Result<Label, Failure> {
        if scores.len() != self.target_labels_space.len() {
            let labels = self.target_labels_space.len();
            let why = format!("{} scores came for {labels} labels", scores.len());
            return Err(Failure::Function(why));
        }
        let best = scores.iter().zip(&self.target_labels_space).max_by(|a, b| a.0.total_cmp(b.0));
        let (score, name) = best.ok_or_else(|| Failure::Function("there are no labels".into()))?;
        let threshold = self.thresholds.get(name).unwrap_or(&self.medium_confidence_threshold);
        let shown = self.overwrite_map.get(name).unwrap_or(name);
        Ok(Label { name: shown.clone(), score: *score, sure: score >= threshold })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_score_names_the_type_and_its_threshold_says_whether_it_is_sure() {
        let config: Config = serde_json::from_str(
            r#"{ "beg_size": 4, "mid_size": 0, "end_size": 4, "block_size": 8,
                 "min_file_size_for_dl": 2, "padding_token": 256, "version_major": 3,
                 "target_labels_space": ["rust", "markdown", "randomtxt"],
                 "medium_confidence_threshold": 0.5, "thresholds": { "markdown": 0.75 },
                 "overwrite_map": { "randomtxt": "txt" } }"#,
        )
        .unwrap();
        let check = |scores: &[f32], name: &str, sure| {
            let label = config.label(scores).unwrap();
            assert_eq!((label.name.as_str(), label.sure), (name, sure), "{scores:?}");
        };
        check(&[0.5, 0.3, 0.2], "rust", true);
        check(&[0.2, 0.7, 0.1], "markdown", false);
        check(&[0.1, 0.75, 0.15], "markdown", true);
        check(&[0.1, 0.1, 0.8], "txt", true);
        assert!(config.label(&[1.0]).is_err());
    }
}
