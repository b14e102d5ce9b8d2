//! Results of ONNX Runtime, committed with the script that made them (`models/golden/make.py`).

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use npyz::NpyFile;

/// One case: inputs, and the outputs that the oracle gave for them.
pub(crate) struct Golden {
    folder: PathBuf,
}

impl Golden {
    /// The case `name` of `model`.
    pub(crate) fn open(model: &str, name: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/golden");
        Self { folder: root.join(model).join(name) }
    }

    fn file(&self, tensor: &str) -> NpyFile<BufReader<File>> {
        let path = self.folder.join(format!("{tensor}.npy"));
        let file = File::open(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        NpyFile::new(BufReader::new(file)).unwrap()
    }

    /// Whether the case keeps this tensor.
    pub(crate) fn has(&self, tensor: &str) -> bool {
        self.folder.join(format!("{tensor}.npy")).exists()
    }

    /// The dimensions of a tensor.
    pub(crate) fn dims(&self, tensor: &str) -> Vec<u64> {
        self.file(tensor).shape().to_vec()
    }

    /// A tensor of floats.
    pub(crate) fn reals(&self, tensor: &str) -> Vec<f32> {
        self.file(tensor).into_vec().unwrap()
    }

    /// A tensor of 64-bit integers.
    pub(crate) fn longs(&self, tensor: &str) -> Vec<i64> {
        self.file(tensor).into_vec().unwrap()
    }

    /// The bytes of an input, of whatever type.
    pub(crate) fn bytes(&self, tensor: &str) -> Vec<u8> {
        if tensor == "bytes" {
            let values: Vec<i32> = self.file(tensor).into_vec().unwrap();
            return values.into_iter().flat_map(i32::to_le_bytes).collect();
        }
        self.longs(tensor).into_iter().flat_map(i64::to_le_bytes).collect()
    }
}

/// The bound that the project promises: the largest difference is at most 1e-4 of the largest
/// value, and the greatest element is the same one wherever the oracle is sure of it.
#[track_caller]
pub(crate) fn assert_close(what: &str, found: &[f32], wanted: &[f32], width: usize) {
    assert_eq!(found.len(), wanted.len(), "{what}: number of elements");
    let largest = wanted.iter().fold(0f32, |all, it| all.max(it.abs()));
    let pairs = found.iter().zip(wanted);
    let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(found.iter().all(|it| it.is_finite()), "{what}: an element is not finite");
    println!("{what}: max|a-b| = {difference:e}, max|b| = {largest:e}");
    assert!(difference <= 1e-4 * largest, "{what}: differs by {difference:e} of {largest:e}");
    for (row, (found, wanted)) in found.chunks(width).zip(wanted.chunks(width)).enumerate() {
        let mut order: Vec<usize> = (0..width).collect();
        order.sort_by(|a, b| wanted[*b].total_cmp(&wanted[*a]));
        if width < 2 || wanted[order[0]] - wanted[order[1]] <= 1e-3 {
            continue;
        }
        let best = (0..width).max_by(|a, b| found[*a].total_cmp(&found[*b]));
        assert_eq!(best, Some(order[0]), "{what}: the greatest element of row {row}");
    }
}
