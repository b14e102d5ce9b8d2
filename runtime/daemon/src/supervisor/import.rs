//! Models become plans before a worker starts: the importer runs as a process of its own, once for
//! each model and way of serving it, and what it wrote is kept.

use crate::config::{Function, Model};
use crate::link::PlanFiles;
use crate::options::SupervisorOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use thiserror::Error;
use tokio::process::Command;
use tracing::info;

/// Why a model has no plan.
#[derive(Debug, Error)]
pub(crate) enum ImportError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The importer refused the model.
    #[error("function `{function}`: its model cannot be served:\n{said}")]
    Refused {
        /// The function.
        function: String,
        /// The importer's words.
        said: String,
    },
}

/// Makes the plan of a function's model, or finds the one that was made before. Built-in models have
/// none.
pub(super) async fn plan_of(
    function: &Function,
    options: &SupervisorOptions,
) -> Result<Option<PlanFiles>, ImportError> {
    let Model::Onnx(file) = &function.config.model else { return Ok(None) };
    let model = function.folder.join(file);
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| ImportError::File { path, source }
    };
    let onnx = std::fs::read(&model).map_err(fail(&model))?;
    let plans = options.state.join("plans");
    std::fs::create_dir_all(&plans).map_err(fail(&plans))?;
    let free = wanted(function);
    let key = key(&onnx, &free, function.config.max_batch);
    let files = PlanFiles {
        plan: plans.join(format!("{key}.plan")),
        weights: plans.join(format!("{key}.weights")),
    };
    if files.plan.exists() && files.weights.exists() {
        return Ok(Some(files));
    }
    info!(function = function.name, model = %model.display(), "importing");
    // Another daemon may import the same model at the same time; whoever is last replaces like by like.
    let aside = plans.join(format!("{key}.{}", std::process::id()));
    let importer = Importer::beside_this(&model, &aside)?;
    if let Err(said) = importer.run(&free).await {
        // Some graphs compute with their batch size, so that it cannot stay free.
        info!(function = function.name, "importing once for each batch size");
        let fixed = batch_sizes(function.config.max_batch).map(|size| format!("--batch={size}"));
        let fixed: Vec<String> = free.into_iter().chain(fixed).collect();
        importer.run(&fixed).await.map_err(|again| {
            let function = function.name.clone();
            ImportError::Refused { function, said: format!("{said}\n{again}") }
        })?;
    }
    // The plan goes last: where it is, the weights are.
    std::fs::rename(&importer.weights, &files.weights).map_err(fail(&files.weights))?;
    std::fs::rename(&importer.plan, &files.plan).map_err(fail(&files.plan))?;
    Ok(Some(files))
}

/// What is wanted of a model, as the importer's arguments.
fn wanted(function: &Function) -> Vec<String> {
    let length = function.config.length.iter().map(|length| format!("--length={}", length.axis));
    let outputs = function.config.outputs.iter().flatten();
    length.chain(outputs.map(|output| format!("--output={output}"))).collect()
}

/// Names a model and a way of serving it, by all that the plan depends on.
fn key(onnx: &[u8], wanted: &[String], max_batch: u32) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(env!("CARGO_PKG_VERSION").as_bytes()).update(onnx);
    for argument in wanted {
        hasher.update(b"\0").update(argument.as_bytes());
    }
    hasher.update(&max_batch.to_le_bytes());
    hasher.finalize().to_hex().to_string()
}

/// Doubling batch sizes up to the largest.
fn batch_sizes(max_batch: u32) -> impl Iterator<Item = u32> {
    let doubling = std::iter::successors(Some(1u32), |size| size.checked_mul(2));
    doubling.take_while(move |size| *size < max_batch).chain([max_batch])
}

/// The importer's process, for one model.
struct Importer {
    program: PathBuf,
    model: PathBuf,
    plan: PathBuf,
    weights: PathBuf,
}

impl Importer {
    fn beside_this(model: &Path, aside: &Path) -> Result<Self, ImportError> {
        let this = std::env::current_exe()
            .map_err(|source| ImportError::File { path: "gpumuxd".into(), source })?;
        Ok(Self {
            program: this.with_file_name("gpumux-import"),
            model: model.to_owned(),
            plan: aside.with_added_extension("plan"),
            weights: aside.with_added_extension("weights"),
        })
    }

    /// Runs it.
    ///
    /// # Errors
    /// What it said.
    async fn run(&self, wanted: &[String]) -> Result<(), String> {
        let output = Command::new(&self.program)
            .arg(&self.model)
            .arg("--plan")
            .arg(&self.plan)
            .arg("--weights")
            .arg(&self.weights)
            .args(wanted)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        Err(if said.is_empty() {
            format!("the importer ended with {}", output.status)
        } else {
            said
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_sizes_double_and_end_at_the_largest() {
        let sizes = |max| batch_sizes(max).collect::<Vec<_>>();
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(8), [1, 2, 4, 8]);
        assert_eq!(sizes(12), [1, 2, 4, 8, 12]);
    }
}
