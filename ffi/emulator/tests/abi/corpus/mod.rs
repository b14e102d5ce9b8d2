//! Ordinary CUDA C++ as NVRTC compiles it, through the driver's ABI: each kernel of `tests/corpus`
//! against what the host computes.
//!
//! The PTX beside the sources is a selection, one text for each source. With `GPUMUX_CORPUS` set to a
//! folder, every `NAME.CUDA.ARCHITECTURE.MODE.ptx` in it is run as well; `cargo xtask conformance ptx`
//! makes such a folder.

#![expect(clippy::cast_possible_truncation, reason = "a kernel keeps the lower bits as well")]

#[path = "../../../src/jit/tests/exact.rs"]
mod exact;
mod floats;
mod halves;
mod integers;
mod memory;
mod system;
mod threads;

use crate::calls::*;
use std::ffi::{CString, c_void};
use std::ptr::null_mut;

/// A compiled source.
pub(super) struct Text {
    /// File name.
    pub(super) name: String,
    /// Compiled with fast arithmetic.
    pub(super) fast: bool,
    /// `compute_…`
    pub(super) architecture: u32,
    /// CUDA's version of the compiler.
    pub(super) cuda: (u32, u32),
    text: CString,
}

/// The committed text of each source.
const COMMITTED: [(&str, &str); 12] = [
    ("integer.12-8.80.plain.ptx", include_str!("../../corpus/ptx/integer.12-8.80.plain.ptx")),
    ("float.12-0.75.plain.ptx", include_str!("../../corpus/ptx/float.12-0.75.plain.ptx")),
    ("float.13-5.90.fast.ptx", include_str!("../../corpus/ptx/float.13-5.90.fast.ptx")),
    ("double.12-8.80.plain.ptx", include_str!("../../corpus/ptx/double.12-8.80.plain.ptx")),
    ("half.12-8.80.plain.ptx", include_str!("../../corpus/ptx/half.12-8.80.plain.ptx")),
    ("bfloat.13-5.90.plain.ptx", include_str!("../../corpus/ptx/bfloat.13-5.90.plain.ptx")),
    ("warp.12-8.80.plain.ptx", include_str!("../../corpus/ptx/warp.12-8.80.plain.ptx")),
    ("block.12-8.80.plain.ptx", include_str!("../../corpus/ptx/block.12-8.80.plain.ptx")),
    ("atomics.12-8.80.plain.ptx", include_str!("../../corpus/ptx/atomics.12-8.80.plain.ptx")),
    ("exchange.13-5.90.plain.ptx", include_str!("../../corpus/ptx/exchange.13-5.90.plain.ptx")),
    ("calls.12-8.80.plain.ptx", include_str!("../../corpus/ptx/calls.12-8.80.plain.ptx")),
    ("memory.12-8.80.plain.ptx", include_str!("../../corpus/ptx/memory.12-8.80.plain.ptx")),
];

/// The text of what is neither small nor said elsewhere.
const SYSTEM: (&str, &str) =
    ("system.12-8.80.plain.ptx", include_str!("../../corpus/ptx/system.12-8.80.plain.ptx"));

impl Text {
    fn new(name: &str, text: &str) -> Self {
        let parts: Vec<&str> = name.split('.').collect();
        let [_, cuda, architecture, mode, "ptx"] = parts[..] else {
            panic!("{name} is no name of a compiled source")
        };
        let (major, minor) = cuda.split_once('-').unwrap();
        Self {
            name: name.to_owned(),
            fast: mode == "fast",
            architecture: architecture.parse().unwrap(),
            cuda: (major.parse().unwrap(), minor.parse().unwrap()),
            text: CString::new(text).unwrap(),
        }
    }
}

/// The texts of a source: the committed ones, and those of the folder.
fn texts(source: &str) -> Vec<Text> {
    let of_source = |name: &str| name.split('.').next() == Some(source);
    let committed = COMMITTED.into_iter().chain([SYSTEM]).filter(|(name, _)| of_source(name));
    let mut texts: Vec<Text> = committed.map(|(name, text)| Text::new(name, text)).collect();
    if let Some(folder) = std::env::var_os("GPUMUX_CORPUS") {
        let before = texts.len();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if of_source(&name) {
                texts.push(Text::new(&name, &std::fs::read_to_string(&path).unwrap()));
            }
        }
        assert!(texts.len() > before, "the folder has no text of {source}");
    }
    texts
}

/// A loaded text.
pub(super) struct Module {
    pub(super) text: Text,
    pub(super) module: CUmodule,
}

/// Runs `check` on each text of a source.
pub(super) fn each(source: &str, check: impl Fn(&Module)) {
    context();
    for text in texts(source) {
        println!("{}", text.name);
        let mut module = null_mut();
        call!(cuModuleLoadData(&mut module, text.text.as_ptr().cast()));
        check(&Module { text, module });
        call!(cuModuleUnload(module));
    }
}

/// Plain numbers that memory is copied as.
pub(super) trait Plain: Copy + Default {}
impl<T: Copy + Default> Plain for T {}

pub(super) fn upload<T: Plain>(values: &[T]) -> u64 {
    let address = allocate(size_of_val(values).max(1));
    call!(cuMemcpyHtoD_v2(address, values.as_ptr().cast(), size_of_val(values)));
    address
}

