//! Models become plans before a worker starts: the importer runs as a process of its own, once for
//! each model and way of serving it, and what it wrote is kept.

use crate::companion;
use crate::config::{Function, Model};
use crate::link::PlanFiles;
use crate::options::SupervisorOptions;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use thiserror::Error;
use tokio::io::AsyncReadExt;
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
    /// The importer gave no plan.
    #[error("function `{function}`: {why}")]
    NoPlan {
        /// The function.
        function: String,
        /// Why.
        why: NoPlan,
    },
}

/// How an import ended other than well.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum NoPlan {
    /// The model is malformed, or holds what cannot be served.
    #[error("its model cannot be served:\n{0}")]
    Refused(String),
    /// It takes more memory than any import may.
    #[error("importing its model took more than {MEMORY_MIB} MiB of memory: {0}")]
    Memory(String),
    /// It takes more time than any import may.
    #[error("importing its model took more than {CPU_SECONDS} s of processor time, or {} s in all", TIME_LIMIT.as_secs())]
    Time,
    /// The importer could not be run, or its files not be written. The model was not judged.
    #[error("its model could not be imported: {0}")]
    Host(String),
}

/// The most address space that an import may take.
const MEMORY_MIB: u64 = 8192;
/// The most processor time that an import may take.
const CPU_SECONDS: u64 = 120;
/// The longest that an import may take on a machine that has other things to do.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(600);
/// What is read of the importer's words. It reads strangers' files, so its words are bounded too.
const WORDS_MAX: u64 = 64 << 10;

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
    let importer = Importer::of_this(&model, &aside)?;
    let no_plan = |why| ImportError::NoPlan { function: function.name.clone(), why };
    if let Err(why) = importer.run(&free).await {
        let NoPlan::Refused(said) = why else { return Err(no_plan(why)) };
        // Some graphs compute with their batch size, so that it cannot stay free.
        info!(function = function.name, "importing once for each batch size");
        let fixed = batch_sizes(function.config.max_batch).map(|size| format!("--batch={size}"));
        let fixed: Vec<String> = free.into_iter().chain(fixed).collect();
        importer.run(&fixed).await.map_err(|again| {
            no_plan(match again {
                NoPlan::Refused(again) => NoPlan::Refused(format!("{said}\n{again}")),
                other => other,
            })
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
    fn of_this(model: &Path, aside: &Path) -> Result<Self, ImportError> {
        let program = companion::find("gpumux-import")
            .map_err(|source| ImportError::File { path: "gpumuxd".into(), source })?;
        Ok(Self {
            program,
            model: model.to_owned(),
            plan: aside.with_added_extension("plan"),
            weights: aside.with_added_extension("weights"),
        })
    }

    /// Runs it.
    ///
    /// # Errors
    /// How it ended.
    async fn run(&self, wanted: &[String]) -> Result<(), NoPlan> {
        let host =
            |error: std::io::Error| NoPlan::Host(format!("{}: {error}", self.program.display()));
        let mut importer = Command::new(&self.program)
            .arg(&self.model)
            .arg("--plan")
            .arg(&self.plan)
            .arg("--weights")
            .arg(&self.weights)
            .arg(format!("--memory-mib={MEMORY_MIB}"))
            .arg(format!("--cpu-seconds={CPU_SECONDS}"))
            .args(wanted)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(host)?;
        let mut said = Vec::new();
        let ended = async {
            if let Some(stderr) = importer.stderr.take() {
                stderr.take(WORDS_MAX).read_to_end(&mut said).await?;
            }
            importer.wait().await
        };
        let Ok(ended) = tokio::time::timeout(TIME_LIMIT, ended).await else {
            return Err(NoPlan::Time);
        };
        judge(ended.map_err(host)?, &said)
    }
}

/// What an importer's end means. The codes are those of its `ending.rs`.
fn judge(status: ExitStatus, said: &[u8]) -> Result<(), NoPlan> {
    let said = String::from_utf8_lossy(said).trim_end().to_owned();
    match status.code() {
        Some(0) => Ok(()),
        Some(3) => Err(NoPlan::Refused(said)),
        Some(4) => Err(NoPlan::Memory(said)),
        Some(5) => Err(NoPlan::Time),
        _ => Err(NoPlan::Host(format!("the importer ended with {status}: {said}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn each_end_of_an_import_is_told_apart() {
        let exit = |code: i32| judge(ExitStatus::from_raw(code << 8), b"words\n");
        assert_eq!(exit(0), Ok(()));
        assert_eq!(exit(3), Err(NoPlan::Refused("words".to_owned())));
        assert_eq!(exit(4), Err(NoPlan::Memory("words".to_owned())));
        assert_eq!(exit(5), Err(NoPlan::Time));
        let killed = judge(ExitStatus::from_raw(9), b"");
        for end in [exit(1), exit(2), exit(77), killed] {
            assert!(matches!(end, Err(NoPlan::Host(_))), "{end:?}");
        }
    }

    #[test]
    fn batch_sizes_double_and_end_at_the_largest() {
        let sizes = |max| batch_sizes(max).collect::<Vec<_>>();
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(8), [1, 2, 4, 8]);
        assert_eq!(sizes(12), [1, 2, 4, 8, 12]);
    }
}
