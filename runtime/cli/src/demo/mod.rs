//! `gpumux demo`: two models on one device, asked by two processes at once.
//!
//! It starts a gpumuxd of its own with the functions `embed` and `classify` of the examples, and two
//! example peers: one embeds sentences and finds neighbours, one tells the types of files. What they
//! found and what it took is shown at the end; nothing stays behind, however it ends.

mod figures;
mod peer;

use crate::admin::AdminSocket;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::node::{Node, Plot};
use clap::Args;
use gpumux_wire::status::Status;
use indicatif::MultiProgress;
use peer::Peer;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What to serve, and where.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The folder that `cargo xtask models` filled
    #[arg(long)]
    models: PathBuf,
    /// The folder whose files are told
    #[arg(long, default_value = ".")]
    tree: PathBuf,
    /// The device: `emulated`, or `cuda` where there is a GPU
    #[arg(long, default_value = "emulated")]
    device: String,
    /// A folder where imported models are kept for the next time; they are not kept when absent
    #[arg(long)]
    state: Option<PathBuf>,
}

/// A function of the demo.
struct Function {
    name: &'static str,
    /// Its function.toml.
    text: &'static str,
    /// Its model's folder.
    model: &'static str,
}

const FUNCTIONS: [Function; 2] = [
    Function {
        name: "embed",
        text: include_str!("../../../../examples/models/embed/function.toml"),
        model: "minilm",
    },
    Function {
        name: "classify",
        text: include_str!("../../../../examples/models/classify/function.toml"),
        model: "magika",
    },
];

/// What the demo has to show.
struct Shown {
    status: Status,
    embed: String,
    classify: String,
}

/// Runs the demo.
///
/// # Errors
/// [`Failure`]: no models, no daemon, a peer that failed, or an interruption.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let Shown { status, embed, classify } = show(options)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}\n\n{embed}\n{classify}", figures::table(&status))?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn show(options: &Options) -> Result<Shown, Failure> {
    let mut interrupt = Interrupt::listen()?;
    let mut node = start(options)?;
    let shown = tokio::select! {
        shown = serve(&mut node, options) => shown,
        () = interrupt.next() => Err(Failure::Interrupted),
    };
    node.stop(&mut interrupt).await?;
    shown
}

fn start(options: &Options) -> Result<Node, Failure> {
    let plot = Plot::new()?;
    for function in &FUNCTIONS {
        let model = piece(&options.models, function.model, "model.onnx")?;
        let folder = plot.add(function.name, function.text)?;
        std::os::unix::fs::symlink(model, folder.join("model.onnx"))?;
    }
    let device = format!("--device={}", options.device);
    eprintln!("gpumuxd starts on the device `{}` and loads two models", options.device);
    Ok(plot.start(&[device.into()], options.state.as_deref())?)
}

/// A file of a model, wherever this process is started.
fn piece(models: &Path, model: &str, file: &str) -> Result<PathBuf, Failure> {
    let path = models.join(model).join(file);
    path.canonicalize().map_err(|source| Failure::ModelAbsent { path, source })
}

/// Has the two peers work at once; then asks what it took.
async fn serve(node: &mut Node, options: &Options) -> Result<Shown, Failure> {
    node.ready().await?;
    eprintln!("two peers are at work");
    let bars = MultiProgress::new();
    let socket = node.socket();
    let tokenizer = piece(&options.models, "minilm", "tokenizer.json")?;
    let config = piece(&options.models, "magika", "config.min.json")?;
    let arguments = ["--tokenizer".into(), tokenizer.into()];
    let embed = Peer::start("gpumux-example-embed", &socket, &arguments, &bars)?;
    let arguments = ["--config".into(), config.into(), options.tree.clone().into()];
    let classify = Peer::start("gpumux-example-classify", &socket, &arguments, &bars)?;
    let (embed, classify) = tokio::try_join!(embed.follow(), classify.follow())?;
    let status = AdminSocket::at(node.admin_socket()).ask().await?;
    Ok(Shown { status, embed, classify })
}