pub(super) fn download<T: Plain>(address: u64, count: usize) -> Vec<T> {
    let mut values = vec![T::default(); count];
    call!(cuMemcpyDtoH_v2(values.as_mut_ptr().cast(), address, size_of_val(&values[..])));
    values
}

impl Module {
    /// A kernel, if the text has it: some are for later architectures only.
    pub(super) fn find(&self, name: &str) -> Option<CUfunction> {
        let name = CString::new(name).unwrap();
        let mut function = null_mut();
        // SAFETY: a place for the result and a text that ends with zero.
        let code = unsafe { cuModuleGetFunction(&mut function, self.module, name.as_ptr()) };
        match code {
            CUDA_SUCCESS => Some(function),
            CUDA_ERROR_NOT_FOUND => None,
            other => panic!("{other:?}"),
        }
    }

    /// Launches a kernel and waits for it. Each parameter is passed as 8 bytes, of which it takes
    /// what it needs.
    pub(super) fn launch(&self, name: &str, [x, y, z]: [u32; 3], shared: u32, parameters: &[u64]) {
        let function = self.find(name).unwrap_or_else(|| panic!("there is no kernel {name}"));
        let mut pointers: Vec<*mut c_void> =
            parameters.iter().map(|value| (&raw const *value).cast_mut().cast()).collect();
        let pointers = pointers.as_mut_ptr();
        call!(cuLaunchKernel(function, 1, 1, 1, x, y, z, shared, null_mut(), pointers, null_mut()));
        call!(cuCtxSynchronize());
    }

    /// Runs a kernel whose thread `i` writes row `i` of `width` results, in one block of threads.
    pub(super) fn rows<T: Plain>(
        &self,
        name: &str,
        threads: usize,
        width: usize,
        inputs: &[u64],
    ) -> Vec<Vec<T>> {
        let out = allocate(threads * width * size_of::<T>());
        let mut parameters = inputs.to_vec();
        parameters.push(out);
        self.launch(name, [u32::try_from(threads).unwrap(), 1, 1], 0, &parameters);
        let flat = download::<T>(out, threads * width);
        flat.chunks(width).map(<[T]>::to_vec).collect()
    }
}

/// Checks each row against what is expected of it; the message says which result of which row.
pub(super) fn check_rows<T: Plain + PartialEq + std::fmt::LowerHex>(
    module: &Module,
    kernel: &str,
    found: &[Vec<T>],
    expected: impl Fn(usize) -> Vec<T>,
) {
    for (at, found) in found.iter().enumerate() {
        let expected = expected(at);
        for (place, found) in found.iter().enumerate() {
            let wanted = expected[place];
            let name = &module.text.name;
            assert!(
                *found == wanted,
                "{name}: {kernel}, row {at}, result {place}: {found:#x} instead of {wanted:#x}"
            );
        }
    }
}

/// What must be refused: the committed texts, and those of the folder.
fn refused_texts() -> Vec<std::path::PathBuf> {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut folders = vec![corpus.join("ptx/refused")];
    folders.extend(std::env::var_os("GPUMUX_CORPUS").map(|made| {
        let made: std::path::PathBuf = made.into();
        made.join("refused")
    }));
    let files = |folder: std::path::PathBuf| {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path())
    };
    folders.into_iter().flat_map(files).collect()
}

/// Loads a text that must be refused, and returns the driver's words.
fn refusal(text: &CString) -> String {
    let mut module = null_mut();
    let mut log = [0_u8; 400];
    let mut options =
        [CUjit_option::CU_JIT_ERROR_LOG_BUFFER, CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
    let mut values: [*mut c_void; 2] =
        [log.as_mut_ptr().cast(), std::ptr::without_provenance_mut(log.len())];
    let (options, values) = (options.as_mut_ptr(), values.as_mut_ptr());
    call!(cuModuleLoadDataEx(&mut module, text.as_ptr().cast(), 2, options, values)
        is CUDA_ERROR_INVALID_PTX);
    std::ffi::CStr::from_bytes_until_nul(&log).unwrap().to_str().unwrap().to_owned()
}

crate::child::in_child! {
    what_is_not_supported_is_refused_by_name_and_line("sms=2,memory=64MiB,driver=13.5") {
        context();
        let texts = refused_texts();
        assert!(texts.len() >= 7);
        for path in texts {
            let name = path.file_name().unwrap().to_str().unwrap();
            let source = name.split('.').next().unwrap();
            let source = format!("{}/tests/corpus/refused/{source}.cu", env!("CARGO_MANIFEST_DIR"));
            let source = std::fs::read_to_string(source).unwrap();
            let wanted = source.lines().next().unwrap().strip_prefix("// refused: ").unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            let words = refusal(&CString::new(text.clone()).unwrap());
            assert!(words.contains(wanted), "{name}: {words}");
            // The line that is named is the one.
            let line: usize = words.split_once("line ").unwrap().1.split(':').next().unwrap().parse().unwrap();
            assert!(text.lines().nth(line - 1).unwrap().contains(wanted), "{name}: {words}");
        }
    }
}
