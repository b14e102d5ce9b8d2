//! A thousand malformed models. Each ends in a plan that holds, or in one of the importer's own exit
//! codes; none in a panic, a signal or an abort.
//!
//! Half of the files are written with wrong numbers in the right places (sizes, axes, names, counts),
//! half are right ones whose bytes were changed. `GPUMUX_SEED` replays a run, `GPUMUX_CASE` one file.

mod onnx;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use gpumux_plan::Model;
use onnx::Twist;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const CASES: u64 = 1000;
/// Importers that run at a time.
const AT_ONCE: usize = 2;
/// What an import of these small models may take. They need a fraction of it.
const LIMITS: [&str; 4] = ["--memory-mib", "1024", "--cpu-seconds", "20"];

/// How an import may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Plan,
    Refused,
    Memory,
    Time,
}

/// What the importer may say when memory is out.
const OUT_OF_MEMORY: [&str; 2] = ["memory allocation of ", "out of memory"];

/// Imports a file and judges the end.
fn import(folder: &Path, model: &[u8], flags: &[&str]) -> Result<End, String> {
    let (path, plan) = (folder.join("model.onnx"), folder.join("plan"));
    let weights = folder.join("weights");
    fs::write(&path, model).map_err(|error| error.to_string())?;
    let output = Command::new(env!("CARGO_BIN_EXE_gpumux-import"))
        .arg(&path)
        .arg("--plan")
        .arg(&plan)
        .arg("--weights")
        .arg(&weights)
        .args(LIMITS)
        .args(flags)
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(0) => {
            let plan = Model::read(&fs::read(plan).unwrap()).map_err(|error| error.to_string())?;
            plan.check_weights(&fs::read(weights).unwrap()).map_err(|error| error.to_string())?;
            Ok(End::Plan)
        }
        // tract may fall over a file; our own code may not.
        Some(3) if said.contains("stopped at import/src/") => Err(said),
        Some(3) if said.contains("gpumux-import: ") => Ok(End::Refused),
        Some(4) if OUT_OF_MEMORY.iter().any(|words| said.contains(words)) => Ok(End::Memory),
        Some(5) => Ok(End::Time),
        _ => Err(format!("ended with {}: {said}", output.status)),
    }
}

/// A right file, to be changed: one of the small ones, or now and then a model that is served.
fn whole(rng: &mut StdRng, magika: &[u8]) -> (Vec<u8>, &'static [&'static str]) {
    let twist = &mut Twist::none();
    match rng.random_range(0..40) {
        0 => (magika.to_vec(), &["--batch", "1"]),
        1..14 => (onnx::dense(twist), &[]),
        14..27 => (onnx::lookup(twist), &["--length", "seq"]),
        _ => (onnx::shapes(twist), &["--length", "seq"]),
    }
}

/// A file whose numbers are wrong where numbers belong.
fn twisted(rng: &mut StdRng) -> (Vec<u8>, &'static [&'static str]) {
    let which = rng.random_range(0..4);
    let twist = &mut Twist::new(rng);
    match which {
        0 => (onnx::dense(twist), &[]),
        1 => (onnx::lookup(twist), &["--length", "seq"]),
        2 => (onnx::shapes(twist), &["--length", "seq"]),
        _ => (onnx::tower(twist), &[]),
    }
}

/// Changes bytes of a file without regard for what they mean.
fn mangle(rng: &mut StdRng, file: &mut Vec<u8>) {
    // Structure is at the begin and between the weights; most changes go where it is dense.
    let reach = if rng.random_bool(0.5) { file.len().min(2048) } else { file.len() };
    let at = rng.random_range(0..reach);
    match rng.random_range(0..6) {
        0 => {
            for _ in 0..rng.random_range(1..9) {
                let at = rng.random_range(0..reach);
                file[at] ^= 1 << rng.random_range(0..8);
            }
        }
        1 => file.truncate(at),
        // A number in the wire's own form, as long as ten bytes, over what was there.
        2 => {
            let varint = onnx::varint(rng.random::<u64>() >> rng.random_range(0..64));
            let end = (at + varint.len()).min(file.len());
            file[at..end].copy_from_slice(&varint[..end - at]);
        }
        3 => file[at] = u8::MAX,
        4 => {
            let end = (at + rng.random_range(1..64)).min(file.len());
            file.drain(at..end);
        }
        _ => {
            let end = (at + rng.random_range(1..64)).min(file.len());
            let piece = file[at..end].to_vec();
            let to = rng.random_range(0..file.len());
            file.splice(to..to, piece);
        }
    }
}

fn case(seed: u64, case: u64, magika: &[u8]) -> (Vec<u8>, &'static [&'static str]) {
    let rng =
        &mut StdRng::seed_from_u64(seed.wrapping_add(case.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    if case.is_multiple_of(2) {
        return twisted(rng);
    }
    let (mut file, flags) = whole(rng, magika);
    mangle(rng, &mut file);
    (file, flags)
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn what_the_small_models_stand_for_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let twist = || Twist::none();
    let import = |file: Vec<u8>, flags: &[&str]| import(folder.path(), &file, flags);
    assert_eq!(import(onnx::dense(&mut twist()), &[]), Ok(End::Plan));
    assert_eq!(import(onnx::lookup(&mut twist()), &["--length", "seq"]), Ok(End::Plan));
    assert_eq!(import(onnx::shapes(&mut twist()), &["--length", "seq"]), Ok(End::Plan));
    assert_eq!(import(onnx::tower(&mut twist()), &[]), Ok(End::Plan));
}

#[test]
fn no_malformed_model_ends_the_importer_but_by_its_own_word() {
    let seed = number("GPUMUX_SEED").unwrap_or_else(rand::random);
    println!("GPUMUX_SEED={seed} replays this run");
    let magika = fs::read(models().join("magika/model.onnx"))
        .unwrap_or_else(|error| panic!("magika: {error}: run `cargo xtask models`"));
    let only = number("GPUMUX_CASE");
    let next = AtomicU64::new(only.unwrap_or(0));
    let last = only.map_or(CASES, |only| only + 1);
    let ends = Mutex::new(BTreeMap::<End, u64>::new());
    let faults = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let folder = tempfile::tempdir().unwrap();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= last {
                        return;
                    }
                    let (file, flags) = case(seed, index, &magika);
                    match import(folder.path(), &file, flags) {
                        Ok(end) => *ends.lock().unwrap().entry(end).or_default() += 1,
                        Err(fault) => faults.lock().unwrap().push(format!("case {index}: {fault}")),
                    }
                }
            });
        }
    });
    println!("{:?}", ends.lock().unwrap());
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "GPUMUX_SEED={seed}\n{}", faults.join("\n"));
}

/// Where `cargo xtask models` keeps the models.
fn models() -> PathBuf {
    let set = |name| env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    set("GPUMUX_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|it| it.join("gpumux")))
        .or_else(|| set("HOME").map(|it| it.join(".cache/gpumux")))
        .expect("GPUMUX_CACHE, XDG_CACHE_HOME or HOME is set")
        .join("models")
}
