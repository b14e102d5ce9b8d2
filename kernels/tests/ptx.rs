//! The three statements of every kernel must agree: the Rust catalogue, the CUDA C++ source and the
//! committed PTX. No compiler and no device are needed to tell.

use gpumux_kernels::{Form, KernelId, MODULES, Module, Scalar, Shape};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The newest PTX that the oldest supported driver (525, CUDA 12.0) loads, and the oldest
/// architecture that gpumux runs on.
const PTX_VERSION_MAX: (u32, u32) = (8, 0);
const PTX_TARGET: &str = "sm_75";

fn cuda_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cuda")
}

fn source_of(module: &Module) -> PathBuf {
    cuda_folder().join(module.name).with_extension("cu")
}

/// The text between `open` and the next `close` after it.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(open)?;
    rest.split_once(close).map(|(inside, _)| inside)
}

/// Names of the files with this extension, without it.
fn stems(folder: &Path, extension: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("the folder is part of the tree");
    entries
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| path.file_stem().expect("a file").to_string_lossy().into_owned())
        .collect()
}

/// Hashes a source, then each header of ours that it includes, each once: as `compile.py` does.
fn hash_texts(source: &Path, seen: &mut BTreeSet<PathBuf>, digest: &mut Sha256) {
    if !seen.insert(source.to_owned()) {
        return;
    }
    let text = fs::read_to_string(source).expect("a source of the tree");
    digest.update(&text);
    for line in text.lines().filter(|line| line.trim_start().starts_with('#')) {
        if let Some(name) = between(line, "include \"", "\"") {
            hash_texts(&source.with_file_name(name), seen, digest);
        }
    }
}

#[test]
fn every_source_has_its_ptx_and_its_module() {
    let declared: BTreeSet<_> = MODULES.iter().map(|module| module.name.to_owned()).collect();
    assert_eq!(stems(&cuda_folder(), "cu"), declared);
    let ptx_folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ptx");
    assert_eq!(stems(&ptx_folder, "ptx"), declared);
}

#[test]
fn ptx_is_made_from_the_source_beside_it() {
    for module in MODULES {
        let mut digest = Sha256::new();
        hash_texts(&source_of(module), &mut BTreeSet::new(), &mut digest);
        let hex = digest.finalize().iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a string takes any text");
            hex
        });
        let head = module.ptx.lines().next().unwrap_or_default();
        assert_eq!(
            between(head, "source-sha256=", " "),
            Some(hex.as_str()),
            "{}.cu changed: run `cargo xtask kernels`",
            module.name
        );
        assert!(head.contains(" nvrtc="), "{}.ptx does not name its compiler", module.name);
    }
}

#[test]
fn the_oldest_supported_driver_loads_every_module() {
    for module in MODULES {
        let version = between(module.ptx, "\n.version ", "\n").expect("PTX has a version");
        let (major, minor) = version.split_once('.').expect("MAJOR.MINOR");
        let version = (major.parse().expect("a number"), minor.parse().expect("a number"));
        assert!(version <= PTX_VERSION_MAX, "{}: PTX {version:?}", module.name);
        assert_eq!(between(module.ptx, "\n.target ", "\n"), Some(PTX_TARGET), "{}", module.name);
    }
}

/// `.param` as PTX declares an argument of this shape, without its name.
fn ptx_type(shape: Shape) -> String {
    match (shape.form, shape.scalar) {
        (Form::Pointer, _) | (Form::Value, Scalar::I64 | Scalar::U64) => ".u64".to_owned(),
        (Form::Value, Scalar::I32 | Scalar::U32) => ".u32".to_owned(),
        (Form::Value, Scalar::F32) => ".f32".to_owned(),
        (Form::Value, Scalar::U8) => ".u8".to_owned(),
        (Form::Array(_), _) => format!(".align {} .b8", shape.alignment()),
    }
}

#[test]
fn signatures_are_those_of_the_ptx() {
    for module in MODULES {
        for kernel in module.kernels {
            let signature = kernel.signature();
            let entry = signature.entry;
            let declared = between(module.ptx, &format!(".visible .entry {entry}("), ")")
                .unwrap_or_else(|| panic!("{}.ptx has no entry {entry}", module.name));
            let found: Vec<_> = declared.split(',').map(str::trim).collect();
            let expected: Vec<_> = signature
                .params
                .iter()
                .enumerate()
                .map(|(index, param)| {
                    let length = match param.shape.form {
                        Form::Array(_) => format!("[{}]", param.shape.bytes()),
                        Form::Value | Form::Pointer => String::new(),
                    };
                    format!(".param {} {entry}_param_{index}{length}", ptx_type(param.shape))
                })
                .collect();
            assert_eq!(found, expected, "{entry}");
        }
    }
}

/// An argument as CUDA C++ declares it, without qualifiers.
fn cuda_declaration(name: &str, shape: Shape) -> String {
    let scalar = format!("{:?}", shape.scalar).to_lowercase();
    match shape.form {
        Form::Value => format!("{scalar} {name}"),
        Form::Pointer => format!("{scalar}* {name}"),
        Form::Array(count) => format!("Array<{scalar}, {count}> {name}"),
    }
}

#[test]
fn signatures_are_those_of_the_source() {
    for module in MODULES {
        let source = fs::read_to_string(source_of(module)).expect("a source of the tree");
        for kernel in module.kernels {
            let signature = kernel.signature();
            let declared = between(&source, &format!(" {}(", signature.entry), ")")
                .unwrap_or_else(|| panic!("{}.cu has no {}", module.name, signature.entry))
                .replace("const ", "")
                .replace("__restrict__ ", "");
            let found = declared.split_whitespace().collect::<Vec<_>>().join(" ");
            let expected: Vec<_> = signature
                .params
                .iter()
                .map(|param| cuda_declaration(param.name, param.shape))
                .collect();
            assert_eq!(found, expected.join(", "), "{}", signature.entry);
        }
    }
}

#[test]
fn every_entry_of_a_module_is_declared_once() {
    let mut indexes = BTreeSet::new();
    for module in MODULES {
        let entries: BTreeSet<_> = module
            .ptx
            .split(".entry ")
            .skip(1)
            .filter_map(|rest| rest.split_once('(').map(|(name, _)| name))
            .collect();
        let declared: BTreeSet<_> =
            module.kernels.iter().map(|kernel| kernel.signature().entry).collect();
        assert_eq!(entries, declared, "{}", module.name);
        indexes.extend(module.kernels.iter().map(|kernel| kernel.index()));
    }
    assert_eq!(indexes, (0..KernelId::ALL.len()).collect());
}
