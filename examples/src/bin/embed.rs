//! Embeds sentences through a gpumuxd and shows the nearest neighbours of three of them.

#![forbid(unsafe_code)]

use clap::Parser;
use gpumux_examples::{Embedder, Failure, Neighbours};
use gpumux_shim::Session;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Sentences about a dozen things, each in several lengths.
const SENTENCES: &str = include_str!("../../sentences.txt");
/// Sentences whose neighbours are shown, and how many of those.
const SHOWN: usize = 3;
const NEIGHBOURS: usize = 3;

/// Embeds sentences and shows the nearest neighbours of three of them.
#[derive(Parser)]
struct Options {
    /// The daemon's socket for peers
    #[arg(long, env = "GPUMUX_SOCKET", default_value = "/run/gpumux/gpumuxd.sock")]
    socket: PathBuf,
    /// The function: token ids, mask and types to `sentence_embedding`
    #[arg(long, default_value = "embed")]
    function: String,
    /// The model's tokenizer.json
    #[arg(long)]
    tokenizer: PathBuf,
    /// A file with a sentence on each line, instead of the example's own
    #[arg(long)]
    sentences: Option<PathBuf>,
    /// Write `progress DONE OF` lines before the result
    #[arg(long)]
    progress: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("gpumux-example-embed: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    let text = match &options.sentences {
        Some(path) => std::fs::read_to_string(path).map_err(|error| Failure::file(path, error))?,
        None => SENTENCES.to_owned(),
    };
    let sentences: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let session = Session::connect(&options.socket)?;
    let embedder = Embedder::open(&session, &options.function, &options.tokenizer)?;
    let neighbours = Neighbours::new(embedder.embed(&sentences, options.progress)?);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} sentences, and what lies nearest to three of them:", sentences.len())?;
    // Evenly spread over the file.
    for index in (0..SHOWN).map(|part| part * sentences.len() / SHOWN) {
        let Some(sentence) = sentences.get(index) else { continue };
        writeln!(out, "\n  {sentence}")?;
        for (other, cosine) in neighbours.of(index, NEIGHBOURS) {
            writeln!(out, "    {cosine:.2}  {}", sentences[other])?;
        }
    }
    Ok(())
}
